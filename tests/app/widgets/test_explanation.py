"""Explanations on the cards: one at a time, of the current decision, and never shown if unreliable."""

import asyncio
import io
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from malaria_detect.app.widgets import CheckCells, UploadedFile, explanation
from malaria_detect.app.widgets.cards import CellCards
from malaria_detect.app.widgets.explanation import ResultExplainer, Shown, explainer_of
from malaria_detect.app.widgets.results import Result
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.explain import Explanation
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Refusal
from tests.app.widgets.fakes import METADATA, Messages, hear, of_type, prediction, red_png


def explain(result: Result) -> Shown:
    return Shown(f"Of {result.name}.", b"" if result.name == "b.png" else b"\x89PNG layer")


@pytest.fixture
def cards() -> CellCards:
    """Two results; "b.png" has no reliable explanation."""
    cards = CellCards(METADATA, explain=explain)
    for name in ("a.png", "b.png"):
        cards.add(Result(name, prediction(0.6, METADATA), red_png(150)))
    return cards


def test_a_card_is_explained_at_its_operating_point(cards: CellCards, told: Messages) -> None:
    hear(cards, type="explain", id=0)
    cards.decide(METADATA.point("counting"))
    hear(cards, type="explain", id=1)
    reliable, unreliable = of_type(told, "explained")
    assert (reliable["id"], reliable["point"], reliable["sentence"]) == (0, "balanced", "Of a.png.")
    assert reliable["buffers"] == [b"\x89PNG layer"]
    assert (unreliable["id"], unreliable["point"], unreliable["sentence"]) == (1, "counting", "Of b.png.")
    assert "buffers" not in unreliable
    assert (cards.explains, CellCards(METADATA).explains) == (True, False)


def test_an_unknown_or_cleared_card_is_not_explained(cards: CellCards, told: Messages) -> None:
    for number in (2, -1, None, "0", 0.0):
        hear(cards, type="explain", id=number)
    cards.clear()
    cards.add(Result("c.png", prediction(0.6, METADATA), red_png(150)))
    hear(cards, type="explain", id=0)
    assert of_type(told, "explained") == []
    hear(cards, type="explain", id=2)
    assert of_type(told, "explained")[0]["sentence"] == "Of c.png."


def test_an_explanation_in_a_thread_arrives_later(told: Messages) -> None:
    async def visit() -> None:
        cards = CellCards(METADATA, explain=explain, in_threads=True)
        cards.add(Result("a.png", prediction(0.6, METADATA), b""))
        hear(cards, type="explain", id=0)
        await asyncio.wait(cards._explaining)
        await asyncio.sleep(0)
        assert cards._explaining == set()

    asyncio.run(visit())
    assert of_type(told, "explained")[0]["sentence"] == "Of a.png."


@pytest.fixture
def explainer(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Stands in for the class Explainer, and marks a square of 10 px."""
    marked = np.zeros((60, 60), dtype=bool)
    marked[10:20, 10:20] = True
    explainer = Mock()
    found = Explanation("Parasitized", "reliable", marked.astype(np.float32), marked)
    explainer.return_value.explain.return_value = found
    monkeypatch.setattr(explanation, "Explainer", explainer)
    return explainer


def test_the_network_is_copied_at_the_first_question_only(explainer: Mock, detector: Detector) -> None:
    explain = ResultExplainer(explainer_of(detector))
    explainer.assert_not_called()
    result = Result("a.png", prediction(0.9, METADATA), b"", original=red_png(100))
    shown = [explain(result) for _ in range(2)][-1]
    explainer.assert_called_once_with(detector)
    with Image.open(io.BytesIO(shown.layer)) as layer:
        assert (layer.mode, layer.size) == ("RGBA", (60, 60))
        assert np.asarray(layer)[50, 50, 3] == 0
        assert np.asarray(layer)[15, 15, 3] > 0
    work = explainer.return_value.explain
    work.return_value = replace(work.return_value, finding="not_confirmed")
    assert explain(result).layer == b""


def test_a_refused_image_is_not_explained(explainer: Mock, detector: Detector) -> None:
    assert ResultExplainer(explainer_of(detector))(Result("a.png", Refusal("Empty.", "empty"), b"")).sentence
    explainer.assert_not_called()


def test_a_detector_that_explains_gets_the_image_as_it_was_uploaded(detector: Any) -> None:
    detector.explain = Mock(side_effect=MalariaDetectError("The server is busy.", "no_answer"))
    view = CheckCells(detector)
    large = red_png(100, side=1000)
    view.upload.take([UploadedFile("a.png", memoryview(large))])
    (result,) = view.cards.results
    assert ResultExplainer(explainer_of(detector))(result) == Shown("The server is busy.")
    detector.explain.assert_called_once_with(large, result.answer)
