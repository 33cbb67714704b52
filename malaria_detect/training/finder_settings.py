"""How a cell finder is trained, and the losses of an epoch."""

import math
from dataclasses import dataclass

from malaria_detect.training.settings import TrainingError


@dataclass(frozen=True)
class FinderSettings:
    """How a cell finder is trained.

    Attributes
    ----------
    epochs, batches, batch_size : int
        Each epoch has `batches` batches of new synthetic pictures.
    side : int
        Of a picture in px, a multiple of 16.
    lr : float
        Highest learning rate of a one-cycle schedule.
    cells, valid_cells : int
        Cells of the training and the validation patients that are put together to fields.
    valid_pictures, valid_fields : int
        Pictures for the losses of each epoch, and larger fields for the choice of the threshold.
    seed : int
        Of the fields and the order of the cells. The split by patient is that of ``malaria-detect train``.
    split_seed : int
    held_out : tuple of str
        Patient groups that are not used, because whole fields of them are for testing.
    """

    epochs: int = 36
    batches: int = 100
    batch_size: int = 16
    side: int = 256
    lr: float = 2e-3
    cells: int = 4000
    valid_cells: int = 600
    valid_pictures: int = 64
    valid_fields: int = 24
    seed: int = 0
    split_seed: int = 13
    held_out: tuple[str, ...] = ("C92P53ThinF",)

    def __post_init__(self) -> None:
        numbers = (self.epochs, self.batches, self.batch_size, self.cells, self.valid_cells)
        if min(*numbers, self.valid_pictures, self.valid_fields) < 1:
            raise TrainingError(
                "Epochs, batches, batch size, cells, pictures and fields must be 1 or more.",
                reason="bad_setting",
            )
        if min(self.seed, self.split_seed) < 0 or self.side % 16 or not 0 < self.lr < math.inf:
            raise TrainingError(
                "Seeds must be 0 or more, the side a multiple of 16, and the learning rate above 0.",
                reason="bad_setting",
            )


@dataclass(frozen=True)
class FinderEpoch:
    """Losses of an epoch, on new synthetic fields of training patients and on fixed ones of validation patients."""

    epoch: int
    train_loss: float
    valid_loss: float
    valid_centre: float
    valid_rays: float
    valid_kind: float
    seconds: float

    def __str__(self) -> str:
        return f"epoch {self.epoch}: loss {self.train_loss:.4f}, validation {self.valid_loss:.4f}, {self.seconds:.0f} s"
