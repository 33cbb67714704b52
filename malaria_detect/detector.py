"""Load the model, classify pictures: ``load_detector().predict("cell.png")``."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.cells import CLASSES
from malaria_detect.images import ImageRefused, ImageSource, read_image, size_warnings
from malaria_detect.inference import open_learner, parasitized_logits, prepared
from malaria_detect.metrics import scaled
from malaria_detect.passport import OperatingPoint, Passport, PassportError, read_model
from malaria_detect.preprocess import preprocess
from malaria_detect.squares import RESIZE, network_input, square


@dataclass(frozen=True)
class Prediction:
    """What the model says of one picture.

    Attributes
    ----------
    label : str
        The more probable class, ``Parasitized`` or ``Uninfected``: what ``learn.predict`` says.
    decision : str
        The class that the cell is called at the operating point.
    probabilities : dict of str to float
        One for each class, 0 to 1, summing to 1; calibrated, so that of cells given 0.8 about 80 % are what it says.
    raw_probability_parasitized : float
        The network's own softmax, which ``learn.predict`` returns: ordered as the calibrated one, but less honest.
    operating_point : str
        Name of the operating point that ``decision`` was made at.
    threshold : float
        Least calibrated probability of ``Parasitized`` that is called so there.
    doubt_below : float
        From the passport: see ``doubtful``.
    image_size : tuple of int
        Width and height of the picture in px.
    warnings : tuple of str
        Sentences on why the answer may be worth less than usual.
    """

    label: str
    decision: str
    probabilities: dict[str, float]
    raw_probability_parasitized: float
    operating_point: str
    threshold: float
    doubt_below: float
    image_size: tuple[int, int]
    warnings: tuple[str, ...] = ()

    @property
    def probability_parasitized(self) -> float:
        """Calibrated probability of ``Parasitized``, 0 to 1."""
        return self.probabilities[CLASSES[0]]

    @property
    def doubtful(self) -> bool:
        """Whether the calibrated probability of the decision is so low that a person should look."""
        return self.probabilities[self.decision] < self.doubt_below

    def at(self, point: OperatingPoint) -> "Prediction":
        """The same picture, decided at another operating point of the same model.

        Examples
        --------
        >>> detector = load_detector("export.pkl")
        >>> prediction = detector.predict(np.zeros((130, 120, 3), dtype=np.uint8))
        >>> prediction.at(detector.passport.point("screening")).operating_point
        'screening'
        """
        return replace(
            self,
            decision=_called(self.probability_parasitized, point),
            operating_point=point.name,
            threshold=point.threshold,
        )


def _called(probability: float, point: OperatingPoint) -> str:
    return CLASSES[0] if probability >= point.threshold else CLASSES[1]


@dataclass(frozen=True)
class Refusal:
    """A picture that could not be read, and the sentence that says why."""

    reason: str


@dataclass(frozen=True)
class _Picture:
    """What a prediction needs of a picture; a large one is let go as soon as it is scaled."""

    square: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, image: ImageSource, names: Sequence[str]) -> Self:
        picture = read_image(image)
        return cls(square(preprocess(picture, names), RESIZE), picture.size)


class Detector:
    """A trained network with its passport, at one operating point; made by :func:`load_detector`.

    Attributes
    ----------
    network : torch.nn.Module
        As :func:`prepared` makes it.
    passport : Passport
    point : OperatingPoint
    """

    def __init__(self, network: nn.Module, passport: Passport, operating_point: str | None = None) -> None:
        self.passport = passport
        self.point = passport.point(operating_point)
        self.network = network

    def at(self, operating_point: str) -> "Detector":
        """The same network, deciding at another operating point.

        Raises
        ------
        PassportError
            Where the model has none of that name.
        """
        return Detector(self.network, self.passport, operating_point)

    def predict(self, image: ImageSource) -> Prediction:
        """Classify one picture.

        Parameters
        ----------
        image : path, bytes, PIL.Image.Image or numpy.ndarray
            A picture of one cell; an array is uint8, (height, width) or (height, width, 3 or 4), RGB.

        Returns
        -------
        Prediction

        Raises
        ------
        ImageRefused
            Where the picture cannot be read, with a sentence that says why.

        Examples
        --------
        >>> nothing = np.zeros((130, 120, 3), dtype=np.uint8)
        >>> load_detector("export.pkl").predict(nothing).image_size
        (120, 130)
        """
        picture = _Picture.of(image, self.passport.preprocess)
        return self._prediction(picture, self._logits([picture.square])[0])

    def predict_many(
        self, images: Iterable[ImageSource], batch_size: int = 64, progress: bool = False
    ) -> Iterator[Prediction | Refusal]:
        """Classify many pictures, in their order, a batch at a time.

        Parameters
        ----------
        images : iterable
            Of whatever :meth:`predict` takes; read a batch ahead at the most.
        batch_size : int
            Pictures that go through the network together, 1 or more. It changes speed and memory, not the answers.
        progress : bool
            Show a bar.

        Yields
        ------
        Prediction or Refusal
            One for each picture: a picture that cannot be read does not stop the others.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}.")
        total = len(images) if isinstance(images, Sized) else None
        source = iter(images)
        with tqdm(total=total, unit="cell", disable=not progress) as bar, ThreadPoolExecutor() as pool:
            while batch := list(itertools.islice(source, batch_size)):
                pictures = list(pool.map(self._read, batch))
                squares = [picture.square for picture in pictures if isinstance(picture, _Picture)]
                logits = iter(self._logits(squares))
                for picture in pictures:
                    if isinstance(picture, Refusal):
                        yield picture
                    else:
                        yield self._prediction(picture, next(logits))
                bar.update(len(batch))

    def _read(self, image: ImageSource) -> _Picture | Refusal:
        try:
            return _Picture.of(image, self.passport.preprocess)
        except ImageRefused as refusal:
            return Refusal(str(refusal))

    def seen(self, picture: Image.Image) -> torch.Tensor:
        """What the network sees of a picture.

        Parameters
        ----------
        picture : PIL.Image.Image
            RGB, as :func:`malaria_detect.images.read_image` gives it.

        Returns
        -------
        torch.Tensor
            float32, (1, 3, size, size), at the network's own size and scale.
        """
        passport = self.passport
        pixels = square(preprocess(picture, passport.preprocess), RESIZE)
        return network_input([pixels], passport.input_size, passport.mean, passport.std)

    def _logits(self, squares: Sequence[np.ndarray]) -> list[float]:
        passport = self.passport
        return parasitized_logits(self.network, squares, passport.input_size, passport.mean, passport.std)

    def _prediction(self, picture: _Picture, logit: float) -> Prediction:
        calibrated, raw = (
            float(scaled(logit, temperature)) for temperature in (self.passport.temperature, 1.0)
        )
        return Prediction(
            label=CLASSES[0] if logit >= 0 else CLASSES[1],
            decision=_called(calibrated, self.point),
            probabilities={CLASSES[0]: calibrated, CLASSES[1]: 1 - calibrated},
            raw_probability_parasitized=raw,
            operating_point=self.point.name,
            threshold=self.point.threshold,
            doubt_below=self.passport.doubt.below,
            image_size=picture.size,
            warnings=size_warnings(*picture.size),
        )


def load_detector(
    path: str | os.PathLike[str] = "export.pkl", operating_point: str | None = None
) -> Detector:
    """Open an exported model, after its SHA-256 was held against the passport beside it.

    Parameters
    ----------
    path : path
        The exported learner; its passport ``export.json`` lies beside it.
    operating_point : str, optional
        ``screening``, ``balanced`` or ``counting``; without one the passport's default.

    Returns
    -------
    Detector

    Raises
    ------
    PassportError
        Where the pair is missing, foreign or changed, or has no such operating point; nothing is unpickled then.

    Examples
    --------
    >>> detector = load_detector("export.pkl")
    >>> detector.passport.architecture
    'resnet34'
    """
    passport, data = read_model(path)
    if passport.classes != CLASSES:
        raise PassportError(
            f"{path} tells {' and '.join(passport.classes)} apart, not {' and '.join(CLASSES)}."
        )
    passport.point(operating_point)
    return Detector(prepared(open_learner(data).model), passport, operating_point)
