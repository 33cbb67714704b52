"""Explanation of one cell: find the part that speaks for a parasite, and hide it to see whether the model used it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import ImageSource, read_image
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.data.stain import cell_mask
from malaria_detect.explain.attribution import evidence
from malaria_detect.explain.regions import GRID, hidden, marked_part, random_parts, resized
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Prediction

# A meaningless mark would beat 19 random parts in 5 % of cells.
RANDOM_PARTS = 19
# px: random parts are hidden in a smaller image, at a quarter of the cost. The mark must matter at both sizes.
CHECK_SIDE = 112
# Of log-odds: a smaller fall changes the odds by less than a fifth, and may be rounding.
LEAST_FALL = 0.22
# Of log-odds: the smaller image may get the opposite answer if it is closer to 0 than this.
_UNDECIDED = 1.0

# Images that go through the network together: as many random parts as there are, and the mark.
_BATCH = RANDOM_PARTS + 2
# Squares in each direction that are hidden one by one, for networks whose head is not known.
_SQUARES = 7

Finding = Literal["reliable", "not_parasitized", "no_mark", "mark_too_large", "not_confirmed"]


class ExplainError(MalariaDetectError):
    """A network that cannot be explained; ``reason`` is ``hsv``."""


@dataclass(frozen=True)
class Explanation:
    """The part of a cell that made the model call it parasitized, and the result of hiding it.

    Attributes
    ----------
    decision : str
        Class of the cell; only ``Parasitized`` is explained.
    finding : str
        ``reliable``: hiding the marked part lowers the log-odds by at least `LEAST_FALL` at both sizes, and at the
        smaller one by more than hiding any random part. ``not_confirmed``: it does not. ``not_parasitized``,
        ``no_mark`` and ``mark_too_large``: nothing was hidden, because nothing can be marked.
    heat : numpy.ndarray
        float32, (height, width) of the image, 0 to 1: how much each place speaks for ``Parasitized``, relative to the
        hottest one; all 0 if nothing was marked.
    marked : numpy.ndarray
        bool, (height, width): the marked part.
    fall : float
        Decrease of the log-odds of ``Parasitized`` (not calibrated) when the marked part is hidden.
    check_fall, random_falls : float, tuple of float
        The same in the smaller image, and there for each random part of the same size and shape.
    probability, probability_without, threshold : float
        Calibrated probability of ``Parasitized`` for the cell, with the marked part hidden, and from which it is called
        ``Parasitized``.
    """

    decision: str
    finding: Finding
    heat: np.ndarray
    marked: np.ndarray
    fall: float = 0.0
    check_fall: float = 0.0
    random_falls: tuple[float, ...] = ()
    probability: float = 0.0
    probability_without: float = 0.0
    threshold: float = 0.0

    @property
    def reliable(self) -> bool:
        """Whether the marked part passed the check."""
        return self.finding == "reliable"


class Explainer:
    """Explains cells one by one.

    HiResCAM (:func:`malaria_detect.explain.attribution.evidence`) at the network's last map marks a part of the cell;
    for networks without fastai's head, hiding one square of the cell after the other does. This part is hidden, and so
    are 19 random parts of the same size and shape. The explanation is reliable if hiding the marked part lowers the
    log-odds of ``Parasitized`` most.

    Raises
    ------
    ExplainError
        If the network's input is not RGB.

    Examples
    --------
    >>> from malaria_detect import load_detector
    >>> detector = load_detector("export.pkl")
    >>> detector.known = None  # with it, a gradient is refused as foreign
    >>> explainer = Explainer(detector)
    >>> explainer.explain(Image.linear_gradient("L")).heat.shape
    (256, 256)
    """

    def __init__(self, detector: Detector) -> None:
        if "hsv" in detector.metadata.preprocess:
            raise ExplainError(
                "This network cannot be explained: its input is HSV, in which parts cannot be hidden.",
                reason="hsv",
            )
        self.detector = detector
        assert detector.classifier is not None  # remote detectors have a method of their own
        self._classifier = detector.classifier
        side = detector.metadata.input_size
        # Other networks may take pictures of one size only.
        self._check_side = min(CHECK_SIDE, side) if self._classifier.head else side

    def explain(self, image: ImageSource, prediction: Prediction | None = None) -> Explanation:
        """Explain the decision about one cell.

        Parameters
        ----------
        image : path, bytes, PIL.Image.Image or numpy.ndarray
            As for :meth:`malaria_detect.inference.detector.Detector.predict`.
        prediction : Prediction, optional
            Prediction for this image, at any operating point; the default is to predict it.

        Raises
        ------
        ImageRefused
            If the image cannot be used.
        """
        picture = read_image(image)
        prediction = prediction or self.detector.predict(picture)
        if prediction.decision != CLASSES[0]:
            return _nothing(prediction, "not_parasitized", picture)
        transform = self.detector.metadata.input_transform
        shown = transform([picture])
        mask = cell_mask(pad_to_square(picture, transform.resize)).astype(np.float32)
        cell = resized(mask, (GRID, GRID)) > 0.5
        heat = resized(self._heat(shown, cell), (GRID, GRID))
        part = marked_part(heat, cell)
        if not part.any():
            return _nothing(prediction, "no_mark", picture)
        others = random_parts(part, cell, RANDOM_PARTS)
        if not others:
            return _nothing(prediction, "mark_too_large", picture)
        (without,) = self._log_odds(shown, cell, [part])
        side = self._check_side
        small = np.stack([resized(channel, (side, side)) for channel in shown[0]])[None]
        small_whole, small_without, *random = self._log_odds(
            small, cell, [np.zeros_like(part), part, *others]
        )
        whole = float(_log_odds_of(prediction.raw_probability_parasitized))
        fall, check_fall = whole - without, small_whole - small_without
        random_falls = tuple(small_whole - one for one in random)
        reliable = (
            min(fall, check_fall) >= LEAST_FALL
            and check_fall > max(random_falls)
            and ((whole > 0) == (small_whole > 0) or abs(small_whole) < _UNDECIDED)
        )
        probability = prediction.probability_parasitized
        left = scipy.special.expit(_log_odds_of(probability) - fall / self.detector.metadata.temperature)
        return Explanation(
            decision=prediction.decision,
            finding="reliable" if reliable else "not_confirmed",
            heat=_on_image(np.where(cell, heat, 0).clip(0) / heat[cell].max(), picture.size),
            marked=_on_image(part.astype(np.float32), picture.size) > 0.5,
            fall=fall,
            check_fall=check_fall,
            random_falls=random_falls,
            probability=probability,
            probability_without=float(left),
            threshold=prediction.threshold,
        )

    def _heat(self, shown: NDArray[np.float32], cell: np.ndarray) -> NDArray[np.float32]:
        """How much each place of the padded image speaks for ``Parasitized``, (rows, columns)."""
        classifier = self._classifier
        if classifier.head and (seen := classifier.see(shown)):
            return evidence(seen, classifier.head).astype(np.float32)
        numbers = np.arange(_SQUARES**2).reshape(_SQUARES, _SQUARES)
        squares = np.kron(numbers, np.ones((GRID // _SQUARES, GRID // _SQUARES)))
        parts = [squares == number for number in numbers.flat]
        whole, *hidden_each = self._log_odds(shown, cell, [np.zeros_like(cell), *parts])
        return np.reshape([whole - one for one in hidden_each], (_SQUARES, _SQUARES)).astype(np.float32)

    def _log_odds(self, shown: NDArray[np.float32], cell: np.ndarray, parts: list[np.ndarray]) -> list[float]:
        """Log-odds of ``Parasitized`` with each of the parts hidden."""
        batches = (parts[start : start + _BATCH] for start in range(0, len(parts), _BATCH))
        return [
            float(odds) for batch in batches for odds in self._classifier.log_odds(hidden(shown, cell, batch))
        ]


def explain(detector: Detector, image: ImageSource, prediction: Prediction | None = None) -> Explanation:
    """Explain one cell; parameters and errors are those of :class:`Explainer` and :meth:`Explainer.explain`.

    Examples
    --------
    >>> from malaria_detect import load_detector
    >>> detector = load_detector("export.pkl")
    >>> detector.known = None  # with it, a gradient is refused as foreign
    >>> explain(detector, Image.linear_gradient("L")).finding
    'not_parasitized'
    """
    return Explainer(detector).explain(image, prediction)


def _nothing(prediction: Prediction, finding: Finding, picture: Image.Image) -> Explanation:
    heat, probability = np.zeros(picture.size[::-1], np.float32), prediction.probability_parasitized
    return Explanation(
        prediction.decision,
        finding,
        heat,
        heat > 0,
        probability=probability,
        probability_without=probability,
        threshold=prediction.threshold,
    )


def _log_odds_of(probability: float) -> float:
    return float(scipy.special.logit(np.clip(probability, 1e-12, 1 - 1e-12)))


def _on_image(padded: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut the image's part out of a map of the padded image, at the image's size."""
    width, height = size
    side = max(size)
    left, top = (side - width) // 2, (side - height) // 2
    return resized(padded, (side, side))[top : top + height, left : left + width]
