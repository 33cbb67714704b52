"""Which found cell belongs to which annotated one."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from malaria_detect.data.field_truth import AnnotatedCell
from malaria_detect.fields.cell import RED_CELL, FoundCell

# Least intersection over union of a pair; for centres, it means a distance of half a cell radius.
FOUND = 0.5


def match(likeness: np.ndarray) -> np.ndarray:
    """One-to-one matching with as many pairs as possible and, among these, with the highest likeness in all.

    Parameters
    ----------
    likeness : numpy.ndarray, float in [0, 1], shape (annotated, found)
        Pairs below `FOUND` are never matched.

    Returns
    -------
    numpy.ndarray, int64, shape (annotated,)
        Number of the found cell of each annotated one, -1 without.

    Examples
    --------
    >>> match(np.array([[0.9, 0.6], [0.8, 0.0], [0.4, 0.4]])).tolist()
    [1, 0, -1]
    """
    pairs = np.full(len(likeness), -1)
    # One pair more outweighs any likeness.
    value = np.where(likeness >= FOUND, min(likeness.shape) + likeness, 0)
    rows, columns = linear_sum_assignment(value, maximize=True)
    real = value[rows, columns] > 0
    pairs[rows[real]] = columns[real]
    return pairs


def likeness(
    annotated: Sequence[AnnotatedCell], found: Sequence[FoundCell], size: tuple[int, int]
) -> np.ndarray:
    """How well cells agree, in [0, 1], shape (annotated, found).

    Intersection over union of the masks or, where only a box is annotated, of the boxes, both within the picture.
    Where only a centre is annotated, 1 minus the distance of the centres in radii of the found cells (their median), so
    that `FOUND` is half a radius.

    Parameters
    ----------
    annotated : sequence of AnnotatedCell
    found : sequence of FoundCell
    size : tuple of int
        Width and height of the picture in px.
    """
    table = np.zeros((len(annotated), len(found)))
    if not found:
        return table
    boxes = np.array([cell.box for cell in found], np.float64)
    centres = np.array([cell.centre for cell in found])
    radius = np.sqrt(np.median([cell.area for cell in found]) / np.pi)
    for row, cell in zip(table, annotated, strict=True):
        if cell.shape == "centre":
            row[:] = np.maximum(0, 1 - np.hypot(*(centres - cell.points[0]).T) / radius)
            continue
        true = FoundCell(np.clip(cell.points, 0, size), 1.0, RED_CELL, on_edge=False)
        row[:] = _box_overlap(true, boxes)
        if cell.shape == "outline":
            for column in np.flatnonzero(row).tolist():
                row[column] = _mask_overlap(true, found[column])
    return table


def _box_overlap(cell: FoundCell, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box and each of several."""
    left, top, width, height = cell.box
    across = np.minimum(boxes[:, 0] + boxes[:, 2], left + width) - np.maximum(boxes[:, 0], left)
    down = np.minimum(boxes[:, 1] + boxes[:, 3], top + height) - np.maximum(boxes[:, 1], top)
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    overlap: np.ndarray = shared / (width * height + boxes[:, 2] * boxes[:, 3] - shared)
    return overlap


def _mask_overlap(one: FoundCell, other: FoundCell) -> float:
    """Intersection over union of two masks."""
    left, top = (max(one.box[axis], other.box[axis]) for axis in (0, 1))
    right, bottom = (min(cell.box[axis] + cell.box[axis + 2] for cell in (one, other)) for axis in (0, 1))
    masks = one.mask, other.mask
    parts = [
        mask[top - cell.box[1] : bottom - cell.box[1], left - cell.box[0] : right - cell.box[0]]
        for mask, cell in zip(masks, (one, other), strict=True)
    ]
    shared = np.count_nonzero(parts[0] & parts[1])
    union = sum(np.count_nonzero(mask) for mask in masks) - shared
    return shared / union if union else 0.0
