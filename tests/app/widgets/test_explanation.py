"""Explanations on the cards: asked for one at a time, of the decision that stands, and never shown where unreliable."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from malaria_detect.app.widgets import CheckCells, UploadedFile, explanation
from malaria_detect.app.widgets.cards import CellCards
from malaria_detect.app.widgets.explanation import ResultExplainer, Shown, explainer_of
from malaria_detect.app.widgets.results import Result
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.explain import Explanation
from malaria_detect.explain.explainer import Finding
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Refusal
from tests.app.widgets.fakes import BrightnessDetector, grey_png, prediction


def ask(cards: CellCards, number: object) -> None:
    cards._handle_custom_msg({"type": "explain", "id": number}, [])


def explained(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in told if message["type"] == "explained"]


@pytest.fixture
def cards(metadata: ModelMetadata) -> CellCards:
    """Two results, explained as their names say; "b.png" has no reliable explanation."""

    def explain(result: Result) -> Shown:
        return Shown(f"Of {result.name}.", b"" if result.name == "b.png" else b"\x89PNG layer")

    cards = CellCards(metadata, explain=explain)
    for name in ("a.png", "b.png"):
        cards.add(Result(name, prediction(0.6, metadata), grey_png(150)))
    return cards


def test_only_the_card_that_was_asked_for_is_explained(
    cards: CellCards, told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    ask(cards, 0)
    (message,) = explained(told)
    assert message == {
        "type": "explained",
        "id": 0,
        "point": metadata.point().name,
        "sentence": "Of a.png.",
        "buffers": [b"\x89PNG layer"],
    }


def test_without_a_reliable_explanation_there_is_a_sentence_and_no_picture(
    cards: CellCards, told: list[dict[str, Any]]
) -> None:
    ask(cards, 1)
    (message,) = explained(told)
    assert message["sentence"] == "Of b.png."
    assert "buffers" not in message


def test_an_explanation_is_of_the_decision_at_the_operating_point(
    cards: CellCards, told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    cards.decide(metadata.point("counting"))
    ask(cards, 0)
    assert explained(told)[0]["point"] == "counting"


@pytest.mark.parametrize("number", [2, -1, None, "0", 0.0])
def test_a_card_that_is_not_there_is_not_explained(
    cards: CellCards, told: list[dict[str, Any]], number: object
) -> None:
    ask(cards, number)
    assert explained(told) == []


def test_a_card_that_was_cleared_meanwhile_is_not_explained(
    cards: CellCards, told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    cards.clear()
    cards.add(Result("c.png", prediction(0.6, metadata), grey_png(150)))
    ask(cards, 0)
    assert explained(told) == []
    ask(cards, 2)
    assert explained(told)[0]["sentence"] == "Of c.png."


def test_cards_without_a_model_have_no_button(metadata: ModelMetadata, cards: CellCards) -> None:
    assert cards.explains
    assert not CellCards(metadata).explains


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """Stands in for the explainer; returns what it was asked for."""

    def stand_in(reliable: bool) -> list[str]:
        asked: list[str] = []

        class Fake:
            def __init__(self, _: Detector) -> None:
                asked.append("copied the network")

            def explain(self, picture: bytes, answer: object) -> Explanation:
                with Image.open(io.BytesIO(picture)) as image:
                    marked = np.zeros(image.size[::-1], dtype=bool)
                asked.append("explained")
                marked[10:20, 10:20] = True
                finding: Finding = "reliable" if reliable else "not_confirmed"
                return Explanation("Parasitized", finding, marked.astype(np.float32), marked)

        monkeypatch.setattr(explanation, "Explainer", Fake)
        return asked

    return stand_in


def test_the_network_is_copied_at_the_first_question_only(
    looked: Callable[[bool], list[str]], detector: Detector, metadata: ModelMetadata
) -> None:
    asked = looked(True)
    explain = ResultExplainer(explainer_of(detector))
    assert asked == []
    for _ in range(2):
        shown = explain(Result("a.png", prediction(0.9, metadata), b"", original=grey_png(100)))
    assert asked == ["copied the network", "explained", "explained"]
    with Image.open(io.BytesIO(shown.layer)) as layer:
        assert (layer.mode, layer.size) == ("RGBA", (60, 60))
        assert np.asarray(layer)[50, 50, 3] == 0
        assert np.asarray(layer)[15, 15, 3] > 0


def test_an_unreliable_mark_does_not_reach_the_browser(
    looked: Callable[[bool], list[str]], detector: Detector, metadata: ModelMetadata
) -> None:
    looked(False)
    shown = ResultExplainer(explainer_of(detector))(
        Result("a.png", prediction(0.9, metadata), b"", original=grey_png(100))
    )
    assert shown.sentence.startswith("No reliable explanation")
    assert shown.layer == b""


def test_a_refused_picture_has_nothing_to_explain(detector: Detector) -> None:
    assert (
        "not checked"
        in ResultExplainer(explainer_of(detector))(Result("a.png", Refusal("Empty."), b"")).sentence
    )


def test_the_image_is_explained_as_it_was_uploaded_by_a_detector_that_can(metadata: ModelMetadata) -> None:
    asked: list[bytes] = []

    class Remote(BrightnessDetector):
        def explain(self, image: bytes, answer: object) -> Explanation:
            asked.append(image)
            raise MalariaDetectError("The server is busy.")

    view = CheckCells(Remote(metadata))  # type: ignore[arg-type]  # quacks like a Detector
    large = grey_png(100, side=1000)
    view.upload.take([UploadedFile("a.png", memoryview(large))])
    shown = ResultExplainer(explainer_of(Remote(metadata)))(view.cards.results[0])  # type: ignore[arg-type]
    assert asked == [large]
    assert shown == Shown("The server is busy.")
