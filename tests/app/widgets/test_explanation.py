"""Explanations on the cards: one at a time, of the current decision, and never shown if unreliable."""

import asyncio
import io
from dataclasses import dataclass, field
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
from tests.app.widgets.fakes import BrightnessDetector, grey_png, hear, of_type, prediction


def explain(result: Result) -> Shown:
    return Shown(f"Of {result.name}.", b"" if result.name == "b.png" else b"\x89PNG layer")


@pytest.fixture
def cards(metadata: ModelMetadata) -> CellCards:
    """Two results; "b.png" has no reliable explanation."""
    cards = CellCards(metadata, explain=explain)
    for name in ("a.png", "b.png"):
        cards.add(Result(name, prediction(0.6, metadata), grey_png(150)))
    return cards


def test_a_card_is_explained_at_its_operating_point_when_it_is_asked_for(
    cards: CellCards, told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    hear(cards, type="explain", id=0)
    cards.decide(metadata.point("counting"))
    hear(cards, type="explain", id=1)
    reliable, unreliable = of_type(told, "explained")
    assert (reliable["id"], reliable["point"], reliable["sentence"]) == (0, "balanced", "Of a.png.")
    assert reliable["buffers"] == [b"\x89PNG layer"]
    assert (unreliable["id"], unreliable["point"], unreliable["sentence"]) == (1, "counting", "Of b.png.")
    assert "buffers" not in unreliable


@pytest.mark.parametrize("number", [2, -1, None, "0", 0.0])
def test_a_card_that_does_not_exist_is_not_explained(
    cards: CellCards, told: list[dict[str, Any]], number: object
) -> None:
    hear(cards, type="explain", id=number)
    assert of_type(told, "explained") == []


def test_a_card_that_was_cleared_meanwhile_is_not_explained(
    cards: CellCards, told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    cards.clear()
    cards.add(Result("c.png", prediction(0.6, metadata), grey_png(150)))
    hear(cards, type="explain", id=0)
    assert of_type(told, "explained") == []
    hear(cards, type="explain", id=2)
    assert of_type(told, "explained")[0]["sentence"] == "Of c.png."


def test_an_explanation_in_a_thread_is_of_the_operating_point_at_which_it_was_asked_for(
    told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    async def visit() -> None:
        cards = CellCards(metadata, explain=explain, in_threads=True)
        cards.add(Result("a.png", prediction(0.6, metadata), b""))
        hear(cards, type="explain", id=0)
        await asyncio.wait(cards._explaining)
        await asyncio.sleep(0)
        assert cards._explaining == set()

    asyncio.run(visit())
    assert of_type(told, "explained")[0]["sentence"] == "Of a.png."


def test_cards_without_a_model_have_no_button(metadata: ModelMetadata, cards: CellCards) -> None:
    assert cards.explains
    assert not CellCards(metadata).explains


@dataclass
class Looked:
    """Stands in for the explainer and counts its work."""

    finding: Finding = "reliable"
    asked: list[str] = field(default_factory=list)

    def __call__(self, _: Detector) -> "Looked":
        self.asked.append("copied the network")
        return self

    def explain(self, picture: bytes, _: object) -> Explanation:
        self.asked.append("explained")
        with Image.open(io.BytesIO(picture)) as image:
            marked = np.zeros(image.size[::-1], dtype=bool)
        marked[10:20, 10:20] = True
        return Explanation("Parasitized", self.finding, marked.astype(np.float32), marked)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    looked = Looked()
    monkeypatch.setattr(explanation, "Explainer", looked)
    return looked


def test_the_network_is_copied_at_the_first_question_only(
    looked: Looked, detector: Detector, metadata: ModelMetadata
) -> None:
    explain = ResultExplainer(explainer_of(detector))
    assert looked.asked == []
    result = Result("a.png", prediction(0.9, metadata), b"", original=grey_png(100))
    shown = [explain(result) for _ in range(2)][-1]
    assert looked.asked == ["copied the network", "explained", "explained"]
    with Image.open(io.BytesIO(shown.layer)) as layer:
        assert (layer.mode, layer.size) == ("RGBA", (60, 60))
        assert np.asarray(layer)[50, 50, 3] == 0
        assert np.asarray(layer)[15, 15, 3] > 0
    looked.finding = "not_confirmed"
    assert explain(result).layer == b""


def test_a_refused_image_is_not_explained(looked: Looked, detector: Detector) -> None:
    shown = ResultExplainer(explainer_of(detector))(Result("a.png", Refusal("Empty."), b""))
    assert shown.sentence
    assert looked.asked == []


def test_a_detector_that_explains_gets_the_image_as_it_was_uploaded(metadata: ModelMetadata) -> None:
    asked: list[bytes] = []

    class Remote(BrightnessDetector):
        def explain(self, image: bytes, _: object) -> Explanation:
            asked.append(image)
            raise MalariaDetectError("The server is busy.")

    remote: Any = Remote(metadata)
    view = CheckCells(remote)
    large = grey_png(100, side=1000)
    view.upload.take([UploadedFile("a.png", memoryview(large))])
    shown = ResultExplainer(explainer_of(remote))(view.cards.results[0])
    assert asked == [large]
    assert shown == Shown("The server is busy.")
