"""A network at work: opened, made ready, and asked for log-odds."""

import io
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from fastai.learner import Learner
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, ResNet

from malaria_detect.squares import INPUT_SIZE, MEAN, STD, network_input


def open_learner(data: bytes) -> Learner:
    """Unpickle an exported learner: this runs whatever is in it, so its hash must have been checked."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)


def prepared(network: nn.Module) -> nn.Module:
    """Ready a network for prediction: batch norms folded into their convolutions, channels last, no gradients.

    Parameters
    ----------
    network : torch.nn.Module
        It is changed in place. Norms are folded where it is sure that they follow a convolution at once: in
        sequences, in torchvision's basic blocks and in the stem of its resnets.
    """
    network = network.eval().requires_grad_(False)
    for part in list(network.modules()):
        if isinstance(part, nn.Sequential):
            for before, after in itertools.pairwise(list(part._modules)):
                _fold(part, before, after)
        elif isinstance(part, BasicBlock):
            _fold(part, "conv1", "bn1")
            _fold(part, "conv2", "bn2")
        elif isinstance(part, ResNet):
            _fold(part, "conv1", "bn1")
    return network.to(memory_format=torch.channels_last)


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    before, after = parent.get_submodule(convolution), parent.get_submodule(norm)
    # Exactly these: what is derived from them, as timm's norms with an activation, may do more.
    if type(before) is not nn.Conv2d or type(after) is not nn.BatchNorm2d:
        return
    parent.set_submodule(convolution, fuse_conv_bn_eval(before, after).requires_grad_(False))
    parent.set_submodule(norm, nn.Identity())


def parasitized_logits(
    network: nn.Module,
    squares: Sequence[np.ndarray],
    size: int = INPUT_SIZE,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> list[float]:
    """Log-odds of ``Parasitized`` for each square, from a network that :func:`prepared` made.

    Parameters
    ----------
    network : torch.nn.Module
    squares : sequence of numpy.ndarray
        uint8, each (460, 460, 3), from :func:`malaria_detect.squares.square`.
    size, mean, std
        The network's input, as in :func:`malaria_detect.squares.network_input`.

    Returns
    -------
    list of float
        Not calibrated: their logistic function is the softmax of ``learn.predict``.
    """
    if not squares:
        return []
    with torch.inference_mode():
        logits = network(network_input(squares, size, mean, std))
    return [float(logit) for logit in logits[:, 0] - logits[:, 1]]
