"""What is said of pictures, and what of them is shown."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from malaria_detect.app.results_table import COLUMNS
from malaria_detect.app.widgets.results import SHOWN_SIDE, Result, check, results_csv, results_report
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Refusal
from tests.app.widgets.fakes import BrightnessDetector, grey_png, prediction


def results(detector: BrightnessDetector, *uploads: UploadedFile) -> list[Result]:
    point = detector.metadata.point()
    return [check(detector, upload, point) for upload in uploads]  # type: ignore[arg-type]  # quacks like a Detector


def test_bad_pictures_are_refusals_among_the_others_in_order(detector: BrightnessDetector) -> None:
    found = results(
        detector,
        UploadedFile("a.png", grey_png(255)),
        UploadedFile("empty.png", b""),
        UploadedFile("b.png", memoryview(grey_png(0))),
        UploadedFile("text.png", b"hello"),
    )
    assert [result.name for result in found] == ["a.png", "empty.png", "b.png", "text.png"]
    assert [isinstance(result.answer, Refusal) for result in found] == [False, True, False, True]
    assert [result.picture[:4] for result in found] == [b"\x89PNG", b"", b"\x89PNG", b""]


def test_what_is_shown_is_made_anew_small_and_without_what_else_the_file_held(
    detector: BrightnessDetector,
) -> None:
    file = io.BytesIO()
    details = Image.Exif()
    details[0x010E] = "patient 7"
    Image.new("RGB", (1600, 400), "red").save(file, "JPEG", exif=details, comment=b"patient 7")
    assert b"patient 7" in file.getvalue()
    (result,) = results(detector, UploadedFile("a.jpg", file.getvalue()))
    shown = Image.open(io.BytesIO(result.picture))
    assert (shown.format, shown.mode, shown.size) == ("PNG", "RGB", (SHOWN_SIDE, SHOWN_SIDE // 4))
    assert b"patient 7" not in result.picture


def test_a_small_picture_is_shown_pixel_for_pixel(detector: BrightnessDetector) -> None:
    (result,) = results(detector, UploadedFile("a.png", grey_png(77)))
    assert np.unique(np.asarray(Image.open(io.BytesIO(result.picture)))).tolist() == [77]


@pytest.mark.parametrize(("grey", "uncertain"), [(10, False), (80, True), (150, True), (250, False)])
def test_a_decision_with_little_probability_is_uncertain(
    grey: int, uncertain: bool, detector: BrightnessDetector
) -> None:
    (result,) = results(detector, UploadedFile("a", grey_png(grey)))
    assert result.uncertain is uncertain


def test_csv_has_the_columns_of_the_command_line(detector: BrightnessDetector) -> None:
    text = results_csv(results(detector, UploadedFile("a, b.png", grey_png(51)), UploadedFile("c.png", b"")))
    first, second = csv.DictReader(io.StringIO(text))
    assert tuple(first) == COLUMNS
    assert (first["path"], first["decision"], first["probability_parasitized"]) == (
        "a, b.png",
        "Uninfected",
        "0.2",
    )
    assert (first["operating_point"], first["error"]) == ("balanced", "")
    assert (second["path"], second["decision"], second["probability_parasitized"]) == ("c.png", "", "")
    assert second["error"].startswith("The file is empty")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_spreadsheet_runs_no_file_name_as_a_formula(name: str, detector: BrightnessDetector) -> None:
    text = results_csv(results(detector, UploadedFile(name, grey_png(0))))
    (_, row) = csv.reader(io.StringIO(text, newline=""))
    assert row[0] == f"'{name}"


def test_another_operating_point_changes_the_decision_and_nothing_else(
    detector: BrightnessDetector, metadata: ModelMetadata
) -> None:
    (result,) = results(detector, UploadedFile("a.png", grey_png(77)))
    (screened, counted) = (result.at(metadata.point(name)) for name in ("screening", "counting"))
    assert (result.answer.decision, screened.answer.decision) == ("Uninfected", "Parasitized")  # type: ignore[union-attr]
    assert counted.answer.probabilities == screened.answer.probabilities  # type: ignore[union-attr]
    assert screened.picture is result.picture
    assert detector.asked == 1
    (refused,) = results(detector, UploadedFile("b.png", b""))
    assert refused.at(metadata.point("counting")) is refused


def test_a_name_that_no_file_can_hold_does_not_cost_the_report(metadata: ModelMetadata) -> None:
    name = "lone \udce4.png"  # what a browser may send, and UTF-8 cannot hold
    report = results_report(
        [Result(name, prediction(0.9, metadata), grey_png(9))], metadata, metadata.point()
    )
    assert b"lone \\udce4.png" in report
