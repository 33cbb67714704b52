"""fastai callbacks of a training run, apart from the checkpoint."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from fastai.vision.all import Callback, CancelFitException, Learner, set_seed
from torch.optim.swa_utils import AveragedModel, update_bn
from tqdm.auto import tqdm

from malaria_detect.inference.metadata import Epoch
from malaria_detect.training.allocator import return_gaps
from malaria_detect.training.checkpoint import Checkpoint, out_of_patience
from malaria_detect.training.dataloaders import CellLoaders, FeatureLoaders
from malaria_detect.training.settings import TrainSettings

# An epoch of the shipped model has ten times as many steps.
_STEPS_PER_AVERAGE = 25
# Rare enough to cost nothing, often enough that gaps in memory stay below 3 GB.
_STEPS_PER_RETURN = 100
# Batch norms settle after some thousand cells.
_NORM_BATCHES = 64


class EpochData(Callback):
    """Give each epoch of a phase its image size and its own random seed, so that resuming changes nothing.

    `offset` is the number of epochs before this phase, `done` the number of its epochs that a checkpoint holds.
    """

    order = -20

    def __init__(
        self, loaders: CellLoaders | FeatureLoaders, settings: TrainSettings, offset: int, done: int
    ) -> None:
        self.loaders, self.settings, self.offset, self.done = loaders, settings, offset, done

    def before_epoch(self) -> None:
        """Set seed and DataLoaders."""
        if self.epoch >= self.done:
            number = self.offset + self.epoch
            set_seed(self.settings.seed + 1 + number)
            self.learn.dls = self.loaders.at(self.settings.epochs[number])
            self.learn.recorder.smooth_loss.reset()


class PlainTensors(Callback):
    """Pass images on as plain tensors, channels last: fastai's tensor class costs time in every layer."""

    order = -1

    def before_batch(self) -> None:
        """Convert the batch; features have no channels."""
        inputs = self.xb[0].as_subclass(torch.Tensor)
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        self.learn.xb = (inputs,)


class ReturnGaps(Callback):
    """Keep the memory of a training from growing, see :func:`malaria_detect.training.allocator.return_gaps`."""

    order = 55

    def after_batch(self) -> None:
        """Return the gaps after every hundredth step."""
        if self.training and self.iter % _STEPS_PER_RETURN == _STEPS_PER_RETURN - 1:
            return_gaps()


class Progress(Callback):
    """Advance a progress bar by the pixels that were trained on: epochs at larger sizes take longer."""

    order = 55  # after fastai's Recorder

    def __init__(self, bar: tqdm, checkpoint: Checkpoint) -> None:
        self.bar, self.checkpoint = bar, checkpoint

    def after_batch(self) -> None:
        """Add the pixels of this batch."""
        if self.training:
            self.bar.update(len(self.xb[0]) * self.checkpoint.size**2)
            self.bar.set_postfix(loss=f"{float(self.smooth_loss):.3f}", refresh=False)


class Patience(Callback):
    """Stop when the validation loss no longer falls.

    fastai's ``EarlyStoppingCallback`` starts to count again in a run that is resumed.
    """

    order = 61  # after the checkpoint

    def __init__(self, history: Sequence[Epoch], patience: int) -> None:
        self.history, self.patience = history, patience

    def after_epoch(self) -> None:
        """Stop if the patience is used up."""
        if out_of_patience(self.history, self.patience):
            raise CancelFitException


class Averaging(Callback):
    """Add the weights to an average every 25 steps; often better for new patients than the last weights."""

    order = 50  # after the optimiser's step, before the checkpoint

    def __init__(self, average: AveragedModel) -> None:
        self.average = average

    def after_batch(self) -> None:
        """Add the weights of this step."""
        # The last step of an epoch counts too, so that the shortest epoch adds something.
        last = self.iter == self.n_iter - 1
        if self.training and (last or self.iter % _STEPS_PER_AVERAGE == _STEPS_PER_AVERAGE - 1):
            self.average.update_parameters(self.learn.model)


def take_weights(learner: Learner, weights: Mapping[str, torch.Tensor], seed: int) -> None:
    """Load a learner's final weights, measure its batch norms with them on training cells, and print its scores.

    The seed is that of the choice of cells and of their augmentation.
    """
    learner.model.load_state_dict(weights)
    set_seed(seed)
    batches = itertools.islice(learner.dls.train, _NORM_BATCHES)
    update_bn((images.as_subclass(torch.Tensor) for images, _ in batches), learner.model)
    loss, *metrics = learner.validate()
    tqdm.write(f"final weights: validation {loss:.4f}, accuracy {metrics[0]:.4f}, ROC AUC {metrics[-1]:.4f}")
