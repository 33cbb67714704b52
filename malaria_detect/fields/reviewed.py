"""Labelled cells from a person's review of whole fields, as the page exports it (COCO JSON)."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from malaria_detect.data.corrections import LabelsError
from malaria_detect.data.images import read_field
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.crops import cut_cell


def cut_reviewed(review: Path, folder: Path) -> None:
    """Cut out the red cells with a verdict, as ``Parasitized/FIELD.jpg__12.png`` in a folder.

    Parameters
    ----------
    review : Path
        From :func:`malaria_detect.fields.coco.coco`, in the folder of the photographs.
    folder : Path

    Raises
    ------
    LabelsError
        ``damaged``, ``no_images`` if a photograph is missing, or ``other_cells`` if one has another size.
    malaria_detect.data.images.ImageRefused
        If a photograph cannot be used.
    """
    for label in CLASSES:
        (folder / label).mkdir(exist_ok=True)
    try:
        content = json.loads(review.read_text(encoding="utf-8"))
        verified = defaultdict(list)
        for one in content["annotations"]:
            if one["attributes"]["verified"] in CLASSES:
                verified[one["image_id"]].append(_cell(one))
        images = [
            (Path(one["file_name"]).name, (one["width"], one["height"]), verified[one["id"]])
            for one in content["images"]
        ]
    except OSError as error:
        raise LabelsError(f"{review} cannot be read ({error.strerror}).", "damaged") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise LabelsError(
            f"{review} is not a review ({error!r}). On the page, download COCO JSON.", "damaged"
        ) from error
    for name, size, cells in images:
        if cells:
            _cut(review.parent / name, size, cells, folder)


def _cell(annotation: dict[str, Any]) -> tuple[str, int, FoundCell]:
    outline = np.array(annotation["segmentation"][0], np.float32).reshape(-1, 2)
    attributes = annotation["attributes"]
    return attributes["verified"], int(attributes["number"]), FoundCell(outline, 1.0, RED_CELL, False)


def _cut(
    photograph: Path, size: tuple[int, int], cells: list[tuple[str, int, FoundCell]], folder: Path
) -> None:
    if not photograph.is_file():
        raise LabelsError(
            f"{photograph} is missing. Put the photographs into the folder of the review.", "no_images"
        )
    picture = read_field(photograph)
    if picture.size != size:
        raise LabelsError(
            f"{photograph} has {picture.width} x {picture.height} px, but was reviewed with {size[0]} x {size[1]} px. "
            "Use the photographs that were reviewed.",
            "other_cells",
        )
    for label, number, cell in cells:
        cut_cell(np.asarray(picture), cell).save(folder / label / f"{photograph.name}__{number}.png")
