"""Results of images, the pictures that are shown, and the files to download."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from malaria_detect.app.widgets.results import SHOWN_SIDE, Result, check, results_csv, results_report
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.inference.prediction import Refusal
from tests.app.widgets.fakes import METADATA, BrightnessDetector, prediction, red_png


def results(detector: BrightnessDetector, **files: bytes | memoryview) -> list[Result]:
    point = detector.metadata.point()
    uploads = [UploadedFile(name, content) for name, content in files.items()]
    return [check(detector, upload, point) for upload in uploads]  # type: ignore[arg-type]  # in place of a Detector


def shown(result: Result) -> Image.Image:
    return Image.open(io.BytesIO(result.picture))


def test_bad_images_are_refusals_among_the_others_in_order(detector: BrightnessDetector) -> None:
    found = results(detector, a=red_png(255), empty=b"", b=memoryview(red_png(0)), text=b"hello")
    assert [result.name for result in found] == ["a", "empty", "b", "text"]
    assert [isinstance(result.answer, Refusal) for result in found] == [False, True, False, True]
    assert [result.picture[:4] for result in found] == [b"\x89PNG", b"", b"\x89PNG", b""]


def test_pictures_are_small_and_without_what_else_the_file_held(detector: BrightnessDetector) -> None:
    file = io.BytesIO()
    details = Image.Exif()
    details[0x010E] = "patient 7"
    ramp, black = Image.linear_gradient("L").resize((1600, 400)), Image.new("L", (1600, 400))
    Image.merge("RGB", [ramp, black, black]).save(file, "JPEG", exif=details, comment=b"patient 7")
    assert b"patient 7" in file.getvalue()
    large, small = results(detector, a=file.getvalue(), b=red_png(77))
    picture = shown(large)
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (SHOWN_SIDE, SHOWN_SIDE // 4))
    assert b"patient 7" not in large.picture
    assert np.unique(np.asarray(shown(small))[..., 0]).tolist() == [77]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_spreadsheet_runs_no_file_name_as_a_formula(name: str) -> None:
    text = results_csv([Result(name, prediction(0.9, METADATA), b"")])
    (_, row) = csv.reader(io.StringIO(text, newline=""))
    assert row[0] == f"'{name}"


def test_a_name_that_utf_8_cannot_hold_does_not_cost_the_report() -> None:
    result = Result("lone \udce4.png", prediction(0.9, METADATA), red_png(9))
    assert b"lone \\udce4.png" in results_report([result], METADATA, METADATA.point())
