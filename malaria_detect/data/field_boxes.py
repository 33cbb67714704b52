"""Annotations of fields in ``annotations.json``: boxes, or places of cells of the NIH/NLM data set."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from malaria_detect.core.extras import from_extra
from malaria_detect.core.json_io import RecordError, from_json
from malaria_detect.data.field_truth import (
    ANNOTATIONS,
    LAYOUTS,
    AnnotatedCell,
    AnnotatedField,
    FieldAnnotationError,
    FieldSet,
    annotated,
    classified,
    existing,
)
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CellsError, find_cells


@dataclass(frozen=True)
class _Box:
    type: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class _BoxedField:
    image: str
    boxes: tuple[_Box, ...]


@dataclass(frozen=True)
class _KnownCell:
    label: str
    cell: int
    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True)
class _KnownField:
    image: str
    patient_group: str
    cells_total: int
    cells_total_is: str
    parasitized: int
    known_cells: tuple[_KnownCell, ...]


def read_boxes(root: Path) -> FieldSet:
    """The fields of ``annotations.json`` in a folder; see `malaria_detect.data.field_annotations.read_field_sets`."""
    path = root / ANNOTATIONS
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FieldAnnotationError(f"{path} cannot be read ({error}).", "unreadable") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise FieldAnnotationError(f"{path} is not a list of fields. {LAYOUTS}", "bad_record")
    known = "known_cells" in entries[0]
    try:
        if known:
            of_image = _images_of_cells()
            fields = [_known_field(root, from_json(_KnownField, one), of_image) for one in entries]
        else:
            fields = [_boxed_field(root, from_json(_BoxedField, one)) for one in entries]
    except RecordError as error:
        raise FieldAnnotationError(f"{path}: {error}", "bad_record") from error
    return FieldSet(root.absolute().name, tuple(fields), exhaustive=False, counts_edge=not known)


def _boxed_field(root: Path, field: _BoxedField) -> AnnotatedField:
    image = existing(root / field.image, field.image)
    cells = []
    for number, box in enumerate(field.boxes, 1):
        place = f"{field.image}, box {number}"
        cells.append(AnnotatedCell(str(number), "box", _corners(box, place), *classified(box.type, place)))
    return annotated(image, field.image, field.image, cells)


def _known_field(root: Path, field: _KnownField, of_image: dict[str, Path]) -> AnnotatedField:
    image = existing(root / field.image, field.image)
    cells = []
    for cell in field.known_cells:
        file = of_image.get(f"{image.stem}_cell_{cell.cell}.png")
        place = f"{field.image}, cell {cell.cell}"
        shape, points = ("box", _corners(cell, place)) if file is None else ("outline", _outline(file, cell))
        cells.append(AnnotatedCell(str(cell.cell), shape, points, *classified(cell.label, field.image)))
    return AnnotatedField(
        field.image, image, field.image, tuple(cells), None, field.cells_total, field.parasitized
    )


def _corners(box: _Box | _KnownCell, place: str) -> np.ndarray:
    if not np.isfinite([box.x, box.y, box.w, box.h]).all() or min(box.w, box.h) <= 0:
        raise FieldAnnotationError(f"{place} has no numbers, or no width or height above 0.", "bad_record")
    right, bottom = box.x + box.w, box.y + box.h
    return np.array([[box.x, box.y], [right, box.y], [right, bottom], [box.x, bottom]], np.float64)


def _images_of_cells() -> dict[str, Path]:
    try:
        return {cell.path.name: cell.path for cell in find_cells().cells}
    except CellsError:
        return {}


def _outline(file: Path, cell: _KnownCell) -> np.ndarray:
    """Outline of a cell whose image is black around it."""
    with from_extra("train"):
        from skimage.measure import find_contours
    mask = np.asarray(read_image(file)).any(axis=2)
    if mask.shape != (cell.h, cell.w):
        raise FieldAnnotationError(
            f"{file} is {mask.shape[1]} x {mask.shape[0]} px; the annotations say {cell.w} x {cell.h}.",
            "other_size",
        )
    contour = max(find_contours(np.pad(mask, 1).astype(float), 0.5), key=len)
    # The centre of a pixel is at (0.5, 0.5) here and at (0, 0) there; the last corner repeats the first.
    corners: np.ndarray = contour[:-1, ::-1] - 0.5 + (cell.x, cell.y)
    return corners
