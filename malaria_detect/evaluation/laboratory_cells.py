"""Labelled cells of other laboratories, cut out of annotated fields by outline and by box."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from malaria_detect.data.field_truth import AnnotatedField, FieldAnnotationError
from malaria_detect.data.images import ImageRefused, read_field
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.field_benchmark import Finder
from malaria_detect.evaluation.field_matching import likeness, match
from malaria_detect.evaluation.laboratories import BOX, OUTLINE
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.usable import FieldRefused

# Uninfected cells of each field: with all cells, a laboratory with crowded fields would take an hour.
MOST_UNINFECTED = 20
_LEAST_SIDE = 16  # of a box in px


@dataclass(frozen=True, eq=False)
class LaboratoryCell:
    """A labelled cell, cut out by ``outline`` or by ``box``; `image` is None if that was not possible."""

    cut: str
    image: Image.Image | None
    parasitized: bool
    name: str
    field: str


def cut_cells(field: AnnotatedField, finder: Finder) -> Iterator[LaboratoryCell]:
    """All parasitized and at most 20 uninfected cells of a field, drawn at random, cut out in all possible ways.

    Raises
    ------
    FieldAnnotationError
        If the image of the field cannot be read.
    """
    try:
        pixels = np.asarray(read_field(field.image))
    except ImageRefused as error:
        raise FieldAnnotationError(f"{field.image}: {error}", error.reason) from error
    height, width = pixels.shape[:2]
    labelled = [cell for cell in field.cells if cell.red and cell.label is not None]
    of_class = [[cell for cell in labelled if cell.label == label] for label in CLASSES]
    order = np.random.default_rng(0).permutation(len(of_class[1]))[:MOST_UNINFECTED]
    chosen = of_class[0] + [of_class[1][index] for index in order]
    try:
        found = [cell for cell in finder.find(pixels) if cell.kind == RED_CELL]
    except FieldRefused:
        found = []
    pairs = match(likeness(chosen, found, (width, height)))
    for cell, pair in zip(chosen, pairs, strict=True):
        named = cell.label == CLASSES[0], f"{field.name} {cell.name}", field.name
        yield LaboratoryCell(OUTLINE, cut_cell(pixels, found[pair]) if pair >= 0 else None, *named)
        if cell.shape == "box":
            yield LaboratoryCell(BOX, _boxed(pixels, cell.points), *named)


def _boxed(pixels: np.ndarray, corners: np.ndarray) -> Image.Image | None:
    """What a box shows, without what lies outside the field; None if that is too small to be an image of a cell."""
    height, width = pixels.shape[:2]
    (left, top), (right, bottom) = (
        np.clip(np.rint(end).astype(int), 0, (width, height))
        for end in (corners.min(axis=0), corners.max(axis=0))
    )
    box = pixels[top:bottom, left:right]
    return Image.fromarray(box) if min(box.shape[:2]) >= _LEAST_SIDE else None
