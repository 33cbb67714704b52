"""The view "Check cells" from upload to cards."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from malaria_detect.app.widgets import OperatingPointChoice, check
from malaria_detect.app.widgets.check import MAX_KEPT, CheckCells
from malaria_detect.app.widgets.upload import MAX_IMAGES, UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CELLS_VARIABLE
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Prediction
from tests.app.widgets.fakes import BrightnessDetector, grey_png


@pytest.fixture(autouse=True)
def no_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CELLS_VARIABLE, str(tmp_path / "nowhere"))


@pytest.fixture
def view(detector: BrightnessDetector) -> CheckCells:
    return CheckCells(detector)  # type: ignore[arg-type]  # quacks like a Detector


def greys(number: int) -> list[UploadedFile]:
    return [UploadedFile(f"{index}.png", grey_png(index)) for index in range(number)]


def names(view: CheckCells) -> list[str]:
    return [result.name for result in view.cards.results]


def test_every_upload_gets_its_card_in_order(view: CheckCells) -> None:
    view.upload.take(greys(MAX_IMAGES))
    assert names(view) == [f"{index}.png" for index in range(MAX_IMAGES)]


def test_each_card_comes_as_soon_as_its_picture_is_checked(
    view: CheckCells, told: list[dict[str, Any]]
) -> None:
    view.upload.take(greys(2))
    assert [(one["type"], one.get("done")) for one in told] == [
        *(("state", 0), ("card", None), ("state", 1), ("card", None), ("state", 2)),
        ("taken", None),
    ]


def test_the_same_name_twice_is_two_pictures(view: CheckCells) -> None:
    view.upload.take([UploadedFile("a.png", grey_png(0)), UploadedFile("a.png", grey_png(255))])
    view.upload.take([UploadedFile("a.png", grey_png(0))])
    assert names(view) == ["a.png"] * 3


def test_a_second_upload_while_the_first_is_checked_waits_its_turn(view: CheckCells) -> None:
    async def visit() -> None:
        view.upload.take(greys(2))
        view.upload.take([UploadedFile("late.png", grey_png(9))])
        assert names(view) == []  # the kernel has not been kept from hearing the second
        await all_done(view)

    asyncio.run(visit())
    assert names(view) == ["0.png", "1.png", "late.png"]


def test_no_more_than_one_full_upload_waits(view: CheckCells, told: list[dict[str, Any]]) -> None:
    async def visit() -> None:
        view.upload.take(greys(MAX_IMAGES))
        view.upload.take(greys(1))
        assert told[-1]["type"] == "refused"
        assert "still being checked" in told[-1]["message"]
        await all_done(view)

    asyncio.run(visit())
    assert len(view.cards.results) == MAX_IMAGES


def test_no_visitor_fills_the_memory(view: CheckCells) -> None:
    for _ in range(MAX_KEPT // MAX_IMAGES):
        view.upload.take(greys(MAX_IMAGES))
    assert len(names(view)) == MAX_KEPT
    assert "keeps at most 300 images" in (view._receive(greys(1)) or "")
    assert len(names(view)) == MAX_KEPT


def test_the_files_that_are_kept_are_limited_in_size_until_they_are_cleared(
    view: CheckCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(grey_png(1))
    monkeypatch.setattr(check, "MAX_KEPT_BYTES", 2 * size)
    view.upload.take([UploadedFile("a.png", grey_png(1)), UploadedFile("b.png", grey_png(1))])
    assert view._receive([UploadedFile("c.png", grey_png(1))]) is not None
    view.cards.clear()
    assert view._receive([UploadedFile("c.png", grey_png(1))]) is None


def test_clear_stops_the_work_and_the_next_upload_starts_anew(view: CheckCells) -> None:
    async def visit() -> None:
        view.upload.take(greys(MAX_IMAGES))
        while not view.cards.results:
            await asyncio.sleep(0)
        view.cards.clear()
        await all_done(view)
        assert view.cards.results == []
        view.upload.take([UploadedFile("new.png", grey_png(3))])
        await all_done(view)

    asyncio.run(visit())
    assert names(view) == ["new.png"]


def test_a_failure_is_told_in_a_sentence_and_logged_and_the_view_works_on(
    view: CheckCells,
    detector: BrightnessDetector,
    told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: Image.Image) -> Prediction:
        raise MemoryError("no room")

    monkeypatch.setattr(view.log, "propagate", True)

    async def visit() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(detector, "predict", fail)
            view.upload.take(greys(1))
            await all_done(view)
        assert told[-1]["problem"].startswith("Not all images could be checked")
        assert told[-1]["done"] == told[-1]["total"]
        view.upload.take(greys(1))
        await all_done(view)

    with caplog.at_level(logging.ERROR):
        asyncio.run(visit())
    assert "no room" in caplog.text
    assert names(view) == ["0.png"]
    assert told[-1]["problem"] == ""


def test_outside_a_kernel_a_failure_is_raised_and_the_next_upload_is_checked(
    view: CheckCells, detector: BrightnessDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise MalariaDetectError("No answer.")

    with monkeypatch.context() as broken:
        broken.setattr(detector, "predict", fail)
        with pytest.raises(MalariaDetectError, match="No answer"):
            view.upload.take(greys(2))
    view.upload.take([UploadedFile("next.png", grey_png(9))])
    assert names(view) == ["next.png"]


def test_the_operating_point_decides_anew_without_asking_the_network(
    view: CheckCells, detector: BrightnessDetector, told: list[dict[str, Any]]
) -> None:
    view.upload.take(
        [UploadedFile("a.png", grey_png(77)), UploadedFile("b.png", grey_png(255))]
    )  # 0.30 and 1
    for point, kinds in {
        "screening": ["parasitized", "parasitized"],
        "counting": ["uninfected", "parasitized"],
    }.items():
        told.clear()
        view.choice._handle_custom_msg({"type": "choose", "name": point}, [])
        decided, state, answer = told
        assert [one["kind"] for one in decided["cards"]] == kinds
        assert f"“{point}”" in state["caution"]
        assert answer == {"type": "chosen"}
    assert detector.asked == 2


def test_pictures_that_are_checked_while_the_operating_point_changes_follow_it(view: CheckCells) -> None:
    async def visit() -> None:
        view.upload.take([UploadedFile(f"{index}.png", grey_png(77)) for index in range(4)])
        while not view.cards.results:
            await asyncio.sleep(0)
        view.choice.chosen = "screening"
        await all_done(view)

    asyncio.run(visit())
    assert [result.answer.decision for result in view.cards.results] == ["Parasitized"] * 4  # type: ignore[union-attr]


def test_the_view_begins_at_the_chosen_operating_point(
    detector: BrightnessDetector, metadata: ModelMetadata
) -> None:
    choice = OperatingPointChoice(metadata)
    choice.chosen = "counting"
    view = CheckCells(detector, choice)  # type: ignore[arg-type]  # quacks like a Detector
    assert view.cards.point.name == "counting"


async def all_done(view: CheckCells) -> None:
    """Let the view's own task end, and what hangs on its end."""
    assert view._task is not None
    await asyncio.wait([view._task])
    await asyncio.sleep(0)
