"""Load the model, classify pictures: ``load_detector().predict("cell.png")``."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from scipy.special import logit
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.data.images import ImageRefused, ImageSource, read_image, size_warnings
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.input import InputTransform, run_threaded
from malaria_detect.inference.metadata import (
    PIN_VARIABLE,
    MetadataError,
    ModelMetadata,
    metadata_path,
    read_model,
)
from malaria_detect.inference.network import Light, lightened, log_odds, open_learner, prepared
from malaria_detect.inference.prediction import Prediction, Refusal, called
from malaria_detect.metrics import scaled

# Pictures at once: hardly slower than more, and each takes 10 MB while the network is at work.
BATCH = 8


@dataclass(frozen=True)
class _ModelFile:
    """A model as it lies on disk: equal where nobody has changed it, nor which one may be opened."""

    place: Path
    state: tuple[tuple[int, ...] | None, ...]
    pin: str | None
    # As the caller names it, for messages.
    path: str | os.PathLike[str] = field(compare=False)

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> Self:
        files = [file.stat() if file.is_file() else None for file in (Path(path), metadata_path(path))]
        state = tuple(
            (file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns) if file else None
            for file in files
        )
        return cls(Path(path).resolve(), state, os.environ.get(PIN_VARIABLE), path)


@dataclass(frozen=True)
class _Picture:
    """What a prediction needs of a picture; a large one is let go as soon as it is scaled."""

    square: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of(cls, image: ImageSource, transform: InputTransform) -> Self:
        picture = read_image(image)
        return cls(transform.pad(picture), picture.size)


class Detector:
    """A trained network with its metadata, at one operating point; made by :func:`load_detector`.

    Attributes
    ----------
    network : torch.nn.Module
        As :func:`malaria_detect.inference.network.prepared` makes it.
    metadata : ModelMetadata
    point : OperatingPoint
    """

    def __init__(
        self,
        network: nn.Module,
        metadata: ModelMetadata,
        operating_point: str | None = None,
        light: Light | None = None,
    ) -> None:
        self.metadata = metadata
        self.point = metadata.point(operating_point)
        self.network = network
        self._light = light

    @property
    def light(self) -> Light | None:
        """The network's faster copy, made when it is first asked for; None where it has none."""
        if self._light is None:
            self._light = lightened(self.network, self.metadata.architecture, _edges(self.metadata))
        return self._light

    def at(self, operating_point: str) -> "Detector":
        """The same network, deciding at another operating point.

        Raises
        ------
        MetadataError
            Where the model has none of that name.
        """
        return Detector(self.network, self.metadata, operating_point, self._light)

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
        picture = _Picture.of(image, self.metadata.input_transform)
        return self._prediction(picture, self._logits([picture.square])[0])

    def predict_many(
        self, images: Iterable[ImageSource], batch_size: int = BATCH, progress: bool = False
    ) -> Iterator[Prediction | Refusal]:
        """Classify many pictures, in their order, a batch at a time.

        Parameters
        ----------
        images : iterable
            Of whatever :meth:`predict` takes; read a batch ahead at the most.
        batch_size : int
            Pictures that go through the network together, 1 or more. It changes memory, and speed a little where it
            is small; answers by less than 0.001.
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
        with tqdm(total=total, unit="cell", disable=not progress) as bar:
            while batch := list(itertools.islice(source, batch_size)):
                pictures = run_threaded(self._read, batch)
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
            return _Picture.of(image, self.metadata.input_transform)
        except ImageRefused as refusal:
            return Refusal(str(refusal))

    def _logits(self, squares: Sequence[np.ndarray]) -> list[float]:
        if not squares:
            return []
        return log_odds(self.network, self.metadata.input_transform.tensor(squares), self.light)

    def _prediction(self, picture: _Picture, logit: float) -> Prediction:
        calibrated, raw = (
            float(scaled(logit, temperature)) for temperature in (self.metadata.temperature, 1.0)
        )
        return Prediction(
            label=CLASSES[0] if logit >= 0 else CLASSES[1],
            decision=called(calibrated, self.point),
            probabilities={CLASSES[0]: calibrated, CLASSES[1]: 1 - calibrated},
            raw_probability_parasitized=raw,
            operating_point=self.point.name,
            threshold=self.point.threshold,
            uncertain_below=self.metadata.uncertainty.below,
            image_size=picture.size,
            warnings=size_warnings(*picture.size),
        )


def load_detector(
    path: str | os.PathLike[str] = "export.pkl", operating_point: str | None = None
) -> Detector:
    """Open an exported model, after its SHA-256 was held against the metadata beside it.

    The same files, unchanged, are opened once: further detectors share the network.

    Parameters
    ----------
    path : path
        The exported learner; its metadata ``export.json`` lies beside it.
    operating_point : str, optional
        ``screening``, ``balanced`` or ``counting``; without one the metadata's default.

    Returns
    -------
    Detector

    Raises
    ------
    MetadataError
        Where the pair is missing, foreign or changed, or has no such operating point; nothing is unpickled then.

    Examples
    --------
    >>> detector = load_detector("export.pkl")
    >>> detector.metadata.architecture
    'resnet34'
    """
    metadata, network, light = _opened(_ModelFile.at(path))
    metadata.point(operating_point)
    return Detector(network, metadata, operating_point, light)


def _edges(metadata: ModelMetadata) -> list[float]:
    """The network's own log-odds at which a cell is called otherwise, or is uncertain."""
    below = metadata.uncertainty.below
    decided = [*(point.threshold for point in metadata.operating_points), below, 1 - below]
    return [metadata.temperature * float(logit(share)) for share in decided if 0 < share < 1]


# One model is kept, so that a process that is forked off one that has opened it finds it there.
@lru_cache(maxsize=1)
def _opened(file: _ModelFile) -> tuple[ModelMetadata, nn.Module, Light | None]:
    metadata, data = read_model(file.path)
    if metadata.classes != CLASSES:
        raise MetadataError(
            f"{file.path} tells {' and '.join(metadata.classes)} apart, not {' and '.join(CLASSES)}."
        )
    network = prepared(open_learner(data).model)
    return metadata, network, lightened(network, metadata.architecture, _edges(metadata))
