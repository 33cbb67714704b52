"""Outputs of a network's layers for one image."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Activation:
    """Output of one layer for one image.

    Attributes
    ----------
    layer, kind : str
        Path of the layer, as in ``named_modules()``, and its class, for example ``Conv2d``.
    maps : numpy.ndarray
        float32, (channels, height, width), or (channels, 1, 1) for a layer without maps.
    """

    layer: str
    kind: str
    maps: np.ndarray


def activations(network: nn.Module, picture: torch.Tensor) -> list[Activation]:
    """Outputs of all convolution and pooling layers for one image, in the order in which they ran.

    A layer that runs twice is listed twice. The network is not changed.

    Parameters
    ----------
    network : torch.nn.Module
    picture : torch.Tensor
        One image, float32, (1, 3, height, width), made of the output of
        :class:`malaria_detect.inference.input.InputTransform`; another shape raises ValueError.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    >>> [(one.layer, one.kind, one.maps.shape) for one in activations(network, torch.zeros(1, 3, 10, 10))]
    [('0', 'Conv2d', (8, 8, 8)), ('2', 'MaxPool2d', (8, 4, 4))]
    """
    if picture.ndim != 4 or len(picture) != 1:
        raise ValueError(f"Expected one image (1, 3, height, width), got {tuple(picture.shape)}.")
    found: list[Activation] = []

    def keep(name: str, layer: nn.Module, output: torch.Tensor) -> None:
        # Pooling layers have no common base class.
        if isinstance(layer, nn.Conv2d) or ("Pool" in type(layer).__name__ and not any(layer.children())):
            # A copy, because a following layer may work in place.
            maps = output[0].float().numpy(force=True).copy()
            shape = (len(maps), *(maps.shape[1:] or (1, 1)))
            found.append(Activation(name, type(layer).__name__, maps.reshape(shape)))

    with ExitStack() as hooks, _evaluating(network), torch.inference_mode():
        for name, layer in network.named_modules():
            hooks.enter_context(
                layer.register_forward_hook(lambda layer, _, output, name=name: keep(name, layer, output))
            )
        network(picture)
    return found


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Switch dropout and batch norms to evaluation inside the block, and back afterwards."""
    training = [part for part in network.modules() if part.training]
    network.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
