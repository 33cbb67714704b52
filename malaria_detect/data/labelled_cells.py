"""Cells of a folder with the labels to learn."""

import hashlib
from dataclasses import dataclass

from malaria_detect.data.cell_check import check_cells
from malaria_detect.data.corrections import CORRECTED, Corrections, corrected_labels
from malaria_detect.data.nlm_cells import Cell, CellFolder


@dataclass(frozen=True)
class LabelledCells:
    """Readable cells and the labels to learn.

    Attributes
    ----------
    corrected : tuple of str or None
        Label to learn for each cell; None if an expert was unsure, so that the cell is not trained on.
    fingerprint : str
        Identifies the cells and what is learnt of them, see :func:`malaria_detect.data.cell_check.check_cells`.
    believed : tuple of float, optional
        Probability that each cell is parasitized, 0 to 1, to be learnt instead of its label.
    ignored, identical, colourless : tuple of str
        Sentences about files that were left out, about identical images, and about images without colour.
    """

    cells: tuple[Cell, ...]
    corrected: tuple[str | None, ...]
    fingerprint: str
    ignored: tuple[str, ...] = ()
    identical: tuple[str, ...] = ()
    colourless: tuple[str, ...] = ()
    believed: tuple[float, ...] | None = None


def labelled_cells(folder: CellFolder, corrections: Corrections | None = None) -> LabelledCells:
    """Readable cells of a folder with their corrected labels; without corrections, with the published ones.

    Errors are those of :func:`malaria_detect.data.cell_check.check_cells` and
    :func:`malaria_detect.data.corrections.corrected_labels`.
    """
    folder, fingerprint = check_cells(folder)
    labels: tuple[str | None, ...] = tuple(cell.label for cell in folder.cells)
    if corrections is not None:
        names = [cell.name for cell in folder.cells]
        labels = corrected_labels(names, [cell.label for cell in folder.cells], corrections)
        digest = hashlib.sha256("\n".join(label or "" for label in labels).encode()).hexdigest()
        fingerprint = f"{fingerprint}{CORRECTED}{digest[:16]}"
    sentences = folder.ignored, folder.identical, folder.colourless
    return LabelledCells(folder.cells, labels, fingerprint, *sentences)
