"""The phases of a training run: epochs that share a schedule of the learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastai.vision.all import Callback, Learner

from malaria_detect.training.settings import TrainSettings


@dataclass(frozen=True)
class Phase:
    """Epochs that share a schedule of the learning rate.

    Attributes
    ----------
    first, end : int
        Epochs of the run before this phase, and at its end.
    rates, cycle : float or slice, dict or None
        Learning rates and options of fastai's ``fit_one_cycle``; None for constant rates.
    frozen : bool
        Whether only the head is trained.
    averaged : bool
        Whether the weights are averaged. The optimiser's state of the phase before is kept then.
    """

    first: int
    end: int
    rates: float | slice
    cycle: Mapping[str, float] | None = None
    frozen: bool = False
    averaged: bool = False

    def continues(self, done: int) -> bool:
        """Whether the optimiser's state after `done` epochs is needed to start or resume this phase."""
        return done > self.first or (self.averaged and done == self.first)

    def train(self, learner: Learner, callbacks: Sequence[Callback], done: int) -> None:
        """Train the epochs of this phase, without its first `done` ones."""
        epochs = self.end - self.first
        if self.cycle is None:
            learner.fit(epochs, self.rates, cbs=callbacks, start_epoch=done)
        else:
            learner.fit_one_cycle(epochs, self.rates, cbs=callbacks, start_epoch=done, **self.cycle)


def phases(settings: TrainSettings) -> tuple[Phase, ...]:
    """The phases of a run, in order.

    With the schedule ``one-cycle`` they are the two halves of fastai's ``Learner.fine_tune``, which itself cannot be
    resumed, and epochs at a constant rate over which the weights are averaged.
    """
    rate, mult, frozen = settings.base_lr, settings.lr_mult, settings.freeze_epochs
    cycle = frozen + len(settings.sizes)
    if settings.schedule == "constant":
        return (Phase(0, cycle, rate),)
    return (
        Phase(0, frozen, slice(rate), {"pct_start": 0.99}, frozen=True),
        Phase(frozen, cycle, slice(rate / 2 / mult, rate / 2), {"pct_start": 0.3, "div": 5.0}),
        Phase(cycle, len(settings.epochs), slice(rate / 8 / mult, rate / 8), averaged=True),
    )
