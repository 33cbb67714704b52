"""Settings of a training run; no torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.preprocessing import check_preprocess
from malaria_detect.inference.metadata import Epoch
from malaria_detect.metrics.formatting import format_list, format_percent

# One source of starting weights, or one for each trunk.
Weights = str | Mapping[str, str]

# Smallest and largest allowed value.
_RANGES = {
    "average_epochs": (0, math.inf),
    "base_lr": (1e-12, 1e3),
    "batch_size": (2, math.inf),
    "freeze_epochs": (0, math.inf),
    "label_smoothing": (0, 1),
    "lr_mult": (1, 1e6),
    "patience": (0, math.inf),
    "seed": (0, 2**32 - 2**16),
    "start_share": (0, 0.9),
    "weight_decay": (0, 1e3),
}
_CHOICES = {
    "optimiser": ("adam", "keras-adam", "sgd"),
    "schedule": ("one-cycle", "constant"),
    "keep": ("last", "best"),
    "class_weights": ("none", "balanced"),
    "looks": ("own", "random"),
}


class TrainingError(MalariaDetectError):
    """Training cannot start or continue.

    ``reason`` is the name of a wrong setting, or ``class_missing``, ``diverged``, ``epochs``, ``files``, ``frozen``,
    ``no_checkpoint``, ``no_network``, ``no_setting``, ``other_cells``, ``other_run``, ``other_trunk``, ``output``,
    ``sizes``, ``older_checkpoint``, ``unfinished``, ``broken_design``, ``unknown_design``, ``unknown_field``,
    ``weights`` or ``wrong_size``.
    """


class DivergedError(TrainingError):
    """Training diverged: the network returned NaN or infinity."""

    def __init__(self) -> None:
        super().__init__("Training diverged (the network returned NaN). Try a lower --lr.", "diverged")


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a training run depends on, apart from the cells and the design.

    Attributes
    ----------
    sizes : tuple of int
        Image size (side in px) of each epoch in which the whole network is trained.
    freeze_epochs : int
        Epochs before these in which only the head is trained, at the first size.
    average_epochs : int
        Epochs after these at the last size and a constant learning rate, over which the weights are averaged
        (Izmailov et al. 2018, Averaging weights leads to wider optima and better generalization, arXiv 1803.05407).
    base_lr : float
        As in fastai's ``fine_tune``: the learning rate of the head while the trunk is frozen. The peak of the cycle is
        half of it; while weights are averaged it is an eighth.
    lr_mult : float
        The learning rate of the first layers is that of the head divided by this number.
    label_smoothing : float
        Share of a label's weight that is divided between both classes, 0 to 1. About 5 % of the published labels are
        wrong.
    valid, test : float
        Shares of the patient groups.
    weights : str or dict of str to str
        What the network starts from: ``imagenet``, ``none`` or the path of a state dict. A dictionary gives a source
        for each trunk of :data:`malaria_detect.training.pretrained.TRUNKS`; trunks that it lacks start from
        ``imagenet``.
    optimiser : str
        ``adam`` (fastai's), ``keras-adam`` (with the constants of Keras) or ``sgd`` (with momentum 0.9).
    schedule : str
        ``one-cycle``: frozen epochs, a cycle, averaged epochs. ``constant``: `base_lr` in every epoch, without frozen
        or averaged epochs.
    patience : int
        With a constant learning rate: stop after this number of epochs without a lower validation loss; 0 for never.
    keep : str
        ``last``: the weights of the last epoch, or the averaged weights, whatever the scores of the epochs are.
        ``best``: the weights of the epoch with the highest ROC AUC on validation cells; of equal ones that with the
        lowest loss, then the later one. Accuracy would not do: where parasitized cells are rare, calling all cells
        uninfected has a high one.
    class_weights : str
        ``none``: each training cell counts the same. ``balanced``: both classes do, so that a rare class is learnt.
        Validation cells are weighted in the loss only; temperature and thresholds are chosen without weights.
    preprocess : tuple of str
        Names of the preprocessings, see :mod:`malaria_detect.data.preprocessing`.
    start_share : float
        Share of the starting weights in the exported trunk, 0 to 0.9, such as 0.2; the rest is what was learnt. A
        network that is trained for other laboratories then stays more accurate on its own (Wortsman et al. 2022,
        Robust fine-tuning of zero-shot models, arXiv 2109.01903). For designs with fastai's trunk and head.
    looks : str
        ``own``: training cells look as in their images, apart from the design's augmentations. ``random``: as other
        laboratories would show them, see :mod:`malaria_detect.training.randomized_cells`.

    Raises
    ------
    TrainingError
        If a value is out of range, or two settings contradict each other; ``reason`` is the name of the setting.

    Examples
    --------
    >>> TrainSettings(sizes=(64, 96), average_epochs=2).epochs
    (64, 64, 96, 96, 96)
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
    weights: Weights = "imagenet"
    network: str = "resnet34"
    optimiser: str = "adam"
    weight_decay: float = 0.01
    schedule: str = "one-cycle"
    patience: int = 0
    keep: str = "last"
    class_weights: str = "none"
    preprocess: tuple[str, ...] = ()
    start_share: float = 0.0
    looks: str = "own"

    def __post_init__(self) -> None:
        """Check the values."""
        large = bool(self.sizes) and min(self.sizes) >= 32
        _check(large, "sizes", f"must be 32 px or more; got {self.sizes}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            _check(least <= value <= most, name, f"must be between {least:g} and {most:g}; got {value}")
        for name, known in _CHOICES.items():
            _check(getattr(self, name) in known, name, f"must be one of {', '.join(known)}")
        object.__setattr__(self, "preprocess", check_preprocess(self.preprocess))  # in its one spelling
        constant, best = self.schedule == "constant", self.keep == "best"
        extra = self.freeze_epochs or self.average_epochs
        _check(not (constant and extra), "schedule", "constant allows no frozen and no averaged epochs")
        steady = constant or not self.patience
        _check(steady, "patience", "needs schedule=constant; a cycle cannot stop early")
        _check(not (best and self.average_epochs), "keep", "best excludes averaged epochs")
        _check(not (best and self.start_share), "start_share", "excludes keep=best")

    @property
    def epochs(self) -> tuple[int, ...]:
        """Image size in px of every epoch: the frozen ones, those of the whole network, the averaged ones."""
        frozen, averaged = (self.sizes[0],) * self.freeze_epochs, (self.sizes[-1],) * self.average_epochs
        return frozen + self.sizes + averaged


def _check(allowed: bool, name: str, problem: str) -> None:
    if not allowed:
        raise TrainingError(f"The setting {name} {problem}.", reason=name)


def recorded(settings: TrainSettings) -> dict[str, Any]:
    """Settings as checkpoints and metadata keep them: in JSON's types, file names of weights without their folders.

    Examples
    --------
    >>> recorded(TrainSettings(weights={"vgg16": "/data/a.pth", "resnet34": "b.pth"}))["weights"]
    'vgg16=a.pth,resnet34=b.pth'
    """
    weights = settings.weights
    if isinstance(weights, str):
        name = Path(weights).name
    else:
        name = ",".join(f"{trunk}={Path(source).name}" for trunk, source in weights.items())
    fields = {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(settings).items()
    }
    # Left out if not used, so that checkpoints and results from before there were any still match.
    for field, unused in (("class_weights", "none"), ("start_share", 0.0), ("looks", "own")):
        if fields[field] == unused:
            del fields[field]
    return {**fields, "weights": name}


def sizes_in_words(sizes: Iterable[int]) -> str:
    """The number of epochs at each image size.

    Examples
    --------
    >>> sizes_in_words([112, 112, 224])
    '2 epochs at 112 px and 1 epoch at 224 px'
    """
    runs = [(size, len(list(epochs))) for size, epochs in groupby(sizes)]
    return format_list([f"{epochs} epoch{'s' if epochs > 1 else ''} at {size} px" for size, epochs in runs])


def recipe(history: Sequence[Epoch], settings: Mapping[str, Any]) -> str:
    """Epochs of a training run in words: how many at each image size, how many were averaged, what was mixed in.

    The settings are as :func:`recorded` returns them.
    """
    sizes = sizes_in_words([epoch.size for epoch in history])
    averaged, share = settings.get("average_epochs", 0), settings.get("start_share", 0)
    averaging = f", the weights averaged over the last {averaged} of them" if averaged else ""
    mixing = f", {format_percent(share)} of the starting trunk mixed in" if share else ""
    return f"{sizes}{averaging}{mixing}"
