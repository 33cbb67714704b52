"""The phases of a training run: epochs that share a schedule of the learning rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastai.vision.all import Callback, Learner

from malaria_detect.training.settings import TrainSettings

# Of a learner, its callbacks, and the epoch of the phase to begin with.
Train = Callable[[Learner, Sequence[Callback], int], None]


@dataclass(frozen=True)
class Phase:
    """Epochs that share a schedule.

    Attributes
    ----------
    first : int
        The run's epochs before it.
    sizes : tuple of int
        Side of the pictures in px in each of its epochs.
    train : callable
    frozen : bool
        Only the head learns.
    goes_on : bool
        With the optimiser's memory of the phase before it.
    averaged : bool
        Weights are averaged.
    """

    first: int
    sizes: tuple[int, ...]
    train: Train
    frozen: bool = False
    goes_on: bool = False
    averaged: bool = False


def phases(settings: TrainSettings) -> tuple[Phase, ...]:
    """The phases of a run, in their order.

    With the schedule ``one-cycle`` they are fastai's ``Learner.fine_tune`` in its two halves, because that cannot start
    in the middle, and epochs at a constant rate whose weights are averaged.
    """
    rate, mult, decay = settings.base_lr, settings.lr_mult, settings.weight_decay

    def constant(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        learner.fit(len(settings.sizes), rate, wd=decay, cbs=callbacks, start_epoch=first)

    def head(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        learner.fit_one_cycle(
            settings.freeze_epochs, slice(rate), pct_start=0.99, wd=decay, cbs=callbacks, start_epoch=first
        )

    def whole(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        learner.fit_one_cycle(
            len(settings.sizes),
            slice(rate / 2 / mult, rate / 2),
            pct_start=0.3,
            div=5.0,
            wd=decay,
            cbs=callbacks,
            start_epoch=first,
        )

    def last(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        rates = slice(rate / 8 / mult, rate / 8)
        learner.fit(settings.average_epochs, rates, wd=decay, cbs=callbacks, start_epoch=first)

    if settings.schedule == "constant":
        return (Phase(0, settings.sizes, constant),)
    frozen, cycle = settings.freeze_epochs, len(settings.sizes)
    sizes = settings.epochs
    return (
        Phase(0, sizes[:frozen], head, frozen=True),
        Phase(frozen, settings.sizes, whole),
        Phase(frozen + cycle, sizes[frozen + cycle :], last, goes_on=True, averaged=True),
    )
