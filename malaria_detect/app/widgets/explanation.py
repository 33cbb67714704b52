"""The answer to "Where did it look?" for one result, made when a visitor asks for it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from malaria_detect.app.html_report import as_png
from malaria_detect.app.widgets.results import SHOWN_SIDE, Result
from malaria_detect.app.wording import explanation_sentence
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.explain import Explainer, Explanation, heat_layer
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Prediction


@dataclass(frozen=True)
class Shown:
    """What a card shows of an explanation.

    Attributes
    ----------
    sentence : str
    layer : bytes
        PNG with transparency, to lie over the card's picture; empty where no reliable explanation was found.
    """

    sentence: str
    layer: bytes = b""


Explains = Callable[[bytes, Prediction], Explanation]


def explains_itself(detector: Detector) -> Explains:
    """An explainer of a detector, made when the first result is asked for: most visitors ask for none."""
    explainer = cache(lambda: Explainer(detector))
    return lambda picture, prediction: explainer().explain(picture, prediction)


class ResultExplainer:
    """Explains results, as they are decided at the moment.

    Parameters
    ----------
    explains : callable
        Explains a picture, given as a file, and what was predicted of it.
    """

    def __init__(self, explains: Explains) -> None:
        self._explains = explains

    def __call__(self, result: Result) -> Shown:
        """Explain one result, from the picture that the card shows."""
        if not isinstance(result.answer, Prediction):
            return Shown("The picture was not checked.")
        try:
            explanation = self._explains(result.picture, result.answer)
        except MalariaDetectError as error:
            return Shown(str(error))
        layer = as_png(heat_layer(explanation), SHOWN_SIDE) if explanation.reliable else b""
        return Shown(explanation_sentence(explanation), layer)
