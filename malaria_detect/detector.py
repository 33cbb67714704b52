"""Load the model, classify pictures: ``load_detector().predict("cell.png")``."""

import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import torch
from fastai.learner import Learner
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock
from tqdm.auto import tqdm

from malaria_detect.cells import CLASSES
from malaria_detect.images import ImageRefused, ImageSource, read_image, size_warnings
from malaria_detect.passport import Passport, PassportError, read_model
from malaria_detect.squares import RESIZE, network_input, square


@dataclass(frozen=True)
class Prediction:
    """What the model says of one picture.

    Attributes
    ----------
    label : str
        The more probable class, ``Parasitized`` or ``Uninfected``: what ``learn.predict`` says.
    decision : str
        The class that the cell is called at the passport's threshold. It is ``label`` where the threshold is 0.5.
    probabilities : dict of str to float
        One for each class, 0 to 1, summing to 1.
    image_size : tuple of int
        Width and height of the picture in px.
    warnings : tuple of str
        Sentences on why the answer may be worth less than usual.
    """

    label: str
    decision: str
    probabilities: dict[str, float]
    image_size: tuple[int, int]
    warnings: tuple[str, ...] = ()

    @property
    def probability_parasitized(self) -> float:
        """Probability of ``Parasitized``, 0 to 1."""
        return self.probabilities[CLASSES[0]]


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
    def of(cls, image: ImageSource) -> Self:
        picture = read_image(image)
        return cls(square(picture, RESIZE), picture.size)


class Detector:
    """A trained network with its passport; made by :func:`load_detector`."""

    def __init__(self, network: nn.Module, passport: Passport) -> None:
        self.passport = passport
        self._network = prepared(network)

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
        picture = _Picture.of(image)
        return self._prediction(picture, parasitized_probabilities(self._network, [picture.square])[0])

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
                pictures = list(pool.map(_read, batch))
                squares = [picture.square for picture in pictures if isinstance(picture, _Picture)]
                probabilities = iter(parasitized_probabilities(self._network, squares))
                for picture in pictures:
                    if isinstance(picture, Refusal):
                        yield picture
                    else:
                        yield self._prediction(picture, next(probabilities))
                bar.update(len(batch))

    def _prediction(self, picture: _Picture, probability: float) -> Prediction:
        return Prediction(
            label=CLASSES[0] if probability >= 0.5 else CLASSES[1],
            decision=CLASSES[0] if probability >= self.passport.threshold else CLASSES[1],
            probabilities={CLASSES[0]: probability, CLASSES[1]: 1 - probability},
            image_size=picture.size,
            warnings=size_warnings(*picture.size),
        )


def load_detector(path: str | os.PathLike[str] = "export.pkl") -> Detector:
    """Open an exported model, after its SHA-256 was held against the passport beside it.

    Parameters
    ----------
    path : path
        The exported learner; its passport ``export.json`` lies beside it.

    Returns
    -------
    Detector

    Raises
    ------
    PassportError
        Where the pair is missing, foreign or changed; nothing is unpickled then.

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
    return Detector(open_learner(data).model, passport)


def open_learner(data: bytes) -> Learner:
    """Unpickle an exported learner: this runs whatever is in it, so its hash must have been checked."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)


def prepared(network: nn.Module) -> nn.Module:
    """Ready a resnet for prediction: batch norms folded into their convolutions, channels last, no gradients.

    Parameters
    ----------
    network : torch.nn.Module
        Of an exported learner: trunk and head in a sequence. It is changed in place.
    """
    network = network.eval().requires_grad_(False)
    trunk = network.get_submodule("0")
    _fold(trunk, "0", "1")
    for block in trunk.modules():
        if isinstance(block, BasicBlock):
            _fold(block, "conv1", "bn1")
            _fold(block, "conv2", "bn2")
            if block.downsample is not None:
                _fold(block.downsample, "0", "1")
    return network.to(memory_format=torch.channels_last)


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    fused = fuse_conv_bn_eval(
        cast(nn.Conv2d, parent.get_submodule(convolution)), cast(nn.BatchNorm2d, parent.get_submodule(norm))
    )
    parent.set_submodule(convolution, fused.requires_grad_(False))
    parent.set_submodule(norm, nn.Identity())


def parasitized_probabilities(network: nn.Module, squares: Sequence[np.ndarray]) -> list[float]:
    """Probability of ``Parasitized`` for each square, from a network that :func:`prepared` made.

    Parameters
    ----------
    network : torch.nn.Module
    squares : sequence of numpy.ndarray
        uint8, each (460, 460, 3), from :func:`malaria_detect.squares.square`.
    """
    if not squares:
        return []
    with torch.inference_mode():
        probabilities = network(network_input(squares)).softmax(dim=1)[:, 0]
    return [float(probability) for probability in probabilities]


def _read(image: ImageSource) -> _Picture | Refusal:
    try:
        return _Picture.of(image)
    except ImageRefused as refusal:
        return Refusal(str(refusal))
