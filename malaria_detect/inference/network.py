"""A network at work: opened, made ready, and asked for log-odds."""

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from fastai.learner import Learner
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, ResNet

from malaria_detect.inference.packed import packed
from malaria_detect.inference.precision import bfloat16_is_fast

# Of log-odds: where a network answers less clearly in bfloat16, it is asked again in float32. Beyond, no probability
# of a validation patient's cell moved by 0.001: `make bench-ways` measures it, and a test holds it to the report.
UNSURE = 2.5
# Of log-odds: more than bfloat16 changed any of those cells', so that decisions are those of float32.
ROUNDING = 0.03
# Whose rounding was measured; others are packed in float32, which changes nothing.
_ROUNDED = ("resnet34",)


@dataclass(frozen=True)
class Light:
    """A second, faster copy of a network, which is asked first.

    Attributes
    ----------
    network : torch.nn.Module
        As :func:`malaria_detect.inference.packed.packed` makes it.
    rounds : bool
        Whether its answers are rounded, so that the network itself is asked where that could matter.
    edges : tuple of float
        Log-odds at which something is decided.
    """

    network: nn.Module
    rounds: bool
    edges: tuple[float, ...] = ()

    def rounds_too_much(self, odds: torch.Tensor) -> torch.Tensor:
        """Whether the network itself has to be asked.

        Parameters
        ----------
        odds : torch.Tensor
            Log-odds by :attr:`network`, float32, (pictures,).

        Returns
        -------
        torch.Tensor
            bool, (pictures,).

        Examples
        --------
        >>> light = Light(nn.Identity(), rounds=True, edges=(-3.0,))
        >>> light.rounds_too_much(torch.tensor([-3.02, -2.9, 1.4])).tolist()
        [True, False, True]
        """
        asked = ~(odds.abs() >= UNSURE)
        for edge in self.edges:
            asked |= (odds - edge).abs() < ROUNDING
        return asked if self.rounds else torch.zeros_like(asked)


def lightened(network: nn.Module, architecture: str, edges: Sequence[float] = ()) -> Light | None:
    """Pack a network for fast answers: in bfloat16 where the processor is fast in it, otherwise in float32.

    Parameters
    ----------
    network : torch.nn.Module
        As :func:`prepared` makes it; it stays as it is.
    architecture : str
        Its name in :mod:`malaria_detect.designs`.
    edges : sequence of float
        Log-odds at which something is decided: the network itself decides there.

    Returns
    -------
    Light or None
        None where it cannot be packed and is used as it is.
    """
    rounds = architecture in _ROUNDED and bfloat16_is_fast(torch.device("cpu"))
    copy = packed(network, torch.bfloat16 if rounds else torch.float32)
    return None if copy is None else Light(copy, rounds, tuple(edges))


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


def log_odds(network: nn.Module, pictures: torch.Tensor, light: Light | None = None) -> list[float]:
    """Log-odds of ``Parasitized``, not calibrated, from a network that :func:`prepared` made.

    Parameters
    ----------
    network : torch.nn.Module
    pictures : torch.Tensor
        float32, (N, 3, size, size), from :class:`malaria_detect.inference.input.InputTransform`.
    light : Light, optional
        Its faster copy, whose clear answers are taken.

    Returns
    -------
    list of float
        Their logistic function is the softmax of ``learn.predict``.
    """
    with torch.inference_mode():
        if light is None:
            return _difference(network(pictures)).tolist()
        odds = _difference(light.network(pictures))
        asked = light.rounds_too_much(odds)
        if asked.any():
            again = pictures[asked].contiguous(memory_format=torch.channels_last)
            odds[asked] = _difference(network(again))
        return odds.tolist()


def _difference(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 0] - logits[:, 1]
