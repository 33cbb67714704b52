"""A network ready for prediction, and its log-odds."""

import importlib
import io
import itertools
import os
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, ResNet

from malaria_detect.core.extras import from_extra

if TYPE_CHECKING:
    from fastai.learner import Learner

# A thread pool of OpenMP does not survive a fork: a child that used it would wait forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

# Of log-odds: three times the largest change by rounding to bfloat16 in the 320 sample cells, which was 0.06.
MARGIN = 0.2


# Where pickles of November 2026 and before look for what they name, and where it is now.
_MOVED = {
    "malaria_detect.recipe": "malaria_detect.training.datablock",
    "malaria_detect.networks.frozen": "malaria_detect.designs.frozen",
    "malaria_detect.networks.keras_cnn": "malaria_detect.designs.keras_cnn",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_MOVED.get(module, module), name)


def import_fastai() -> None:
    """Import fastai for the first time.

    fastai 2.8 decorates functions with torch.jit.script, which torch 2.9 and later report as deprecated. Users can do
    nothing about this one warning, so it is left out, here and nowhere else.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.script` is", FutureWarning)
        importlib.import_module("fastai.learner")


def open_learner(data: bytes) -> "Learner":
    """Unpickle an exported learner. This runs the code in it: check its SHA-256 first.

    Raises
    ------
    MissingExtra
        If the learner's network is of a library that is not installed.
    """
    import_fastai()
    pickle_module = SimpleNamespace(__name__="pickle", Unpickler=_Unpickler, load=pickle.load)
    with from_extra("train"):
        return torch.load(
            io.BytesIO(data), map_location="cpu", weights_only=False, pickle_module=pickle_module
        )


def prepared(network: nn.Module) -> nn.Module:
    """The network, changed in place: batch norms folded into convolutions, channels last, no gradients of weights.

    A norm is folded where it certainly follows a convolution directly: in sequences, in torchvision's basic blocks and
    in the stem of its resnets.
    """
    network = network.eval().requires_grad_(False)
    for part in list(network.modules()):
        if isinstance(part, nn.Sequential):
            # Layers that occur twice count twice: only direct neighbours are folded.
            names = [name for name, _ in part.named_modules(remove_duplicate=False)]
            for before, after in itertools.pairwise(name for name in names if name and "." not in name):
                _fold(part, before, after)
        if isinstance(part, BasicBlock | ResNet):
            _fold(part, "conv1", "bn1")
        if isinstance(part, BasicBlock):
            _fold(part, "conv2", "bn2")
    return network.to(memory_format=torch.channels_last)


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    before, after = parent.get_submodule(convolution), parent.get_submodule(norm)
    # Exactly these classes: a derived class, such as timm's norms with an activation, may do more.
    if type(before) is not nn.Conv2d or type(after) is not nn.BatchNorm2d:
        return
    parent.set_submodule(convolution, fuse_conv_bn_eval(before, after).requires_grad_(False))
    parent.set_submodule(norm, nn.Identity())


def log_odds(network: nn.Module, pictures: torch.Tensor, bfloat16: bool = False) -> list[float]:
    """Log-odds of ``Parasitized``, not calibrated: their logistic function is the softmax of ``learn.predict``.

    Parameters
    ----------
    network : torch.nn.Module
        From :func:`prepared`; returns two logits per image, Parasitized and Uninfected.
    pictures : torch.Tensor
        float32, (N, 3, size, size), from :class:`malaria_detect.inference.input.InputTransform`.
    bfloat16 : bool
        Compute in bfloat16, with rounding errors of about 1 %.
    """
    with torch.inference_mode():
        return log_odds_tensor(network, pictures, bfloat16).tolist()


def mixed_log_odds(
    network: nn.Module, pictures: torch.Tensor, rounded: Sequence[float], exact: tuple[float, float]
) -> list[float]:
    """Log-odds computed in bfloat16, but in float32 where rounding could change a decision.

    Parameters
    ----------
    network, pictures
        As for :func:`log_odds`.
    rounded : sequence of float
        What :func:`log_odds` returns in bfloat16.
    exact : tuple of float
        Lowest and highest log-odds at which a decision changes. Answers between them, or closer to one than `MARGIN`,
        are computed again; outside, the probability is so close to 0 or 1 that rounding hardly changes it.
    """
    odds = torch.tensor(rounded)
    # NaN fails both comparisons and is computed again, too.
    again = ~((odds <= exact[0] - MARGIN) | (odds >= exact[1] + MARGIN))
    if again.any():
        chosen = pictures[again].contiguous(memory_format=torch.channels_last)
        odds[again] = torch.tensor(log_odds(network, chosen))
    return odds.tolist()


@dataclass(frozen=True, eq=False)
class Seen:
    """What one pass of a network gives for N pictures.

    Attributes
    ----------
    features : numpy.ndarray
        float32, (N, 1024): what the head gets from the trunk, fastai's ``AdaptiveConcatPool2d`` flattened.
    layers : numpy.ndarray
        float32, (N, 1920) for a resnet34: variances and means of each channel of the trunk's four stages.
    odds : list of float
        As from :func:`log_odds`.
    """

    features: np.ndarray
    layers: np.ndarray
    odds: list[float]


def seen_by(network: nn.Module, pictures: torch.Tensor, bfloat16: bool = False) -> Seen | None:
    """Features and log-odds of pictures, from one pass; parameters as for :func:`log_odds`.

    None for a network that is not a trunk followed by fastai's head.
    """
    from fastai.layers import AdaptiveConcatPool2d, Flatten

    parts = list(network.children())
    if len(parts) != 2 or not all(isinstance(part, nn.Sequential) for part in parts):
        return None
    trunk, head = (nn.Sequential(*part.children()) for part in parts)
    stages = [isinstance(part, nn.Sequential) for part in trunk]
    if not any(stages) or [type(part) for part in head[:2]] != [AdaptiveConcatPool2d, Flatten]:
        return None
    layers: list[torch.Tensor] = []
    x = pictures
    with torch.inference_mode():
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=bfloat16):
            for part, is_stage in zip(trunk, stages, strict=True):
                x = part(x)
                if is_stage:
                    # Ten times as fast as torch.var_mean, which would cost 5 % of the whole pass.
                    values = x.permute(0, 2, 3, 1).flatten(1, 2).float()
                    mean = values.mean(dim=1)
                    layers += [(values.square().mean(dim=1) - mean.square()).clamp(min=0), mean]
            features = head[:2](x)
        odds = log_odds(head[2:], features, bfloat16)
        return Seen(features.float().cpu().numpy(), torch.cat(layers, dim=1).cpu().numpy(), odds)


def log_odds_tensor(network: nn.Module, pictures: torch.Tensor, bfloat16: bool = False) -> torch.Tensor:
    """Log-odds of ``Parasitized`` as a float32 tensor (N,), with gradients if they are enabled."""
    with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        logits = network(pictures).float()
    return logits[:, 0] - logits[:, 1]
