"""The phases of a training run: epochs that share a schedule of the learning rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastai.vision.all import Callback, Learner

from malaria_detect.training.settings import TrainSettings

# Arguments: a learner, its callbacks, and the first epoch of the phase to train.
Train = Callable[[Learner, Sequence[Callback], int], None]


@dataclass(frozen=True)
class Phase:
    """Epochs that share a schedule of the learning rate.

    Attributes
    ----------
    first, end : int
        Epochs of the run before this phase, and at its end.
    train : callable
    frozen : bool
        Whether only the head is trained.
    keeps_optimiser : bool
        Whether the optimiser's state of the phase before is kept.
    averaged : bool
        Whether the weights are averaged.
    """

    first: int
    end: int
    train: Train
    frozen: bool = False
    keeps_optimiser: bool = False
    averaged: bool = False

    def continues(self, done: int) -> bool:
        """Whether the optimiser's state after `done` epochs is needed to start or resume this phase."""
        return done > self.first or (self.keeps_optimiser and done == self.first)


def phases(settings: TrainSettings) -> tuple[Phase, ...]:
    """The phases of a run, in order.

    With the schedule ``one-cycle`` they are the two halves of fastai's ``Learner.fine_tune``, which itself cannot be
    resumed, and epochs at a constant rate over which the weights are averaged.
    """
    rate, mult, decay = settings.base_lr, settings.lr_mult, settings.weight_decay
    frozen = settings.freeze_epochs
    cycle = frozen + len(settings.sizes)

    def constant(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        learner.fit(len(settings.sizes), rate, wd=decay, cbs=callbacks, start_epoch=first)

    def head(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        learner.fit_one_cycle(frozen, slice(rate), pct_start=0.99, wd=decay, cbs=callbacks, start_epoch=first)

    def whole(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        rates, epochs = slice(rate / 2 / mult, rate / 2), len(settings.sizes)
        learner.fit_one_cycle(
            epochs, rates, pct_start=0.3, div=5.0, wd=decay, cbs=callbacks, start_epoch=first
        )

    def averaged(learner: Learner, callbacks: Sequence[Callback], first: int) -> None:
        rates = slice(rate / 8 / mult, rate / 8)
        learner.fit(settings.average_epochs, rates, wd=decay, cbs=callbacks, start_epoch=first)

    if settings.schedule == "constant":
        return (Phase(0, len(settings.sizes), constant),)
    return (
        Phase(0, frozen, head, frozen=True),
        Phase(frozen, cycle, whole),
        Phase(cycle, len(settings.epochs), averaged, keeps_optimiser=True, averaged=True),
    )
