"""Uninfected cells of other laboratories, cut out of photographs of healthy smears, to train on."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from malaria_detect.data.field_annotations import read_field_sets
from malaria_detect.data.images import read_field
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.finder import load_finder
from malaria_detect.training.settings import TrainingError

# Of the fields of a laboratory in the order of their names, each third is kept: of these, one is for scoring, the next
# for choosing, and so on.
_KEPT = 3
# Cells of a field, drawn at random: crowded fields show much the same cells.
_MOST_CELLS = 25
# Of a cell in px: smaller ones are fragments, or too coarse to learn from.
_LEAST_SIDE = 24


def borrowed_fields(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the fields of a laboratory that may be learnt from; each third is held out.

    Whatever is fitted to cells of other laboratories, such as the screen of foreign pictures, uses only these.

    Examples
    --------
    >>> borrowed_fields(["d.png", "b.png", "a.png", "c.png"])
    ('b.png', 'c.png')
    """
    return tuple(name for number, name in enumerate(sorted(names)) if number % _KEPT)


def scored_fields(names: Sequence[str], borrowed: Sequence[str]) -> tuple[str, ...]:
    """Names of the fields on which a model is scored: every second one of those that it has not borrowed from.

    The others are for choosing, such as between weights. `names` are those of all fields of the laboratory.

    Examples
    --------
    >>> names = [f"{number}.png" for number in range(9)]
    >>> scored_fields(names, borrowed_fields(names))
    ('0.png', '6.png')
    """
    return tuple(sorted(set(names) - set(borrowed))[::2])


def borrowed_cells(folders: Sequence[Path], work: Path, progress: bool = True) -> tuple[Cell, ...]:
    """Uninfected red cells that the cell finder sees in fields of healthy people.

    Parameters
    ----------
    folders : sequence of Path
        Annotated fields of a laboratory each, see
        :func:`malaria_detect.data.field_annotations.read_field_sets`; no cell may be annotated as parasitized. The
        fields of :func:`borrowed_fields` are used.
    work : Path
        Folder to which the cells are written, as PNG on black.
    progress : bool
        Show a progress bar.

    Returns
    -------
    tuple of Cell
        Their patient group is the laboratory; their name begins with that of the field and a slash.

    Raises
    ------
    TrainingError
        If a laboratory has a parasitized cell; ``reason`` is ``parasitized``.
    FieldAnnotationError, ImageRefused, malaria_detect.fields.usable.FieldRefused
    """
    finder, cells = load_finder(), []
    for one in [one for folder in folders for one in read_field_sets(folder)]:
        if any(cell.label == CLASSES[0] for field in one.fields for cell in field.cells):
            raise TrainingError(
                f"{one.name} has parasitized cells; only fields of healthy people can be borrowed from.",
                "parasitized",
            )
        of = {field.name: field for field in one.fields}
        folder = work / "borrowed" / one.name
        if folder.exists():
            shutil.rmtree(folder)  # an earlier version may have cut out other cells
        folder.mkdir(parents=True)
        for name in tqdm(borrowed_fields(list(of)), desc=f"cells of {one.name}", disable=not progress):
            pixels = np.asarray(read_field(of[name].image))
            found = [
                cell
                for cell in finder.find(pixels)
                if cell.kind == RED_CELL and not cell.on_edge and min(cell.box[2:]) >= _LEAST_SIDE
            ]
            for number in np.random.default_rng(0).permutation(len(found))[:_MOST_CELLS].tolist():
                path = folder / f"{Path(name).stem}_{number}.png"
                cut_cell(pixels, found[number]).save(path)
                cells.append(Cell(path, CLASSES[1], one.name, name=f"{name}/{number}"))
    return tuple(cells)


def fields_of(borrowed: Sequence[Cell]) -> dict[str, tuple[str, ...]]:
    """Names of the fields that borrowed cells come from, by laboratory."""
    laboratories = sorted({cell.group for cell in borrowed})
    return {
        one: tuple(sorted({cell.name.rpartition("/")[0] for cell in borrowed if cell.group == one}))
        for one in laboratories
    }
