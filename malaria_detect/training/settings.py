"""The settings of a training run, and how people write them; no torch."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.preprocessing import check_preprocess
from malaria_detect.inference.metadata import Epoch
from malaria_detect.metrics.formatting import format_list

# Networks that may start from ImageNet's weights, as they are named with their files.
TRUNKS = ("resnet34", "vgg16", "resnet50v2", "mobilenetv2")
# Least and most of each number; what lies at the edge is allowed.
_RANGES = {
    "average_epochs": (0, math.inf),
    "base_lr": (1e-12, 1e3),
    "freeze_epochs": (0, math.inf),
    "label_smoothing": (0, 1),
    "lr_mult": (1, 1e6),
    "patience": (0, math.inf),
    "seed": (0, 2**32 - 2**16),
    "weight_decay": (0, 1e3),
}
_CHOICES = {
    "optimiser": ("adam", "keras-adam", "sgd"),
    "schedule": ("one-cycle", "constant"),
    "keep": ("last", "best"),
}


class TrainingError(MalariaDetectError):
    """Training cannot start or go on as asked."""


class DivergedError(TrainingError):
    """Training went astray: the network's answers are no numbers any more."""


@dataclass(frozen=True)
class TrainSettings:
    """All that a training run depends on besides the cells.

    Attributes
    ----------
    sizes : tuple of int
        Side of the pictures in px, one for each epoch of the whole network.
    freeze_epochs : int
        Epochs before them in which only the head learns, at the first size.
    average_epochs : int
        Epochs after them at the last size and a constant rate, whose weights are averaged (Izmailov et al. 2018,
        Averaging weights leads to wider optima and better generalization, arXiv 1803.05407); 0 for none.
    batch_size : int
    base_lr : float
        As in fastai's ``fine_tune``: the head's rate while the trunk is frozen, half of it at the peak later, an eighth
        while weights are averaged.
    lr_mult : float
        The first layers learn so many times slower than the head.
    label_smoothing : float
        Published labels are wrong in about 5 % of the cells; it is the share of a label's weight that
        goes to both classes alike, 0 to 1.
    valid, test : float
        Shares of the patient groups.
    seed : int
    weights : str
        ``imagenet``, ``none``, a path, or pairs of trunk and path, see :func:`parse_weights`.
    network : str
        One of :data:`malaria_detect.designs.registry.NETWORKS`.
    optimiser : str
        ``adam`` (fastai's), ``keras-adam`` (with Keras's constants) or ``sgd`` (with a momentum of .9).
    weight_decay : float
    schedule : str
        ``one-cycle``: frozen epochs, a cycle and averaged ones, as told above. ``constant``: ``base_lr`` throughout,
        and neither frozen nor averaged epochs.
    patience : int
        With a constant rate: stop after so many epochs without a lower validation loss; 0 to go on to the end.
    keep : str
        ``last``: the weights of the last epoch, or the average. ``best``: of the epoch with the best accuracy on
        validation cells.
    preprocess : tuple of str
        Names of what is done to a picture first, see :mod:`malaria_detect.data.preprocessing`.
    """

    sizes: tuple[int, ...] = (96,) * 7 + (160,) * 3 + (224,) * 2
    freeze_epochs: int = 1
    average_epochs: int = 10
    batch_size: int = 64
    base_lr: float = 4e-3
    lr_mult: float = 4.0
    label_smoothing: float = 0.05
    valid: float = 0.15
    test: float = 0.15
    seed: int = 13
    weights: str = "imagenet"
    network: str = "resnet34"
    optimiser: str = "adam"
    weight_decay: float = 0.01
    schedule: str = "one-cycle"
    patience: int = 0
    keep: str = "last"
    preprocess: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse settings that no run could have."""
        if not self.sizes or min(self.sizes) < 32:
            raise TrainingError(
                f"Sizes are pictures' sides in px, 32 or more, one for each epoch; got {self.sizes}."
            )
        if self.batch_size < 2:
            raise TrainingError(f"A batch ({self.batch_size}) must be 2 or more cells.")
        for name, (least, most) in _RANGES.items():
            # A number that is none lies nowhere.
            if not least <= getattr(self, name) <= most:
                raise TrainingError(
                    f"{name} must be {least:g} or more and {most:g} or less; got {getattr(self, name)}."
                )
        object.__setattr__(self, "preprocess", check_preprocess(self.preprocess))  # in its one spelling
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise TrainingError(f"{name} is one of {', '.join(known)}; got {getattr(self, name)!r}.")
        if self.schedule == "constant" and (self.freeze_epochs or self.average_epochs):
            raise TrainingError("With a constant rate there are neither frozen nor averaged epochs.")
        if self.patience and self.schedule != "constant":
            raise TrainingError(
                "Only with a constant rate can training stop early: a cycle must be run to its end."
            )
        if self.keep == "best" and self.average_epochs:
            raise TrainingError("Either the best epoch is kept, or epochs are averaged.")

    @property
    def epochs(self) -> tuple[int, ...]:
        """Side of the pictures in every epoch of the run: frozen ones, those of the cycle, averaged ones."""
        frozen, averaged = (self.sizes[0],) * self.freeze_epochs, (self.sizes[-1],) * self.average_epochs
        return frozen + self.sizes + averaged


def recorded(settings: TrainSettings) -> dict[str, Any]:
    """Settings as checkpoint and metadata keep them: of files of weights their names, not where they lay."""
    pairs = parse_weights(settings.weights)
    names = [
        f"{trunk}={Path(source).name}" if trunk else Path(source).name for trunk, source in pairs.items()
    ]
    return {**asdict(settings), "weights": ",".join(names)}


def recipe(history: Sequence[Epoch], settings: Mapping[str, Any]) -> str:
    """The epochs of a training run in words: how many at each size of the pictures, and how many were averaged."""
    runs = [(size, len(list(epochs))) for size, epochs in groupby(history, key=lambda epoch: epoch.size)]
    sizes = format_list([f"{epochs} epoch{'s' if epochs > 1 else ''} at {size} px" for size, epochs in runs])
    averaged = settings.get("average_epochs", 0)
    return f"{sizes}, the weights averaged over the last {averaged} of them" if averaged else sizes


def parse_weights(text: str) -> dict[str, str]:
    """Read what networks start from as people write it.

    Parameters
    ----------
    text : str
        ``imagenet``, ``none`` or a path, for whatever network; or pairs like ``vgg16=a.pth,resnet34=b.pth``, with names
        from :data:`TRUNKS`. A file that is there is a file, whatever its name holds.

    Returns
    -------
    dict
        From a trunk's name, or from nothing for every trunk, to its source.

    Raises
    ------
    TrainingError
        Where a pair names no trunk.

    Examples
    --------
    >>> parse_weights("none"), parse_weights("resnet50v2=a.pth,vgg16=b.pth")
    ({'': 'none'}, {'resnet50v2': 'a.pth', 'vgg16': 'b.pth'})
    """
    if Path(text).is_file() or not re.match(r"\w+=", text):
        return {"": text}
    pairs = {
        name.strip(): path.strip() for name, _, path in (part.partition("=") for part in text.split(","))
    }
    unknown = [name for name in pairs if name not in TRUNKS]
    if unknown or not all(pairs.values()):
        raise TrainingError(
            f"Weights are a file, imagenet, none, or pairs like vgg16=FILE with {', '.join(TRUNKS)}; got {text!r}."
        )
    return pairs


def parse_sizes(text: str, epochs: str | None = None) -> tuple[int, ...]:
    """Read sizes and epochs as people write them.

    Parameters
    ----------
    text : str
        Sizes in px, each with an x and its epochs, or alone for one epoch.
    epochs : str, optional
        Epochs at each size: one number for all, or one for each; those in ``text`` do not count then.

    Raises
    ------
    TrainingError
        Where either cannot be read, or there are not as many numbers of epochs as sizes.

    Examples
    --------
    >>> parse_sizes("96x2,224"), parse_sizes("64,96", "2,1"), parse_sizes("64,96", "2")
    ((96, 96, 224), (64, 64, 96), (64, 64, 96, 96))
    """
    parts = [re.fullmatch(r"(\d+)(?:x(\d+))?", part.strip()) for part in text.split(",")]
    if not all(parts):
        raise TrainingError(f"Sizes are written like 96x7,160x3,224x2 (px x epochs); got {text!r}.")
    sizes = [(int(part[1]), int(part[2] or 1)) for part in parts if part]
    if epochs is not None:
        counts = [count.strip() for count in epochs.split(",")]
        if not all(re.fullmatch(r"\d+", count) for count in counts) or len(counts) not in (1, len(sizes)):
            raise TrainingError(
                f"Epochs are one number for all sizes, or one for each of {len(sizes)}, like 3,4; got {epochs!r}."
            )
        given = [int(count) for count in counts] * (len(sizes) if len(counts) == 1 else 1)
        sizes = [(size, count) for (size, _), count in zip(sizes, given, strict=True)]
    return tuple(size for size, count in sizes for _ in range(count))


def parse_fields(words: Sequence[str]) -> dict[str, Any]:
    """Read fields of the settings as people write them.

    Parameters
    ----------
    words : sequence of str
        ``field=value``, of those fields that hold one number or one word; ``epochs`` is their number, at the
        network's own size.

    Raises
    ------
    TrainingError
        Where a field is unknown, or the value is not of its kind.

    Examples
    --------
    >>> parse_fields(["schedule=constant", "patience=5", "weight_decay=1e-4"])
    {'schedule': 'constant', 'patience': 5, 'weight_decay': 0.0001}
    """
    kinds: dict[str, Callable[[str], int | float | str]] = {
        field.name: kind
        for field in fields(TrainSettings)
        for kind in (int, float, str)
        if field.type is kind
    }
    kinds["epochs"] = int
    del kinds["network"]  # it has brought these settings
    read: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if name not in kinds or not equals:
            raise TrainingError(
                f"Settings are written field=value, with one of {', '.join(kinds)}; got {word!r}."
            )
        try:
            read[name] = kinds[name](value)
        except ValueError as error:
            raise TrainingError(f"{name} is a number; got {value!r}.") from error
    return read
