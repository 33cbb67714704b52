"""Load a model and classify images: ``load_detector().predict("cell.png")``."""

import itertools
import operator
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from malaria_detect.core.errors import ArgumentError
from malaria_detect.data.field_check import WHOLE_FIELD, shows_field
from malaria_detect.data.image_checks import TRAINED_SIDES, size_warnings
from malaria_detect.data.images import ImageRefused, ImageSource, read_image
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.quality import quality_problems
from malaria_detect.inference.arguments import check_many
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.engine import threads
from malaria_detect.inference.foreign import (
    FOREIGN,
    NOT_A_CELL,
    ORDINARY,
    OTHER_SITE,
    KnownCells,
)
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import default_model, read_model
from malaria_detect.inference.prediction import Prediction, Refusal, decide
from malaria_detect.inference.references import read_references
from malaria_detect.inference.runtime import open_classifier
from malaria_detect.metrics import scaled

# Larger batches are hardly faster, and each image takes 7 MB while the network runs.
BATCH = 8


@dataclass(frozen=True)
class _Padded:
    """What a prediction needs of an image; the image itself can be large."""

    pixels: np.ndarray
    size: tuple[int, int]
    problems: tuple[str, ...]


class Detector:
    """A trained network with its metadata, at one operating point; made by :func:`load_detector`.

    Attributes
    ----------
    classifier : Classifier or None
        The compiled network; None if another process computes it.
    metadata : ModelMetadata
    point : OperatingPoint
    known : KnownCells or None
        What a picture is compared with; None for a model without references, which refuses nothing as foreign.
    """

    def __init__(
        self,
        classifier: Classifier | None,
        metadata: ModelMetadata,
        operating_point: str | None = None,
        known: KnownCells | None = None,
    ) -> None:
        self.metadata = metadata
        self.point = metadata.point(operating_point)
        self.classifier = classifier
        self.known = known

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
        return Detector(self.classifier, self.metadata, operating_point, self.known)

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
        >>> detector = load_detector()
        >>> detector.known = None  # with it, a gradient is refused as foreign
        >>> prediction = detector.predict(grey)
        >>> prediction.image_size, prediction.uncertain
        ((120, 130), True)
        """
        (answer,) = self._classified([self._padded(image)])
        if isinstance(answer, Refusal):
            raise ImageRefused(answer.message, answer.reason)
        return answer

    def predict_many(
        self, images: Iterable[ImageSource], batch_size: int = BATCH, progress: bool = False
    ) -> Iterator[Prediction | Refusal]:
        """Classify many images in order, one batch at a time.

        Parameters
        ----------
        images : iterable
            Each as for :meth:`predict`, or an array (N, height, width, 3 or 4); read at most one batch ahead: if
            it raises an error, that comes before the answers to the batch that is computed.
        batch_size : int
            Images that go through the network together, 1 or more. It changes memory and speed; answers differ by
            rounding at most.
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
        check_many(images, batch_size)
        return self._answers(images, int(batch_size), progress)

    def _answers(
        self, images: Iterable[ImageSource], batch_size: int, progress: bool
    ) -> Iterator[Prediction | Refusal]:
        total = operator.length_hint(images) or None
        source = iter(images)
        with (
            tqdm(total=total, unit="cell", disable=not progress) as bar,
            ThreadPoolExecutor(threads()) as pool,
        ):
            # The next batch is read and padded while the network computes this one.
            batch = self._begun(pool, source, batch_size)
            while batch:
                following = self._begun(pool, source, batch_size)
                found = [one.result() for one in batch]
                answers = iter(self._classified([one for one in found if isinstance(one, _Padded)]))
                for one in found:
                    yield one if isinstance(one, Refusal) else next(answers)
                bar.update(len(found))
                batch = following

    def _begun(
        self, pool: ThreadPoolExecutor, source: Iterator[ImageSource], batch_size: int
    ) -> list[Future[_Padded | Refusal]]:
        return [pool.submit(self._padded_or_refusal, image) for image in itertools.islice(source, batch_size)]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.classifier, self.metadata, self.point.name, self.known)

    def __copy__(self) -> "Detector":
        return self.at(self.point.name)

    def _padded(self, image: ImageSource) -> _Padded:
        picture = read_image(image)
        if shows_field(picture):
            raise ImageRefused(WHOLE_FIELD, reason="whole_field")
        pixels = self.metadata.input_transform.pad(picture)
        return _Padded(pixels, picture.size, quality_problems(picture))

    def _padded_or_refusal(self, image: ImageSource) -> _Padded | Refusal:
        try:
            return self._padded(image)
        except ImageRefused as refusal:
            return Refusal(str(refusal), refusal.reason)

    def _classified(self, padded: Sequence[_Padded]) -> list[Prediction | Refusal]:
        if not padded:
            return []
        assert self.classifier is not None  # detectors without one override the methods that predict
        pictures = self.metadata.input_transform.tensor([one.pixels for one in padded])
        seen = self.classifier.see(pictures) if self.known else None
        odds = self.classifier.log_odds(pictures) if seen is None else seen.odds
        outcomes = self.known.outcomes(seen) if seen and self.known else [ORDINARY] * len(padded)
        return [
            Refusal(NOT_A_CELL, FOREIGN) if outcome == FOREIGN else self._prediction(one, value, outcome)
            for one, value, outcome in zip(padded, odds, outcomes, strict=True)
        ]

    def _prediction(self, padded: _Padded, odds: float, outcome: str) -> Prediction:
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
            warnings=(*size_warnings(*padded.size), *padded.problems),
            poor_quality=bool(padded.problems) or min(padded.size) < TRAINED_SIDES[0],
            site_warning=outcome == OTHER_SITE,
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
        If a file is missing or changed, or there is no such operating point. Nothing is unpickled, unless the runtime
        form of the network is missing: see :mod:`malaria_detect.inference.runtime`.

    Examples
    --------
    >>> detector = load_detector()
    >>> detector.metadata.architecture
    'resnet34'
    """
    model = default_model() if path is None else path
    metadata, data = read_model(model)
    metadata.point(operating_point)
    if metadata.classes != CLASSES:
        raise MetadataError(
            f"{metadata.file_name} distinguishes {' and '.join(metadata.classes)}; expected {' and '.join(CLASSES)}.",
            reason="other_classes",
        )
    key = metadata.sha256, metadata.references_sha256
    with _OPENING:
        if key not in _OPENED:
            references = read_references(model, metadata)
            known = None if references is None else references.known
            opened = open_classifier(model, metadata, data), known
            _OPENED.clear()
            _OPENED[key] = opened
        classifier, known = _OPENED[key]
    return Detector(classifier, metadata, operating_point, known)


_OPENING = threading.Lock()
# The last network and its known cells by the SHA-256 of their files.
_OPENED: dict[tuple[str, str | None], tuple[Classifier, KnownCells | None]] = {}
