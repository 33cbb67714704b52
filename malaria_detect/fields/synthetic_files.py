"""Synthetic fields as files, for training other segmentation software."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from malaria_detect.core.atomic import replaced
from malaria_detect.core.csv_io import write_rows
from malaria_detect.fields.cell import KINDS, RED_CELL
from malaria_detect.fields.cut_outs import CutOut, SyntheticError
from malaria_detect.fields.label_mask import label_mask
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.fields.synthetic import FieldSettings, synthetic_field

_COLUMNS = (
    "image",
    "seed",
    "cell_diameter",
    *(f"{kind}s".replace(" ", "_") for kind in KINDS),
    "red_cells_on_edge",
)


@dataclass(frozen=True)
class Written:
    """How many fields were written, and how many red cells they have."""

    fields: int
    cells: int


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of a text such as ``960x720``.

    Raises
    ------
    SyntheticError
        If it is something else.
    """
    found = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if found is None:
        raise SyntheticError(
            f"{text!r} is not a size. Write it as WIDTHxHEIGHT, such as 960x720.", reason="setting"
        )
    return int(found[1]), int(found[2])


def write_fields(
    folder: Path, cut_outs: Sequence[CutOut], seeds: Iterable[int], settings: FieldSettings
) -> Written:
    """Write fields as ``images/SEED.png``, their label masks as ``masks/SEED.png``, and ``counts.csv``.

    A pixel of a mask has the number of its red cell, 1, 2, ..., and 0 outside of red cells. Where cells overlap, it is
    that of the upper one.
    """
    rows: list[list[object]] = []
    red_cells = 0
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        field = synthetic_field(cut_outs, seed, settings)
        name = f"{seed:06d}.png"
        cells = tuple(AnalysedCell(number, cell) for number, cell in enumerate(field.cells, 1))
        height, width = field.pixels.shape[:2]
        mask = label_mask(FieldResult(name, (width, height), cells))
        for part, pixels in (("images", field.pixels), ("masks", mask)):
            with replaced(folder / part / name) as new:
                Image.fromarray(pixels).save(new, "PNG")
        counts = [sum(cell.kind == kind for cell in field.cells) for kind in KINDS]
        at_edge = sum(cell.kind == RED_CELL and cell.on_edge for cell in field.cells)
        red_cells += counts[0]
        rows.append([name, seed, round(field.cell_diameter, 1), *counts, at_edge])
    write_rows(folder / "counts.csv", _COLUMNS, rows)
    return Written(len(rows), red_cells)
