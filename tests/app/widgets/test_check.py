"""The view "Check cells" from upload to cards."""

import asyncio
import logging
from typing import Any
from unittest.mock import Mock

import pytest

from malaria_detect.app.widgets import check
from malaria_detect.app.widgets.check import MAX_KEPT, CheckCells
from malaria_detect.app.widgets.upload import MAX_IMAGES, UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.detector import Detector
from tests.app.widgets.fakes import METADATA, Messages, hear, red_png


@pytest.fixture
def view(detector: Detector, no_cells: None) -> CheckCells:
    return CheckCells(detector)


def greys(number: int, grey: int = 9, name: str = "") -> list[UploadedFile]:
    return [UploadedFile(name or f"{index}.png", red_png(grey)) for index in range(number)]


def names(view: CheckCells) -> list[str]:
    return [result.name for result in view.cards.results]


async def all_done(view: CheckCells) -> None:
    """Let the view's own task end, and what depends on its end."""
    assert view.queue.task is not None
    await asyncio.wait([view.queue.task])
    await asyncio.sleep(0)


async def first_card(view: CheckCells) -> None:
    while not view.cards.results:
        await asyncio.sleep(0)


def test_cards_come_one_by_one_in_the_order_of_upload(view: CheckCells, told: Messages) -> None:
    view.upload.take(greys(2))
    assert [(one["type"], one.get("done")) for one in told] == [
        *(("state", 0), ("card", None), ("state", 1), ("card", None), ("state", 2)),
        ("taken", None),
    ]
    view.upload.take(greys(1))
    assert names(view) == ["0.png", "1.png", "0.png"]


def test_a_second_upload_waits_its_turn_and_a_third_is_refused(view: CheckCells, told: Messages) -> None:
    async def visit() -> None:
        view.upload.take(greys(MAX_IMAGES - 1))
        view.upload.take(greys(1, name="late.png"))
        assert names(view) == []  # the kernel could hear the second
        view.upload.take(greys(1, name="refused.png"))
        assert told[-1]["type"] == "refused"
        await all_done(view)

    asyncio.run(visit())
    assert names(view) == [f"{index}.png" for index in range(MAX_IMAGES - 1)] + ["late.png"]


def test_no_visitor_fills_the_memory(view: CheckCells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MAX_KEPT_BYTES", 2 * len(red_png(9)))
    view.upload.take(greys(2))
    assert view._receive(greys(1)) is not None
    view.cards.clear()
    assert view._receive(greys(1)) is None
    monkeypatch.undo()
    view.cards.results *= MAX_KEPT
    assert str(MAX_KEPT) in (view._receive(greys(1)) or "")
    assert len(names(view)) == MAX_KEPT


def test_clear_stops_the_work_and_the_next_upload_starts_again(view: CheckCells) -> None:
    async def visit() -> None:
        view.upload.take(greys(MAX_IMAGES))
        await first_card(view)
        view.cards.clear()
        await all_done(view)
        assert view.cards.results == []
        view.upload.take(greys(1, name="new.png"))
        await all_done(view)

    asyncio.run(visit())
    assert names(view) == ["new.png"]


@pytest.mark.parametrize(
    ("error", "shown"),
    [(MemoryError("no room"), "server's log"), (MalariaDetectError("No answer.", "no_answer"), "No answer.")],
)
def test_a_failure_is_shown_and_logged_and_the_next_upload_is_checked(
    error: Exception,
    shown: str,
    view: CheckCells,
    detector: Any,
    told: Messages,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(view.log, "propagate", True)

    async def visit() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(detector, "predict", Mock(side_effect=error))
            view.upload.take(greys(2))
            await all_done(view)
        assert shown in told[-1]["problem"]
        assert told[-1]["done"] == told[-1]["total"]
        view.upload.take(greys(1, name="next.png"))
        await all_done(view)

    with caplog.at_level(logging.ERROR):
        asyncio.run(visit())
    assert str(error) in caplog.text
    assert names(view) == ["next.png"]
    assert told[-1]["problem"] == ""


def test_outside_a_kernel_a_failure_is_raised(view: CheckCells, detector: Any) -> None:
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(detector, "predict", Mock(side_effect=MalariaDetectError("No answer.", "no_answer")))
        with pytest.raises(MalariaDetectError):
            view.upload.take(greys(2))
    view.upload.take(greys(1, name="next.png"))
    assert names(view) == ["next.png"]


def test_another_operating_point_does_not_run_the_network(view: CheckCells, detector: Any) -> None:
    async def visit() -> None:
        view.upload.take(greys(4, grey=77))  # a probability of 0.30
        await first_card(view)
        view.choice.chosen = "screening"
        await all_done(view)

    asyncio.run(visit())
    for point, decision in (("screening", "Parasitized"), ("counting", "Uninfected")):
        hear(view.choice, type="choose", name=point)
        assert view.cards.point == METADATA.point(point)
        assert [one.answer.decision for one in view.cards.results] == [decision] * 4  # type: ignore[union-attr]
    assert detector.asked == 4
    assert CheckCells(detector, view.choice).cards.point.name == "counting"
