"""Outlines of many fields in the format of COCO, which most software for training detectors reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from malaria_detect.fields.classes import COLOURS, class_of, properties_of
from malaria_detect.fields.result import FieldResult
from malaria_detect.inference.metadata import RESEARCH_USE


def coco(results: Sequence[FieldResult]) -> dict[str, Any]:
    """COCO instances of fields; write them with `json.dump`.

    Images, categories and annotations are numbered from 1; a category is a class of
    `malaria_detect.fields.classes.COLOURS`. ``score`` is the finder's, and ``attributes`` are those of
    :func:`malaria_detect.fields.classes.properties_of`. Fields that could not be read are left out.

    Examples
    --------
    >>> found = coco([FieldResult("field.jpg", (640, 480))])
    >>> found["images"], found["categories"][0]
    ([{'id': 1, 'file_name': 'field.jpg', 'width': 640, 'height': 480}], {'id': 1, 'name': 'Parasitized', ...})
    """
    categories = {name: number for number, name in enumerate(COLOURS, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, result in enumerate((one for one in results if one.size != (0, 0)), 1):
        width, height = result.size
        images.append({"id": image, "file_name": result.name, "width": width, "height": height})
        for cell in result.cells:
            outline = cell.found.outline.astype(np.float64)
            low, high = outline.min(axis=0), outline.max(axis=0)
            properties = properties_of(cell)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": categories[class_of(cell)],
                    "segmentation": [outline.ravel().tolist()],
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "area": cell.found.area,
                    "iscrowd": 0,
                    "score": properties["score"],
                    "attributes": properties,
                }
            )
    return {
        "info": {"description": RESEARCH_USE},
        "images": images,
        "categories": [
            {"id": number, "name": name, "supercategory": "cell"} for name, number in categories.items()
        ],
        "annotations": annotations,
    }
