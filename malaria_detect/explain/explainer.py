"""Explain one cell: find the part that speaks for the parasite, and hide it to see whether the model needed it."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, logit
from torch import nn
from torch.nn import functional

from malaria_detect.data.images import ImageSource, read_image
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.data.stain import cell_mask
from malaria_detect.explain.attribution import ExplainError, evidence, last_map
from malaria_detect.explain.regions import GRID, hidden, marked_part, random_parts
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.packed import PackedBlock
from malaria_detect.inference.precision import bfloat16_is_fast
from malaria_detect.inference.prediction import Prediction
from malaria_detect.metrics.formatting import format_probability

# Of parts that mean nothing the mark would be the best of twenty in 5 % of cells.
RANDOM_PARTS = 19
# px: random parts are hidden in a smaller picture than the network's own, at a quarter of the cost. The mark itself is
# hidden in both, and must matter in both.
CHECK_SIDE = 112
# Of log-odds: what lowers the odds by less than a fifth explains nothing, and may be rounding.
LEAST_FALL = 0.22
# Of log-odds: within these the smaller picture may be answered the other way round.
_UNDECIDED = 1.0

NOTHING_TO_POINT_AT = (
    "The model found no parasite here, and what is absent cannot be pointed at: it answers so when no place of the "
    "cell speaks enough for a parasite."
)
_NONE_FOUND = "No reliable explanation was found: "


@dataclass(frozen=True)
class Explanation:
    """Where the model saw the parasite, and whether that holds up.

    Attributes
    ----------
    called : str
        What the cell is called; only ``Parasitized`` is explained.
    heat : numpy.ndarray
        float32, (height, width) of the picture, 0 to 1: how much a place speaks for ``Parasitized``, the hottest being
        1. All 0 where there is nothing to explain.
    marked : numpy.ndarray
        bool, (height, width): the part that was hidden.
    fall : float
        By how much hiding the marked part lowers the log-odds of ``Parasitized`` (not calibrated), at the network's own
        size.
    check_fall : float
        The same in the smaller picture of the check.
    random_falls : tuple of float
        The same there for each random part of the same size and shape; empty where none was tried.
    reliable : bool
        Whether hiding the marked part lowers them by at least `LEAST_FALL` in both, and in the smaller picture by more
        than hiding any of the random parts; and the smaller picture is not answered quite otherwise.
    sentence : str
        What was found, for a microscopist.
    """

    called: str
    heat: np.ndarray
    marked: np.ndarray
    fall: float
    check_fall: float
    random_falls: tuple[float, ...]
    reliable: bool
    sentence: str


class Explainer:
    """Explains cells one after the other, with the network's faster copy; where there is none, it makes one.

    The heat comes from HiResCAM (:func:`malaria_detect.explain.attribution.evidence`) at the network's last map. What
    it marks is hidden, and so are 19 random parts of the same size and shape, all in one batch. The explanation is
    reliable where hiding the mark lowers the log-odds of ``Parasitized`` more than hiding any of these, which a mark
    that means nothing does in one of twenty cells; and where it does so at the network's own size, too.

    Parameters
    ----------
    detector : Detector

    Raises
    ------
    ExplainError
        Where the network has no map to look at, or several side by side, or its pictures are no RGB.

    Examples
    --------
    >>> from malaria_detect import load_detector
    >>> explainer = Explainer(load_detector("export.pkl"))
    >>> explainer.explain(np.full((120, 130, 3), 200, dtype=np.uint8)).heat.shape
    (120, 130)
    """

    def __init__(self, detector: Detector) -> None:
        _check_can_be_explained(detector)
        self._detector = detector
        side = detector.metadata.input_size
        light = detector.light
        if light is not None and _has_gradients(light.network, side):
            self._type, self._network = torch.float32, light.network
        else:
            self._type = torch.bfloat16 if bfloat16_is_fast(torch.device("cpu")) else torch.float32
            self._network = _lightened(detector.network, self._type)
        self._layer = last_map(self._network, torch.zeros(1, 3, side, side, dtype=self._type))
        self._side = _check_side(self._network, side, self._type)

    def explain(self, image: ImageSource, prediction: Prediction | None = None) -> Explanation:
        """Explain what one cell is called.

        Parameters
        ----------
        image : path, bytes, PIL.Image.Image or numpy.ndarray
            As for :meth:`malaria_detect.inference.detector.Detector.predict`.
        prediction : Prediction, optional
            What this detector said of this picture, perhaps at another operating point; without one it is asked.

        Returns
        -------
        Explanation

        Raises
        ------
        ImageRefused
            Where the picture cannot be read.
        """
        picture = read_image(image)
        width, height = picture.size
        nothing = np.zeros((height, width), dtype=np.float32)
        prediction = prediction or self._detector.predict(picture)
        called, probability = prediction.decision, prediction.probability_parasitized

        def unreliable(sentence: str) -> Explanation:
            return Explanation(called, nothing, nothing > 0, 0.0, 0.0, (), False, sentence)

        if called != CLASSES[0]:
            return unreliable(NOTHING_TO_POINT_AT)
        transform = self._detector.metadata.input_transform
        seen = transform([picture])
        heat = _resized(evidence(self._network, self._layer, seen.to(self._type)), (GRID, GRID))
        cell = (
            _resized(cell_mask(pad_to_square(picture, transform.resize)).astype(np.float32), (GRID, GRID))
            > 0.5
        )
        part = marked_part(heat, cell)
        if not part.any():
            return unreliable(
                f"{_NONE_FOUND}no place of this cell speaks for a parasite more than the others."
            )
        others = random_parts(part, cell, RANDOM_PARTS)
        if not others:
            return unreliable(
                f"{_NONE_FOUND}what is marked is too much of this cell to be compared with other parts of it."
            )
        small = functional.interpolate(seen, size=(self._side, self._side), mode="bilinear", antialias=True)
        # At the network's own size the whole cell has been answered already.
        whole = float(logit(np.clip(prediction.raw_probability_parasitized, 1e-12, 1 - 1e-12)))
        (without,) = self._log_odds(seen, cell, [part])
        nothing_hidden = np.zeros_like(part)
        small_whole, small_without, *random = self._log_odds(small, cell, [nothing_hidden, part, *others])
        fall, check_fall = whole - without, small_whole - small_without
        random_falls = tuple(small_whole - one for one in random)
        reliable = (
            min(fall, check_fall) >= LEAST_FALL
            and check_fall > max(random_falls)
            and ((whole > 0) == (small_whole > 0) or abs(small_whole) < _UNDECIDED)
        )
        temperature = self._detector.metadata.temperature
        left = float(expit(logit(np.clip(probability, 1e-12, 1 - 1e-12)) - fall / temperature))
        return Explanation(
            called,
            _on_picture(np.where(cell, heat, 0).clip(0) / heat[cell].max(), picture.size),
            _on_picture(part.astype(np.float32), picture.size) > 0.5,
            fall,
            check_fall,
            random_falls,
            reliable,
            _sentence(reliable, probability, left, prediction.threshold),
        )

    def _log_odds(self, picture: torch.Tensor, cell: np.ndarray, parts: list[np.ndarray]) -> list[float]:
        """Of ``Parasitized``, with each of the parts hidden."""
        pictures = hidden(picture, cell, parts).to(self._type).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            logits = self._network(pictures).float()
        odds: list[float] = (logits[:, 0] - logits[:, 1]).tolist()
        return odds


def explain(detector: Detector, image: ImageSource) -> Explanation:
    """Explain one cell; for several make one :class:`Explainer`, which copies the network only once.

    Parameters
    ----------
    detector : Detector
    image : path, bytes, PIL.Image.Image or numpy.ndarray

    Returns
    -------
    Explanation

    Raises
    ------
    ImageRefused
        Where the picture cannot be read.

    Examples
    --------
    >>> from malaria_detect import load_detector
    >>> explain(load_detector("export.pkl"), "cell.png").sentence  # doctest: +SKIP
    'The model looked at the marked part: hiding it lowers the probability of parasitized from ...'
    """
    return Explainer(detector).explain(image)


def _sentence(reliable: bool, before: float, after: float, threshold: float) -> str:
    if not reliable:
        return (
            f"{_NONE_FOUND}hiding what seemed to matter changes the model's answer too little, or no more than hiding "
            "random parts of the same size. (Of several parasites in a cell one can be hidden, and the answer stays.)"
        )
    uncertainty = "That does not make the answer right."
    if after >= threshold:
        return (
            f"The model looked at the marked part more than at any of {RANDOM_PARTS} random parts of the same size, "
            f"but at others, too: without it, it would still give parasitized about {format_probability(after)}. "
            f"{uncertainty}"
        )
    return (
        "The model looked at the marked part: hiding it lowers the probability of parasitized from "
        f"{format_probability(before)} to about {format_probability(after)}, more than hiding any of {RANDOM_PARTS} "
        f"random parts of the same size. {uncertainty}"
    )


def _check_can_be_explained(detector: Detector) -> None:
    for part in detector.network.modules():
        trunks = getattr(part, "trunks", ())
        if len(trunks) > 1:
            raise ExplainError(
                f"This network looks with {len(trunks)} trunks at once: no one map tells where."
            )
    if "hsv" in detector.metadata.preprocess:
        raise ExplainError("This network sees hues instead of colours, in which no part can be painted over.")


def _has_gradients(network: nn.Module, side: int) -> bool:
    """Whether a packed network has gradients at its last map: only behind its last block."""
    *_, last_block = (part for part in network.modules() if isinstance(part, PackedBlock))
    return last_block in last_map(network, torch.zeros(1, 3, side, side)).modules()


def _lightened(network: nn.Module, kind: torch.dtype) -> nn.Module:
    """A copy in a shorter number format but for its last dense layer, which would round its answers to steps of .06."""
    light = copy.deepcopy(network).eval().to(kind)
    dense = [layer for layer in light.modules() if isinstance(layer, nn.Linear)]
    if dense:
        dense[-1].float()
        dense[-1].register_forward_pre_hook(lambda _, given: (given[0].float(),))
    return light


def _check_side(network: nn.Module, input_size: int, kind: torch.dtype) -> int:
    """`CHECK_SIDE`, or the network's own side where that is smaller or the only one that it takes."""
    side = min(CHECK_SIDE, input_size)
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, side, side, dtype=kind))
    except RuntimeError as error:
        # A dense layer behind the map wants its own number of inputs.
        if "cannot be multiplied" not in str(error):
            raise
        return input_size
    return side


def _resized(map_: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    # Averages where it shrinks, so that no pixel counts for others.
    smooth = functional.interpolate(
        torch.from_numpy(map_)[None, None], size=shape, mode="bilinear", antialias=True
    )
    resized: np.ndarray = smooth[0, 0].numpy()
    return resized


def _on_picture(square_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """From the padded square back to the picture in it."""
    width, height = size
    side = max(size)
    left, top = (side - width) // 2, (side - height) // 2
    return _resized(square_map, (side, side))[top : top + height, left : left + width]
