"""``malaria-detect cells``: download and check the NIH/NLM cells."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

CELLS_HELP = "folder of cells (default: $MALARIA_DETECT_CELLS, or the folder of `cells fetch`)"


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

    root = fetch_cells(Path(options.to) if options.to else None, url=options.url or NLM_URL)
    folder = find_cells(root)
    print(
        f"{len(folder.cells)} cells of {len({cell.group for cell in folder.cells})} patient groups in {folder.root}"
    )
    return 0


def _cells_check(options: argparse.Namespace) -> int:
    from malaria_detect.data.nlm_cells import CLASSES, check_cells, find_cells

    folder, fingerprint = check_cells(find_cells(options.cells))
    report_ignored(folder.ignored)
    for label in CLASSES:
        cells = [cell for cell in folder.cells if cell.label == label]
        print(f"{label}: {len(cells)} cells of {len({cell.group for cell in cells})} patient groups")
    print(f"fingerprint {fingerprint}")
    return 0


def report_ignored(ignored: Sequence[str]) -> None:
    """Print which files were left out, and why."""
    for sentence in ignored:
        print(f"left out: {sentence}", file=sys.stderr)
