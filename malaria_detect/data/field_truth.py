"""What people have annotated on whole fields: records, and the names of classes.

Coordinates are px of the raster as stored in the file, as in :class:`malaria_detect.fields.cell.FoundCell`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CLASSES

ANNOTATIONS = "annotations.json"
# Classes of annotated cells in lower case without underscores. A red cell that an expert could not name has no label.
_RED_CELLS: dict[str, str | None] = {
    **dict.fromkeys(("red blood cell", "uninfected"), CLASSES[1]),
    **dict.fromkeys(("parasitized", "ring", "trophozoite", "schizont", "gametocyte"), CLASSES[0]),
    "difficult": None,
}
_OTHERS = (
    *("white blood cell", "platelet", "parasite outside cell", "dead parasite", "debris"),
    *("stain precipitation", "bacteria", "air bubble", "other", "unclear"),
)
_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
LAYOUTS = (
    f"Expected a folder with {ANNOTATIONS}; with text files in folders named GT and their images in folders named Img "
    "(NIH-NLM-ThinBloodSmearsPf); or with a text file of cell centres beside each image."
)


class FieldAnnotationError(MalariaDetectError):
    """Annotations of fields that are missing or damaged.

    ``reason`` is ``no_fields``, ``no_image``, ``unreadable``, ``bad_record``, ``bad_header``, ``bad_row``,
    ``unknown_class``, ``wrong_count`` or ``other_size``.
    """


@dataclass(frozen=True, eq=False)
class AnnotatedCell:
    """A cell, or something else, that a person has marked on a field.

    Attributes
    ----------
    name : str
        Its number or its line in the file.
    shape : str
        ``outline``, ``box`` or ``centre``.
    points : numpy.ndarray, float64, shape (n, 2)
        Corners (x, y) of the outline or of the box, or a single centre. Boxes can end outside the picture.
    red : bool
        Whether it is a red cell.
    label : str or None
        ``Parasitized`` or ``Uninfected``; None if it is not a red cell or not known.
    """

    name: str
    shape: str
    points: np.ndarray
    red: bool
    label: str | None


@dataclass(frozen=True, eq=False)
class AnnotatedField:
    """A field and what is known about its cells.

    Attributes
    ----------
    name : str
        Its path in the folder of the set.
    image : Path
    group : str
        Patient, or the field itself where patients are not known.
    cells : tuple of AnnotatedCell
    size : tuple of int or None
        Width and height of the picture in px if the annotations name them.
    red_cells, parasitized : int
        Red cells and parasitized ones of the whole field: from a census if there is one, or those annotated; 0 if
        not known.
    """

    name: str
    image: Path
    group: str
    cells: tuple[AnnotatedCell, ...]
    size: tuple[int, int] | None
    red_cells: int
    parasitized: int


@dataclass(frozen=True, eq=False)
class FieldSet:
    """Annotated fields of one laboratory.

    Attributes
    ----------
    name : str
        Name of the folder.
    fields : tuple of AnnotatedField
    exhaustive : bool
        Whether every red cell that lies wholly within a field is annotated, so that other finds are wrong.
    counts_edge : bool
        Whether `red_cells` includes cells that the frame cuts.
    """

    name: str
    fields: tuple[AnnotatedField, ...]
    exhaustive: bool
    counts_edge: bool


def picture(folder: Path, stem: str) -> Path | None:
    """The image of this name in a folder, whatever its ending."""
    names = (stem + ending for ending in (*_PICTURES, *map(str.upper, _PICTURES)))
    return next((path for name in names if (path := folder / name).is_file()), None)


def existing(path: Path | None, wanted: object) -> Path:
    """The path of an image; a FieldAnnotationError if there is no such file."""
    if path is None or not path.is_file():
        raise FieldAnnotationError(f"The image for {wanted} is missing. {LAYOUTS}", "no_image")
    return path


def classified(text: str, place: object) -> tuple[bool, str | None]:
    """Whether a class is one of red cells, and its label; a FieldAnnotationError if it is unknown."""
    name = text.strip().casefold().replace("_", " ")
    if name not in _RED_CELLS and name not in _OTHERS:
        known = ", ".join((*_RED_CELLS, *_OTHERS))
        raise FieldAnnotationError(f"{place}: the class {text!r} is not one of {known}.", "unknown_class")
    return name in _RED_CELLS, _RED_CELLS.get(name)


def annotated(
    image: Path,
    name: str,
    group: str,
    cells: Sequence[AnnotatedCell],
    size: tuple[int, int] | None = None,
) -> AnnotatedField:
    """A field without a census, whose annotated cells are its numbers."""
    red = [cell.label for cell in cells if cell.red]
    return AnnotatedField(name, image, group, tuple(cells), size, len(red), red.count(CLASSES[0]))
