"""``malaria-detect cells``: download and check the NIH/NLM cells."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from malaria_detect.core.atomic import check_writable
from malaria_detect.core.errors import MalariaDetectError

if TYPE_CHECKING:
    from malaria_detect.data.labelled_cells import LabelledCells
    from malaria_detect.data.nlm_cells import Cell, CellFolder

CELLS_HELP = (
    "folder with Parasitized and Uninfected, or a CSV file with path,label,patient (default: $MALARIA_DETECT_CELLS, or "
    "the folder of `cells fetch`)"
)
_MOST_SENTENCES = 20


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the parser."""
    cells = commands.add_parser(
        "cells",
        help="download or check the NIH/NLM cells",
        description="Download the cell images of NIH/NLM, or check the images in a folder.",
    )
    actions = cells.add_subparsers(title="actions", metavar="ACTION", required=True)
    fetch = actions.add_parser(
        "fetch",
        help="download, check and unpack NLM's archive (353 MB)",
        description="Download NLM's archive (353 MB), check it and unpack it. Cells that are complete are not "
        "downloaded again.",
    )
    fetch.add_argument("--to", metavar="DIR", help="folder for the cells")
    fetch.add_argument("--url", help="another address of the same archive")
    fetch.set_defaults(run=_cells_fetch)
    check = actions.add_parser(
        "check",
        help="count cells and patients, and open every image",
        description="Count cells and patients, open every image, and print the fingerprint of the cells.",
    )
    check.add_argument("--cells", help=CELLS_HELP)
    check.set_defaults(run=_cells_check)


def _cells_fetch(options: argparse.Namespace) -> int:
    from malaria_detect.data.download import NLM_URL, fetch_cells
    from malaria_detect.data.nlm_cells import find_cells
    from malaria_detect.data.picture_files import refuse_empty

    if options.to is not None:
        refuse_empty(options.to)
    root = fetch_cells(Path(options.to) if options.to else None, url=options.url or NLM_URL)
    folder = find_cells(root)
    print(f"{_counts(folder.cells)} in {folder.root}")
    return 0


def _cells_check(options: argparse.Namespace) -> int:
    from malaria_detect.data.cell_check import check_cells
    from malaria_detect.data.cell_table import PARTS
    from malaria_detect.data.nlm_cells import CLASSES, find_cells
    from malaria_detect.data.splits import given_split

    folder, fingerprint = check_cells(find_cells(options.cells))
    report_cells(folder)
    parts = {label: [cell for cell in folder.cells if cell.label == label] for label in CLASSES}
    if given_split(folder.cells):
        parts |= {part: [cell for cell in folder.cells if cell.part == part] for part in PARTS}
    for name, cells in parts.items():
        print(f"{name}: {_counts(cells)}")
    print(f"fingerprint {fingerprint}")
    return 0


def _counts(cells: "Sequence[Cell]") -> str:
    numbers = (len(cells), "cell"), (len({cell.group for cell in cells}), "patient group")
    return " of ".join(f"{number} {name}{'' if number == 1 else 's'}" for number, name in numbers)


def pictures_of(given: Sequence[str]) -> list[Path]:
    """Picture files of a command's paths, folders and patterns; what is skipped is printed in one line."""
    from malaria_detect.data.picture_files import find_pictures, skipped_sentence

    found = find_pictures(given)
    if found.skipped:
        print(f"malaria-detect: skipped {skipped_sentence(found.skipped)}.", file=sys.stderr)
    return list(found.paths)


def check_output(file: str | os.PathLike[str], pictures: Sequence[Path]) -> None:
    """Refuse a file that could not be written, or is one of the pictures, before long work for it."""
    check_writable(file)
    target = os.path.realpath(file)
    if target in {os.path.realpath(picture) for picture in pictures}:
        raise MalariaDetectError(f"{file} is one of the images. Name another file.", reason="not_writable")


def report_cells(cells: "CellFolder | LabelledCells") -> None:
    """Print what was left out and why, which images are identical or colourless; of many sentences the first ones."""
    kinds = {"left out": cells.ignored, "identical": cells.identical, "warning": cells.colourless}
    for title, sentences in kinds.items():
        for sentence in sentences[:_MOST_SENTENCES]:
            print(f"{title}: {sentence}", file=sys.stderr)
        if len(sentences) > _MOST_SENTENCES:
            print(f"{title}: {len(sentences) - _MOST_SENTENCES} more of this kind.", file=sys.stderr)
