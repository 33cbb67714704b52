"""Files with the results of a slide, made in memory when a visitor asks for them."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from malaria_detect.core.csv_io import BYTE_ORDER_MARK, csv_line
from malaria_detect.fields.coco import coco
from malaria_detect.fields.geojson import geojson
from malaria_detect.fields.imagej import write_rois
from malaria_detect.fields.label_mask import write_label_mask
from malaria_detect.fields.records import CellRecord
from malaria_detect.fields.result import FieldResult
from malaria_detect.fields.tables import cell_records

# Texts of the buttons. Of the last three, each field gives a file; several are packed into one archive.
DOWNLOADS = {
    "report": "HTML report",
    "cells": "cells.csv",
    "coco": "COCO JSON",
    "geojson": "GeoJSON (QuPath)",
    "rois": "ImageJ ROIs",
    "masks": "Label masks",
}


@dataclass(frozen=True)
class SlideFile:
    """A file to download.

    Attributes
    ----------
    name : str
    media : str
        Media type.
    content : bytes
    """

    name: str
    media: str
    content: bytes


def slide_file(kind: str, results: Sequence[FieldResult]) -> SlideFile:
    """A file with the cells of some fields; `kind` is one of `DOWNLOADS` but the report.

    Parameters
    ----------
    kind : str
    results : sequence of FieldResult
        At least one, with different names; none was refused.
    """
    if kind == "cells":
        return SlideFile("cells.csv", "text/csv;charset=utf-8", cells_csv(results).encode())
    if kind == "coco":
        return SlideFile("coco.json", "application/json", json.dumps(coco(results)).encode())
    files = [_of_field(kind, result) for result in results]
    if len(files) == 1:
        return files[0]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.writestr(file.name, file.content)
    return SlideFile(f"{kind}.zip", "application/zip", archive.getvalue())


def cells_csv(results: Sequence[FieldResult]) -> str:
    """The table of cells, with a person's verdict as last column."""
    lines = [csv_line([*(one.name for one in fields(CellRecord)), "verified"])]
    for result in results:
        red = (cell for cell in result.cells if cell.is_red)
        for cell, record in zip(red, cell_records(result), strict=True):
            lines.append(csv_line([*astuple(record), cell.verified]))
    return BYTE_ORDER_MARK + "".join(lines)


def _of_field(kind: str, result: FieldResult) -> SlideFile:
    if kind == "geojson":
        content = json.dumps(geojson(result)).encode()
        return SlideFile(f"{result.name}.geojson", "application/geo+json", content)
    file = io.BytesIO()
    if kind == "rois":
        write_rois(file, result)
        return SlideFile(f"{result.name}.RoiSet.zip", "application/zip", file.getvalue())
    write_label_mask(file, result)
    return SlideFile(f"{result.name}.labels.png", "image/png", file.getvalue())
