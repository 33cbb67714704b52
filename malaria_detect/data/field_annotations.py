"""Readers of annotated fields: NLM's outlines and points, boxes, and centres of cells."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from malaria_detect.data.field_boxes import read_boxes
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
    picture,
)
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.picture_files import refuse_empty


def read_field_sets(folder: str | os.PathLike[str]) -> tuple[FieldSet, ...]:
    """Annotated fields in a folder; images are not opened.

    Parameters
    ----------
    folder : path
        One of three layouts. NIH-NLM-ThinBloodSmearsPf or a part of it: folders of patients with ``GT/*.txt`` and
        ``Img/*.jpg``; each text file has a line ``count,width,height``, then
        ``id,class,comment,Polygon or Point,n,x1,y1,...`` for each cell; Polygon Set and Point Set become two sets.
        Or images with ``annotations.json``, a list of ``{image, boxes: [{type, x, y, w, h}]}`` or, for some cells of
        the NIH/NLM data set, ``{image, patient_group, cells_total, cells_total_is, parasitized,
        known_cells: [{label, cell, x, y, w, h}]}``. The outline of a known cell is that of its image in
        :func:`malaria_detect.data.nlm_cells.find_cells`; without the image only its box is known.
        Or images with a text file each: ``x y type`` for each marked centre of a red cell.

    Raises
    ------
    FieldAnnotationError
        If the folder has none of these layouts, an image is missing, or a file is damaged; the message names the line.
    """
    refuse_empty(folder)
    root = Path(folder)
    if (root / ANNOTATIONS).is_file():
        return (read_boxes(root),)
    if texts := sorted(root.rglob("GT/*.txt")):
        sets = groupby(texts, key=lambda path: path.absolute().parents[2])
        return tuple(
            FieldSet(place.name, tuple(map(_nlm_field, paths)), exhaustive=True, counts_edge=False)
            for place, paths in sets
        )
    if texts := [path for path in sorted(root.glob("*.txt")) if picture(root, path.stem)]:
        fields = tuple(map(_field_of_centres, texts))
        return (FieldSet(root.absolute().name, fields, exhaustive=False, counts_edge=False),)
    raise FieldAnnotationError(f"There are no annotated fields in {root}. {LAYOUTS}", "no_fields")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Place and text of each line that is not empty."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FieldAnnotationError(f"{path} cannot be read ({error}).", "unreadable") from error
    return ((f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip())


def _numbers(texts: Sequence[str], place: str) -> list[float]:
    try:
        numbers = [float(text) for text in texts]
    except ValueError as error:
        raise FieldAnnotationError(f"{place}: {error}.", "bad_row") from error
    if not np.isfinite(numbers).all():
        raise FieldAnnotationError(f"{place} has a number that is not finite.", "bad_row")
    return numbers


# NIH-NLM-ThinBloodSmearsPf


def _nlm_field(path: Path) -> AnnotatedField:
    patient = path.absolute().parents[1]
    place, header = next(_lines(path), (path, ""))
    try:
        count, width, height = map(int, header.strip().rstrip(",").split(","))
    except ValueError as error:
        raise FieldAnnotationError(
            f"{place}: expected count,width,height; found {header!r}.", "bad_header"
        ) from error
    cells = [_nlm_cell(place, line) for place, line in list(_lines(path))[1:]]
    if len(cells) != count:
        raise FieldAnnotationError(
            f"{path} has {len(cells)} cells; its first line says {count}. Download it again.", "wrong_count"
        )
    image = existing(picture(patient / "Img", path.stem), path)
    return annotated(image, f"{patient.name}/{image.name}", patient.name, cells, (width, height))


def _nlm_cell(place: str, line: str) -> AnnotatedCell:
    texts = [text.strip() for text in line.strip().rstrip(",").split(",")]
    name, kind, _, shape, *numbers = texts if len(texts) > 4 else ("",) * 4
    corners, *values = _numbers(numbers, place) or [0.0]
    fits = corners >= 3 if shape == "Polygon" else shape == "Point" and corners == 1
    if not fits or not corners.is_integer() or len(values) != 2 * corners:
        raise FieldAnnotationError(
            f"{place}: expected id,class,comment,Polygon,n,x1,y1,... or id,class,comment,Point,1,x,y; "
            f"found {line[:60]!r}.",
            "bad_row",
        )
    form = "outline" if shape == "Polygon" else "centre"
    return AnnotatedCell(name, form, np.reshape(values, (-1, 2)), *classified(kind, place))


# Centres


def _field_of_centres(path: Path) -> AnnotatedField:
    cells = []
    for place, line in _lines(path):
        values = _numbers(line.split(), place)
        if len(values) != 3:
            raise FieldAnnotationError(f"{place}: expected x y type; found {line[:60]!r}.", "bad_row")
        cells.append(AnnotatedCell(place, "centre", np.reshape(values[:2], (1, 2)), True, CLASSES[1]))
    image = existing(picture(path.parent, path.stem), path)
    # In many fields of Chula RBC-12 only the unusual cells are marked, so the number of marks is no count.
    return replace(annotated(image, image.name, image.name, cells), red_cells=0, parasitized=0)
