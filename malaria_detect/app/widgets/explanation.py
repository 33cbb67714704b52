"""The answer to "Where did it look?" for one result, computed when a visitor asks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from malaria_detect.app.widgets.results import SHOWN_SIDE, Result
from malaria_detect.app.wording import explanation_sentence
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import as_png
from malaria_detect.explain import Explainer, Explanation, heat_layer
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Prediction


@dataclass(frozen=True)
class Shown:
    """An explanation as a card shows it.

    Attributes
    ----------
    sentence : str
    layer : bytes
        PNG with transparency, drawn over the picture of the card; empty if no reliable explanation was found.
    """

    sentence: str
    layer: bytes = b""


Explain = Callable[[bytes, Prediction], Explanation]


def explainer_of(detector: Detector) -> Explain:
    """The detector's own ``explain`` if it has one, as a remote detector has; otherwise a local explainer.

    The local one copies the network when the first explanation is requested: most visitors request none.
    """
    own: Explain | None = getattr(detector, "explain", None)
    explainer = cache(lambda: Explainer(detector))
    return own or (lambda image, prediction: explainer().explain(image, prediction))


class ResultExplainer:
    """Explains results at their current operating point.

    Parameters
    ----------
    explain : callable
        Takes an image file as bytes and its prediction, and returns an Explanation.
    """

    def __init__(self, explain: Explain) -> None:
        self._explain = explain

    def __call__(self, result: Result) -> Shown:
        """Explain one result, from the image as it was uploaded."""
        if not isinstance(result.answer, Prediction):
            return Shown("This image was not checked.")
        try:
            explanation = self._explain(result.original, result.answer)
        except MalariaDetectError as error:
            return Shown(str(error))
        layer = as_png(heat_layer(explanation), SHOWN_SIDE) if explanation.reliable else b""
        return Shown(explanation_sentence(explanation), layer)
