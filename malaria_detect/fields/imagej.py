"""Outlines for ImageJ and Fiji: a set of ROIs that their ROI Manager opens."""

import zipfile
from pathlib import Path
from typing import BinaryIO

from roifile import ROI_TYPE, ImagejRoi

from malaria_detect.fields.classes import COLOURS, class_of, properties_of
from malaria_detect.fields.result import AnalysedCell, FieldResult


def rois(result: FieldResult) -> list[ImagejRoi]:
    """One polygon for each cell, to the fraction of a pixel.

    Its name is the number and the class, such as ``0012 Parasitized``, with ``verified`` behind it if that is a
    person's verdict; its group is the place of the class in `malaria_detect.fields.classes.COLOURS`, from 1; its
    properties (``getProperty`` in a macro) are those of :func:`malaria_detect.fields.classes.properties_of`.
    """
    return [_roi(cell) for cell in result.cells]


def write_rois(file: str | Path | BinaryIO, result: FieldResult) -> None:
    """Write the ROIs of a field as a zip file; the customary name is ``RoiSet.zip``."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for roi in rois(result):
            archive.writestr(f"{roi.name}.roi", roi.tobytes())


def _roi(cell: AnalysedCell) -> ImagejRoi:
    name = class_of(cell)
    verified = " verified" if cell.verified is not None else ""
    roi = ImagejRoi.frompoints(cell.found.outline, name=f"{cell.number:04} {name}{verified}")
    roi.roitype = ROI_TYPE.POLYGON
    roi.stroke_color = bytes((255, *COLOURS[name]))
    roi.group = 1 + list(COLOURS).index(name)
    roi.props = "".join(
        f"{key}: {value}\n" for key, value in properties_of(cell).items() if value is not None
    )
    return roi
