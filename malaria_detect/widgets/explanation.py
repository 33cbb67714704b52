"""The answer to "Where did it look?" for one result, made when a visitor asks for it."""

from dataclasses import dataclass

from malaria_detect.detector import Detector, Prediction
from malaria_detect.errors import MalariaDetectError
from malaria_detect.explain import Explainer, heat_layer
from malaria_detect.visit_report import as_png
from malaria_detect.widgets.results import SHOWN_SIDE, Result


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


class ResultExplainer:
    """Explains results of one detector, as they are decided at the moment.

    Parameters
    ----------
    detector : Detector
        Its network is copied when the first result is asked for: most visitors ask for none.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._explainer: Explainer | None = None

    def __call__(self, result: Result) -> Shown:
        """Explain one result, from the picture that the card shows."""
        if not isinstance(result.answer, Prediction):
            return Shown("The picture was not checked.")
        try:
            self._explainer = self._explainer or Explainer(self._detector)
            explanation = self._explainer.explain(result.picture, result.answer)
        except MalariaDetectError as error:
            return Shown(str(error))
        layer = as_png(heat_layer(explanation), SHOWN_SIDE) if explanation.reliable else b""
        return Shown(explanation.sentence, layer)
