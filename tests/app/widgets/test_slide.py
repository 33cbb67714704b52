"""The view "Analyse a slide" from photographs to counts and files, with cells that are known."""

import asyncio
import csv
import io
import json
import re
import zipfile
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import roifile
from PIL import Image

from malaria_detect.app.widgets.field_review import SHOWN_DIAMETER
from malaria_detect.app.widgets.field_upload import MAX_FIELDS
from malaria_detect.app.widgets.slide import MAX_WAITING, AnalyseSlide
from malaria_detect.app.widgets.slide_downloads import DOWNLOADS
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.result import NOT_A_RED_CELL
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.app.widgets.fakes import METADATA, KnownAnalyser, Messages, hear, of_type, png_of, saved
from tests.drawn_fields import drawn_field
from tests.known_finder import FEW

PARASITIZED, UNINFECTED = CLASSES
# Numbers of the cells of a drawn field: on the edge, white, two parasitized, uncertain, two uninfected.
EDGE, WHITE, INFECTED, _, UNCERTAIN, HEALTHY, _ = range(1, 8)


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    return [png_of(drawn_field(seed, FEW)[0]) for seed in (0, 1)]


@pytest.fixture
def view(told: Messages) -> AnalyseSlide:
    return AnalyseSlide(KnownAnalyser(), METADATA)


@pytest.fixture
def slide(view: AnalyseSlide, photographs: list[bytes]) -> AnalyseSlide:
    """Two fields that are analysed, and a file that is none."""
    for name, content in zip(("secret a.png", "secret b.png"), photographs, strict=True):
        view.take(UploadedFile(name, content))
    view.take(UploadedFile("broken.png", photographs[0][:999]))
    return view


def last(told: Messages, kind: str) -> dict[str, Any]:
    return of_type(told, kind)[-1]


def correct(slide: AnalyseSlide, kind: str, field: int = 0, **content: Any) -> None:
    hear(slide.review, type=kind, field=field, **content)


def counts(slide: AnalyseSlide) -> tuple[int, int, int, int, int]:
    """Cells, parasitized, uncertain, verified, and verified as parasitized."""
    now = slide.review.slide
    return now.cells, now.parasitized, now.uncertain, now.verified, now.verified_parasitized


def downloaded(slide: AnalyseSlide, kind: str, told: Messages) -> tuple[str, bytes]:
    hear(slide.review, type="download", kind=kind)
    file = last(told, "file")
    return file["name"], file["buffers"][0]


def test_each_field_is_shown_as_soon_as_it_is_analysed(slide: AnalyseSlide, told: Messages) -> None:
    states = of_type(told, "state")
    shown = [len(state["fields"]) for state in states]
    assert shown == sorted(shown)
    assert {1, 2, 3} <= set(shown)
    rows = states[-1]["fields"]
    assert [row["name"] for row in rows] == ["secret a.png", "secret b.png", "broken.png"]
    assert [bool(row["refusal"]) for row in rows] == [False, False, True]
    assert [row["values"][:4] for row in rows[:2]] == [["5", "2", "1", "0"]] * 2
    assert (states[-1]["done"], states[-1]["total"], states[-1]["problem"]) == (3, 3, "")
    assert counts(slide) == (10, 4, 2, 0, 0)
    assert [int(number) for number in re.findall(r"\d+", states[-1]["sentence"])][:3] == [4, 10, 40]


def test_the_operating_point_of_slides_is_the_one_for_counting(slide: AnalyseSlide, told: Messages) -> None:
    assert slide.review.point.name == slide.choice.chosen == "counting"
    correct(slide, "judge", cell=HEALTHY, verdict=PARASITIZED)
    hear(slide.choice, type="choose", name="balanced")
    # The uncertain cell, at 0.5, is now above the threshold; the verdict stays.
    assert counts(slide) == (10, 7, 2, 1, 1)
    assert [len(message["cells"]) for message in of_type(told, "cells")[-3:]] == [7, 7, 0]


def test_a_field_is_sent_with_its_picture_and_cells_and_never_saved(
    slide: AnalyseSlide, told: Messages
) -> None:
    correct(slide, "show")
    message = last(told, "field")
    with Image.open(io.BytesIO(message["buffers"][0])) as picture:
        assert (picture.format, picture.size) == ("JPEG", FEW.size)
    cells = {cell["id"]: cell for cell in message["cells"]}
    assert (message["name"], message["size"], list(cells)) == ("secret a.png", FEW.size, [*range(1, 8)])
    assert [cell["look"] for cell in cells.values()] == [
        *("uninfected", "other", "parasitized", "parasitized", "uninfected", "uninfected", "uninfected")
    ]
    assert message["first"] == [UNCERTAIN, 3, 4]  # 3 and 4 are parasitized
    assert (cells[EDGE]["edge"], cells[WHITE]["edge"]) == (True, False)
    assert len(cells[HEALTHY]["outline"]) == 2 * len(drawn_field(0, FEW)[1][HEALTHY - 1])
    for widget in (slide, slide.upload, slide.review):
        assert "secret" not in saved(widget)


def test_progress_is_that_of_the_slide_and_ends_when_the_last_file_cannot_be_read(
    view: AnalyseSlide, photographs: list[bytes], told: Messages
) -> None:
    def progress() -> tuple[int, int]:
        return last(told, "state")["done"], last(told, "state")["total"]

    hear(view.upload, type="offer", files=[{"id": one, "name": f"{one}.png", "size": 9} for one in "ab"])
    assert progress() == (0, 2)
    view.take(UploadedFile("c.png", photographs[0]))
    assert progress() == (1, 3)
    for one in "ab":
        hear(view.upload, type="skip", file=one)
    assert progress() == (1, 1)


def test_a_full_slide_takes_no_field_of_the_other_tab(
    view: AnalyseSlide, photographs: list[bytes], told: Messages
) -> None:
    for number in range(MAX_FIELDS + 1):
        view.take(UploadedFile(f"{number}.png", b"no picture"))
    assert len(view.review.fields) == MAX_FIELDS
    assert last(told, "state")["problem"]


def test_a_large_photograph_is_shown_smaller() -> None:
    from malaria_detect.app.widgets.field_review import shown_picture

    picture = shown_picture(Image.new("RGB", (5312, 2988)), 2 * SHOWN_DIAMETER)
    assert Image.open(io.BytesIO(picture)).size == (2656, 1494)


def test_corrections_change_the_counts_at_once(slide: AnalyseSlide, told: Messages) -> None:
    correct(slide, "judge", cell=UNCERTAIN, verdict=PARASITIZED)
    assert counts(slide) == (10, 5, 1, 1, 1)
    changed = last(told, "cells")
    assert [cell["id"] for cell in changed["cells"]] == [UNCERTAIN]
    assert (changed["gone"], changed["chosen"], changed["undo"]) == ([], None, True)
    correct(slide, "judge", cell=INFECTED, verdict=NOT_A_RED_CELL)
    assert counts(slide) == (9, 4, 1, 1, 1)
    x, y = slide.review.results[0].cells[HEALTHY - 1].found.centre
    correct(slide, "split", cell=HEALTHY, line=[x - 90, y, x + 90, y])
    changed = last(told, "cells")
    assert (changed["gone"], [cell["id"] for cell in changed["cells"]], changed["chosen"]) == (
        [HEALTHY],
        [8, 9],
        8,
    )
    correct(slide, "judge", cell=8, verdict=UNINFECTED)
    assert counts(slide) == (9, 4, 1, 2, 1)
    correct(slide, "undo")
    correct(slide, "undo")
    assert (last(told, "cells")["gone"], counts(slide)) == ([8, 9], (9, 4, 1, 1, 1))
    correct(slide, "accept", field=1)
    assert counts(slide) == (9, 4, 0, 6, 3)
    assert last(told, "state")["fields"][1]["values"][:4] == ["5", "2", "0", "5"]


def test_a_click_adds_a_cell_of_the_usual_size_and_a_drag_one_of_its_own(
    slide: AnalyseSlide, told: Messages
) -> None:
    free = slide.review.results[0]
    taken = np.array([cell.found.centre for cell in free.cells])
    x, y = next(
        (x, y)
        for x in range(40, 280, 8)
        for y in range(40, 280, 8)
        if np.hypot(*(taken - (x, y)).T).min() > 1.4 * FEW.diameter
    )
    correct(slide, "add", box=[x, y, x + 1, y])
    added = slide.review.results[0].cells[-1]
    assert (added.number, last(told, "cells")["chosen"]) == (8, 8)
    assert added.found.box[2:] == pytest.approx((free.cell_diameter,) * 2, abs=2)
    correct(slide, "undo")
    correct(slide, "add", box=[x - 10, y - 8, x + 10, y + 8])
    assert slide.review.results[0].cells[-1].found.box[2:] == (20, 16)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "judge", "field": 0, "cell": 99, "verdict": PARASITIZED},
        {"type": "judge", "field": 0, "cell": HEALTHY, "verdict": "healthy"},
        {"type": "judge", "field": 2, "cell": HEALTHY, "verdict": PARASITIZED},
        {"type": "judge", "field": 9, "cell": HEALTHY, "verdict": PARASITIZED},
        {"type": "judge", "field": "0", "cell": HEALTHY, "verdict": PARASITIZED},
        {"type": "split", "field": 0, "cell": HEALTHY, "line": [0, 0, 1]},
        {"type": "split", "field": 0, "cell": HEALTHY, "line": [0, 0, 1, None]},
        {"type": "add", "field": 0, "box": [-50, 0, -50, 0]},
        {"type": "add", "field": 0, "box": "0000"},
        {"type": "download", "kind": "passwords"},
        {"type": "undo", "field": 0},
        {},
    ],
)
def test_an_invalid_message_changes_nothing(message: dict[str, Any], slide: AnalyseSlide) -> None:
    before = slide.review.results
    hear(slide.review, **message)
    assert all(now is then for now, then in zip(slide.review.results, before, strict=True))


def test_every_file_holds_both_fields_with_verdicts_apart(slide: AnalyseSlide, told: Messages) -> None:
    correct(slide, "judge", cell=UNCERTAIN, verdict=PARASITIZED)
    files = {kind: downloaded(slide, kind, told) for kind in DOWNLOADS}
    rows = list(csv.DictReader(io.StringIO(files["cells"][1].decode("utf-8-sig"))))
    assert [row["decision"] for row in rows].count(PARASITIZED) == 5
    assert [(row["cell"], row["verified"]) for row in rows if row["verified"]] == [
        (f"{UNCERTAIN}", PARASITIZED)
    ]
    assert {row["image"] for row in rows} == {"secret a.png", "secret b.png"}
    coco = json.loads(files["coco"][1])
    assert (len(coco["images"]), len(coco["annotations"])) == (2, 14)
    assert RESEARCH_USE in files["report"][1].decode()
    archives = {kind: zipfile.ZipFile(io.BytesIO(files[kind][1])) for kind in ("geojson", "rois", "masks")}
    assert [len(archive.namelist()) for archive in archives.values()] == [2, 2, 2]
    first = json.loads(archives["geojson"].read("secret a.png.geojson"))
    verified = [one["properties"]["verified"] for one in first["features"]]
    assert verified == [None] * 4 + [PARASITIZED] + [None] * 2
    assert Image.open(archives["masks"].open("secret b.png.labels.png")).size == FEW.size
    with zipfile.ZipFile(archives["rois"].open("secret a.png.RoiSet.zip")) as rois:
        assert len([roifile.ImagejRoi.frombytes(rois.read(name)) for name in rois.namelist()]) == 7


def test_a_single_field_is_not_packed(view: AnalyseSlide, photographs: list[bytes], told: Messages) -> None:
    view.take(UploadedFile("a.png", photographs[0]))
    name, content = downloaded(view, "geojson", told)
    assert (name, len(json.loads(content)["features"])) == ("a.png.geojson", 7)


def test_photographs_of_one_name_get_different_ones(view: AnalyseSlide, photographs: list[bytes]) -> None:
    for content in (*photographs, b""):
        view.take(UploadedFile("image.png", content))
    assert [result.name for result in view.review.results] == ["image.png", "image_2.png", "image_3.png"]


def test_a_failure_loses_nothing_already_analysed(
    view: AnalyseSlide, photographs: list[bytes], told: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    view.take(UploadedFile("a.png", photographs[0]))
    with monkeypatch.context() as lost:
        no_answer = Mock(side_effect=MalariaDetectError("No answer. Try again later.", reason="no_answer"))
        lost.setattr(view._analyser, "analyse_field", no_answer)
        view.take(UploadedFile("b.png", photographs[1]))
    view.take(UploadedFile("c.png", photographs[1]))
    assert [row["refusal"] for row in last(told, "state")["fields"]] == [
        "",
        "No answer. Try again later.",
        "",
    ]
    assert counts(view)[0] == 10


def test_no_more_than_a_few_photographs_are_in_memory(
    view: AnalyseSlide, photographs: list[bytes], told: Messages
) -> None:
    size = len(photographs[0])

    async def visit() -> None:
        offered = [{"id": f"{n}", "name": "a.png", "size": size} for n in range(5)]
        hear(view.upload, type="offer", files=offered)
        for file in ("0", "1", "2"):
            hear(view.upload, [photographs[0]], type="part", file=file, at=0)
        assert len(view.queue.waiting) == MAX_WAITING
        assert last(told, "want")["file"] is None
        while last(told, "want")["file"] != "2":
            await asyncio.sleep(0)
        hear(view.review, type="clear")
        await asyncio.sleep(0)

    asyncio.run(visit())
    assert (view.review.fields, view.upload.offered, len(view.queue.waiting)) == ([], 0, 0)
    assert view._room() == MAX_FIELDS
