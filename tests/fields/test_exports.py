import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import roifile
from PIL import Image
from pycocotools.coco import COCO
from skimage.draw import polygon2mask

from malaria_detect.fields.classes import COLOURS, class_of
from malaria_detect.fields.coco import coco
from malaria_detect.fields.geojson import geojson
from malaria_detect.fields.imagej import write_rois
from malaria_detect.fields.label_mask import write_label_mask
from malaria_detect.fields.result import NOT_A_RED_CELL, AnalysedCell, FieldResult
from malaria_detect.inference.prediction import Refusal
from tests.annotated import whole_mask
from tests.fields.analysed import SIZE, reviewed_field

FIELD = reviewed_field()


def assert_same_outline(mask: np.ndarray, cell: AnalysedCell) -> None:
    """Pixels that differ from the cell's mask have their centre within half a pixel of its outline."""
    rows, columns = np.nonzero(mask != whole_mask(cell.found))
    begin = cell.found.outline.astype(float)
    along = np.roll(begin, -1, axis=0) - begin
    for point in np.stack([columns, rows], axis=1) + 0.5:
        share = ((point - begin) * along).sum(axis=1) / (along**2).sum(axis=1)
        nearest = begin + share.clip(0, 1)[:, None] * along
        assert np.hypot(*(nearest - point).T).min() <= 0.5


def filled(corners: np.ndarray) -> np.ndarray:
    """Pixels whose centre is within a polygon of x and y."""
    return np.asarray(polygon2mask(SIZE[::-1], np.asarray(corners)[:, ::-1] - 0.5))


def test_classes_are_the_verdict_or_the_decision() -> None:
    number = {name: sum(class_of(cell) == name for cell in FIELD.cells) for name in COLOURS}
    assert number == {
        "Parasitized": 2,
        "Uninfected": 31,
        "Unclassified red cell": 0,
        "White cell": 1,
        "Platelet": 0,
        "Not a red cell": 1,
    }
    unclassified = AnalysedCell(1, FIELD.cells[0].found)
    assert class_of(unclassified) == "Unclassified red cell"


def test_imagej_reads_the_same_outlines(tmp_path: Path) -> None:
    path = tmp_path / "RoiSet.zip"
    write_rois(path, FIELD)
    read = roifile.roiread(path)
    assert isinstance(read, list)
    for roi, cell in zip(read, FIELD.cells, strict=True):
        np.testing.assert_array_equal(roi.coordinates(), cell.found.outline)
        assert_same_outline(filled(np.asarray(roi.coordinates())), cell)
        # Below this version ImageJ ignores fractions of a pixel.
        assert roi.subpixelresolution
        assert roi.version >= 222
        assert tuple(roi.stroke_color[1:]) == COLOURS[class_of(cell)]
    assert [read[place].name for place in (4, 5, 7, 10)] == [
        *("0005 White cell", "0006 Uninfected verified"),
        *("0008 Parasitized", "0011 Not a red cell verified"),
    ]
    assert read[5].properties == {
        "number": 6,
        "kind": "red cell",
        "predicted": "Parasitized",
        "verified": "Uninfected",
        "probability_parasitized": 0.9,
        "uncertain": "False",
        "site_warning": "False",
        "on_edge": "False",
        "score": 0.9,
    }
    assert [read[place].group for place in (4, 5, 7, 10)] == [4, 2, 1, 6]


def test_qupath_reads_the_same_outlines() -> None:
    features = json.loads(json.dumps(geojson(FIELD)))["features"]
    for feature, cell in zip(features, FIELD.cells, strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        np.testing.assert_array_equal(ring[:-1], cell.found.outline)
        assert_same_outline(filled(ring), cell)
    rejected, corrected = features[10]["properties"], features[5]["properties"]
    assert (rejected["classification"], rejected["verified"]) == (
        *({"name": "Not a red cell", "color": [128, 128, 128]}, NOT_A_RED_CELL),
    )
    assert (corrected["objectType"], corrected["classification"]["name"]) == ("detection", "Uninfected")
    assert (corrected["predicted"], corrected["verified"]) == ("Parasitized", "Uninfected")
    assert corrected["measurements"] == {
        "Area px^2": round(FIELD.cells[5].found.area, 2),
        "Verified": 1.0,
        "Probability parasitized": 0.9,
    }
    assert features[7]["properties"]["measurements"]["Verified"] == 0
    assert "Probability parasitized" not in features[20]["properties"]["measurements"]


def test_coco_reads_the_same_outlines(tmp_path: Path) -> None:
    refused = FieldResult("broken.jpg", (0, 0), refusal=Refusal("The file is damaged.", "damaged"))
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(coco([reviewed_field(2), refused, FIELD])))
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(path)
    assert [image["file_name"] for image in read.loadImgs([1, 2])] == ["field 2.jpg", "field 1.jpg"]
    annotations = read.loadAnns(read.getAnnIds(imgIds=[2]))
    assert sorted(read.anns) == list(range(1, 71))
    for annotation, cell in zip(annotations, FIELD.cells, strict=True):
        np.testing.assert_allclose(np.reshape(annotation["segmentation"], (-1, 2)), cell.found.outline)
        assert_same_outline(read.annToMask(annotation).astype(bool), cell)
        x, y, width, height = annotation["bbox"]
        np.testing.assert_allclose(
            [x, y, x + width, y + height], [*cell.found.outline.min(axis=0), *cell.found.outline.max(axis=0)]
        )
        assert annotation["area"] == pytest.approx(cell.found.area)
        assert read.loadCats([annotation["category_id"]])[0]["name"] == class_of(cell)
    assert annotations[5]["attributes"]["predicted"] == "Parasitized"
    assert annotations[5]["attributes"]["verified"] == "Uninfected"
    assert annotations[7]["attributes"]["verified"] is None


def test_label_masks_have_the_numbers_of_red_cells(tmp_path: Path) -> None:
    path = tmp_path / "labels.png"
    write_label_mask(path, FIELD)
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("I;16", SIZE)
        labels = np.asarray(image)
    assert set(np.unique(labels)) == set(range(36)) - {
        5,
        11,
    }  # the white cell, and one that a person rejected
    for cell in FIELD.cells:
        if cell.is_red:
            assert np.array_equal(labels == cell.number, whole_mask(cell.found))


def test_files_can_be_made_in_memory() -> None:
    for write, start in ((write_rois, b"PK"), (write_label_mask, b"\x89PNG")):
        file = io.BytesIO()
        write(file, FIELD)
        assert file.getvalue().startswith(start)
