"""Average a network's weights over the last epochs of training: often better on new patients than the last alone."""

import itertools

import torch
from fastai.vision.all import Callback, Learner, set_seed
from torch.optim.swa_utils import AveragedModel, update_bn
from tqdm.auto import tqdm

# Ten times an epoch of the shipped model; its batch norms are settled after some thousand cells.
_EVERY = 25
_NORM_BATCHES = 64


class Averaging(Callback):
    """Add the weights to the average every 25 steps."""

    order = 50  # after the optimiser's step, before the checkpoint is written

    def __init__(self, average: AveragedModel) -> None:
        self.average = average

    def after_batch(self) -> None:
        """Count this step."""
        # The last step of an epoch counts too, so that the shortest epoch adds something.
        if self.training and (self.iter % _EVERY == _EVERY - 1 or self.iter == self.n_iter - 1):
            self.average.update_parameters(self.learn.model)


def take_average(learner: Learner, average: AveragedModel, seed: int) -> None:
    """Give the learner the averaged weights, and batch norms that were measured with them on training cells.

    Parameters
    ----------
    learner : Learner
        Its training DataLoader gives the cells; it is changed in place.
    average : torch.optim.swa_utils.AveragedModel
    seed : int
        Of the cells that are drawn, and of their augmentation.
    """
    learner.model.load_state_dict(average.module.state_dict())
    set_seed(seed)
    batches = itertools.islice(learner.dls.train, _NORM_BATCHES)
    update_bn((pictures.as_subclass(torch.Tensor) for pictures, _ in batches), learner.model)
    with learner.no_bar(), learner.no_logging():
        loss, *metrics = learner.validate()
    tqdm.write(
        f"averaged weights: validation {loss:.4f}, accuracy {metrics[0]:.4f}, ROC AUC {metrics[-1]:.4f}"
    )
