"""Load a model and classify images: ``load_detector().predict("cell.png")``."""

import io
import itertools
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.special import logit
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.core.errors import ArgumentError
from malaria_detect.data.field_check import WHOLE_FIELD, shows_field
from malaria_detect.data.image_checks import COLOURLESS, is_colourless, size_warnings
from malaria_detect.data.images import ImageRefused, ImageSource, read_image
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.input import run_threaded
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import read_model
from malaria_detect.inference.network import import_fastai, log_odds, mixed_log_odds, open_learner, prepared
from malaria_detect.inference.precision import bfloat16_is_fast
from malaria_detect.inference.prediction import Prediction, Refusal, decide
from malaria_detect.metrics import scaled

# Larger batches are hardly faster, and each image takes 10 MB while the network runs.
BATCH = 8
# Designs whose rounding in bfloat16 was measured; others are computed in float32.
_BFLOAT16_DESIGNS = ("resnet34",)


@dataclass(frozen=True)
class _Padded:
    """What a prediction needs of an image; the image itself can be large."""

    pixels: np.ndarray
    size: tuple[int, int]
    colourless: bool


class Detector:
    """A trained network with its metadata, at one operating point; made by :func:`load_detector`.

    Attributes
    ----------
    network : torch.nn.Module
        From :func:`malaria_detect.inference.network.prepared`.
    metadata : ModelMetadata
    point : OperatingPoint
    bfloat16 : bool
        Whether bfloat16 is used: if the processor has it and the rounding of this design was measured.
    """

    def __init__(
        self, network: nn.Module, metadata: ModelMetadata, operating_point: str | None = None
    ) -> None:
        self.metadata = metadata
        self.point = metadata.point(operating_point)
        self.network = network
        self.bfloat16 = metadata.architecture in _BFLOAT16_DESIGNS and bfloat16_is_fast(torch.device("cpu"))

    def at(self, operating_point: str) -> "Detector":
        """The same network at another operating point.

        Raises
        ------
        MetadataError
            If the model has no operating point of that name.
        ArgumentError
            If no name is given.
        """
        if not isinstance(operating_point, str):
            raise ArgumentError(
                f"An operating point is named by a word such as 'counting'; got {operating_point!r}.",
                reason="operating_point",
            )
        return Detector(self.network, self.metadata, operating_point)

    def predict(self, image: ImageSource) -> Prediction:
        """Classify one image.

        Parameters
        ----------
        image : path, bytes, PIL.Image.Image or numpy.ndarray
            An image of one cell; an array is uint8, (height, width) or (height, width, 3 or 4), RGB.

        Returns
        -------
        Prediction

        Raises
        ------
        ImageRefused
            If the image cannot be used.

        Examples
        --------
        >>> from PIL import Image
        >>> grey = Image.linear_gradient("L").resize((120, 130))
        >>> prediction = load_detector().predict(grey)
        >>> prediction.image_size, prediction.uncertain
        ((120, 130), True)
        """
        padded = self._padded(image)
        return self._prediction(padded, self._log_odds([padded.pixels])[0])

    def predict_many(
        self, images: Iterable[ImageSource], batch_size: int = BATCH, progress: bool = False
    ) -> Iterator[Prediction | Refusal]:
        """Classify many images in order, one batch at a time.

        Parameters
        ----------
        images : iterable
            Each as for :meth:`predict`, or an array (N, height, width, 3 or 4); read at most one batch ahead.
        batch_size : int
            Images that go through the network together, 1 or more. It changes memory and speed, and probabilities by
            less than 0.01, but no decision.
        progress : bool
            Show a progress bar.

        Returns
        -------
        iterator of Prediction or Refusal
            One for each image: an image that cannot be used does not stop the others.

        Raises
        ------
        ArgumentError
            At once, if `images` is a single image, a path, a dictionary or nothing to iterate over, or `batch_size` is
            not a whole number of 1 or more.
        """
        if _is_single(images):
            raise ArgumentError(
                f"predict_many needs a list of images, or another iterable; got one {type(images).__name__}. For a "
                "single image, use predict.",
                reason="images",
            )
        if not _is_count(batch_size):
            raise ArgumentError(
                f"batch_size must be a whole number of 1 or more; got {batch_size!r}.", reason="batch_size"
            )
        return self._answers(images, int(batch_size), progress)

    def _answers(
        self, images: Iterable[ImageSource], batch_size: int, progress: bool
    ) -> Iterator[Prediction | Refusal]:
        total = len(images) if isinstance(images, Sized) else None
        source = iter(images)
        with tqdm(total=total, unit="cell", disable=not progress) as bar:
            while batch := list(itertools.islice(source, batch_size)):
                found = run_threaded(self._padded_or_refusal, batch)
                odds = iter(self._log_odds([one.pixels for one in found if isinstance(one, _Padded)]))
                for one in found:
                    yield one if isinstance(one, Refusal) else self._prediction(one, next(odds))
                bar.update(len(batch))

    def __reduce__(self) -> tuple[Any, ...]:
        # As bytes: multiprocessing would send tensors through shared memory, and containers have little.
        return _restored, (type(self), pickle.dumps(self.network), self.metadata, self.point.name)

    def __copy__(self) -> "Detector":
        return self.at(self.point.name)

    def _padded(self, image: ImageSource) -> _Padded:
        picture = read_image(image)
        if shows_field(picture):
            raise ImageRefused(WHOLE_FIELD, reason="whole_field")
        pixels = self.metadata.input_transform.pad(picture)
        return _Padded(pixels, picture.size, is_colourless(picture))

    def _padded_or_refusal(self, image: ImageSource) -> _Padded | Refusal:
        try:
            return self._padded(image)
        except ImageRefused as refusal:
            return Refusal(str(refusal), refusal.reason)

    def _log_odds(self, padded: Sequence[np.ndarray]) -> list[float]:
        if not padded:
            return []
        pictures = self.metadata.input_transform.tensor(padded)
        if self.bfloat16:
            return mixed_log_odds(self.network, pictures, _decision_range(self.metadata))
        return log_odds(self.network, pictures)

    def _prediction(self, padded: _Padded, odds: float) -> Prediction:
        calibrated, raw = (
            float(scaled(odds, temperature)) for temperature in (self.metadata.temperature, 1.0)
        )
        return Prediction(
            decision=decide(calibrated, self.point),
            probabilities={CLASSES[0]: calibrated, CLASSES[1]: 1 - calibrated},
            raw_probability_parasitized=raw,
            operating_point=self.point.name,
            threshold=self.point.threshold,
            uncertain_below=self.metadata.uncertainty.below,
            image_size=padded.size,
            warnings=size_warnings(*padded.size) + ((COLOURLESS,) if padded.colourless else ()),
            colourless=padded.colourless,
        )


def load_detector(path: str | os.PathLike[str] | None = None, operating_point: str | None = None) -> Detector:
    """Open an exported model, after checking its SHA-256 against the metadata.

    The model that was opened last is kept: if the file has the same content again, its network is shared.

    Parameters
    ----------
    path : path, optional
        The exported learner; its metadata ``export.json`` is in the same folder. Default: ``export.pkl`` in the current
        folder, or the model that comes with the package
        (:func:`malaria_detect.inference.model_files.default_model`).
    operating_point : str, optional
        ``screening``, ``balanced`` or ``counting``; the default is the one in the metadata.

    Returns
    -------
    Detector

    Raises
    ------
    MetadataError
        If a file is missing or changed, or there is no such operating point; nothing is unpickled then.

    Examples
    --------
    >>> detector = load_detector()
    >>> detector.metadata.architecture
    'resnet34'
    """
    metadata, data = read_model(path)
    metadata.point(operating_point)
    if metadata.classes != CLASSES:
        raise MetadataError(
            f"{metadata.file_name} distinguishes {' and '.join(metadata.classes)}; expected {' and '.join(CLASSES)}.",
            reason="other_classes",
        )
    network = _OPENED.get(metadata.sha256)
    if network is None:
        network = prepared(open_learner(data).model)
        _OPENED.clear()
        _OPENED[metadata.sha256] = network
    return Detector(network, metadata, operating_point)


# The last network by the SHA-256 of its file; processes forked from one that has opened it share it.
_OPENED: dict[str, nn.Module] = {}


def _restored(
    kind: type[Detector], network: bytes, metadata: ModelMetadata, operating_point: str
) -> Detector:
    import_fastai()
    return kind(pickle.loads(network), metadata, operating_point)


def _is_count(number: object) -> bool:
    return not isinstance(number, bool) and isinstance(number, Integral) and int(number) >= 1


def _is_single(images: object) -> bool:
    """Whether something is one image, or nothing that gives images one after the other."""
    if isinstance(images, np.ndarray):
        # Only a stack, (N, height, width, 3), cannot be taken for one image.
        return images.ndim == 0 or (images.dtype.kind not in "OUS" and images.ndim < 4)
    if isinstance(images, str | os.PathLike | Image.Image | Mapping | io.IOBase | torch.Tensor):
        return True
    try:
        memoryview(images)  # type: ignore[arg-type]
    except TypeError:
        return not isinstance(images, Iterable)
    return True


def _decision_range(metadata: ModelMetadata) -> tuple[float, float]:
    """Lowest and highest log-odds of the network at which a decision or its uncertainty changes."""
    below = metadata.uncertainty.below
    probabilities = [*(point.threshold for point in metadata.operating_points), below, 1 - below]
    odds = [metadata.temperature * float(logit(share)) for share in probabilities if 0 < share < 1]
    return min(odds), max(odds)
