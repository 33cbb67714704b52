"""The settings of a training run, and how people write them; no torch."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from malaria_detect.errors import MalariaDetectError


class TrainingError(MalariaDetectError):
    """Training cannot start or go on as asked."""


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
        Published labels are wrong in about 5 % of the cells; see :func:`malaria_detect.recipe.cell_learner`.
    valid, test : float
        Shares of the patient groups.
    seed : int
    weights : str
        ``imagenet``, ``none`` or a path, see :func:`malaria_detect.weights.starting_network`.
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

    def __post_init__(self) -> None:
        """Refuse settings that no run could have."""
        if not self.sizes or min(self.sizes) < 32:
            raise TrainingError(
                f"Sizes are pictures' sides in px, 32 or more, one for each epoch; got {self.sizes}."
            )
        if min(self.freeze_epochs, self.average_epochs, self.seed) < 0 or self.batch_size < 2:
            raise TrainingError(
                f"Frozen epochs ({self.freeze_epochs}), averaged epochs ({self.average_epochs}) and seed ({self.seed}) "
                f"must be 0 or more, and a batch ({self.batch_size}) 2 or more cells."
            )

    @property
    def epochs(self) -> tuple[int, ...]:
        """Side of the pictures in every epoch of the run: frozen ones, those of the cycle, averaged ones."""
        frozen, averaged = (self.sizes[0],) * self.freeze_epochs, (self.sizes[-1],) * self.average_epochs
        return frozen + self.sizes + averaged


def recorded(settings: TrainSettings) -> dict[str, Any]:
    """Settings as checkpoint and passport keep them: of a file of weights its name, not where it lay."""
    return {**asdict(settings), "weights": Path(settings.weights).name}


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
