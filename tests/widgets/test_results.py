"""What is said of pictures, and what of them is shown."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from malaria_detect.detector import Refusal
from malaria_detect.metrics import score
from malaria_detect.widgets.results import (
    SHOWN_SIDE,
    Result,
    caution,
    check,
    percent,
    results_csv,
    summary,
)
from malaria_detect.widgets.upload import Upload
from tests.widgets.fakes import BrightnessDetector, grey_png


def results(detector: BrightnessDetector, *uploads: Upload) -> list[Result]:
    return [check(detector, upload) for upload in uploads]  # type: ignore[arg-type]  # quacks like a Detector


def test_bad_pictures_are_refusals_among_the_others_in_order(detector: BrightnessDetector) -> None:
    found = results(
        detector,
        Upload("a.png", grey_png(255)),
        Upload("empty.png", b""),
        Upload("b.png", memoryview(grey_png(0))),
        Upload("text.png", b"hello"),
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
    (result,) = results(detector, Upload("a.jpg", file.getvalue()))
    shown = Image.open(io.BytesIO(result.picture))
    assert (shown.format, shown.mode, shown.size) == ("PNG", "RGB", (SHOWN_SIDE, SHOWN_SIDE // 4))
    assert b"patient 7" not in result.picture


def test_a_small_picture_is_shown_pixel_for_pixel(detector: BrightnessDetector) -> None:
    (result,) = results(detector, Upload("a.png", grey_png(77)))
    assert np.unique(np.asarray(Image.open(io.BytesIO(result.picture)))).tolist() == [77]


@pytest.mark.parametrize(
    ("greys", "bad", "sentence"),
    [
        ((255, 255, 0), 0, "2 of 3 cells look parasitized."),
        ((255, 0), 0, "1 of 2 cells looks parasitized."),
        ((0,), 0, "0 of 1 cell looks parasitized."),
        ((255,), 1, "1 of 1 cell looks parasitized. 1 picture could not be checked."),
        ((0, 0), 2, "0 of 2 cells look parasitized. 2 pictures could not be checked."),
    ],
)
def test_summary_counts_cells_and_refusals(
    greys: tuple[int, ...], bad: int, sentence: str, detector: BrightnessDetector
) -> None:
    uploads = [Upload("a", grey_png(grey)) for grey in greys] + [Upload("b", b"")] * bad
    assert summary(results(detector, *uploads)) == sentence


@pytest.mark.parametrize(("grey", "doubtful"), [(10, False), (80, True), (150, True), (250, False)])
def test_a_decision_with_little_probability_is_doubtful(
    grey: int, doubtful: bool, detector: BrightnessDetector
) -> None:
    (result,) = results(detector, Upload("a", grey_png(grey)))
    assert result.doubtful is doubtful


def test_csv_has_the_columns_of_the_command_line(detector: BrightnessDetector) -> None:
    text = results_csv(results(detector, Upload("a, b.png", grey_png(51)), Upload("c.png", b"")))
    first, second = csv.DictReader(io.StringIO(text))
    assert first == {"path": "a, b.png", "label": "Uninfected", "probability_parasitized": "0.2", "error": ""}
    assert (second["path"], second["label"], second["probability_parasitized"]) == ("c.png", "", "")
    assert second["error"].startswith("The file is empty")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_spreadsheet_runs_no_file_name_as_a_formula(name: str, detector: BrightnessDetector) -> None:
    text = results_csv(results(detector, Upload(name, grey_png(0))))
    (_, row) = csv.reader(io.StringIO(text, newline=""))
    assert row[0] == f"'{name}"


def test_caution_tells_what_the_passport_counted() -> None:
    scores = score([True] * 4 + [False] * 5, [0.9, 0.8, 0.7, 0.1, 0.6, 0, 0, 0, 0], list("ABCABCABC"))
    assert "missed 1 of 4 parasitized cells (25.0\N{NO-BREAK SPACE}%)" in caution(scores)
    assert "called 1 of 5 uninfected ones parasitized (20.0\N{NO-BREAK SPACE}%)" in caution(scores)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (1e-9, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (0.5, "50.0 %"),
        (0.9994, "99.9 %"),
        (0.9996, "> 99.9 %"),
    ],
)
def test_percent_claims_no_certainty_that_is_not_there(share: float, words: str) -> None:
    assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == words
