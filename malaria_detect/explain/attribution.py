"""Outputs of a network's layers for one image, and how much each place of the last map contributes to the answer."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradientXActivation  # type: ignore[import-untyped]
from torch import nn

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.network import log_odds_tensor

# Smaller maps, such as after global pooling, do not locate anything.
_SMALLEST_MAP = 4


class ExplainError(MalariaDetectError):
    """A network that cannot be explained; ``reason`` is ``no_map``, ``several_trunks`` or ``hsv``."""


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
        One image, float32, (1, 3, height, width), from :class:`malaria_detect.inference.input.InputTransform`; another
        shape raises ValueError.

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

    _run(network, picture, keep)
    return found


def evidence(network: nn.Module, layer: nn.Module, picture: torch.Tensor) -> np.ndarray:
    """Contribution of each place of a layer's map to the log-odds of ``Parasitized``.

    HiResCAM [1]_: gradient times activation, summed over channels. Unlike Grad-CAM [2]_, which averages the gradient
    over the map first, it never marks a place that the rest of the network ignores.

    Parameters
    ----------
    network, layer : torch.nn.Module
        The network returns two logits, Parasitized and Uninfected; for the layer see :func:`last_map`.
    picture : torch.Tensor
        float32, (1, 3, height, width).

    Returns
    -------
    numpy.ndarray
        float32, (rows, columns) of the layer's map; above 0 if the place speaks for ``Parasitized``.

    References
    ----------
    .. [1] R. L. Draelos and L. Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
       neural networks, 2020, arXiv:2011.08891.
    .. [2] R. R. Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization,
       ICCV 2017, arXiv:1610.02391.
    """
    attribution = LayerGradientXActivation(lambda pictures: log_odds_tensor(network, pictures), layer)
    with _evaluating(network):
        # requires_grad: with frozen weights nothing else would require a gradient.
        product = attribution.attribute(picture.detach().requires_grad_())
    heat: np.ndarray = product.detach().float().sum(dim=1)[0].numpy()
    return heat


def last_map(network: nn.Module, picture: torch.Tensor) -> nn.Module:
    """The last layer whose output is still a map; without any, ExplainError is raised.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> last_map(network, torch.zeros(1, 3, 10, 10))
    ReLU()
    """
    found: list[nn.Module] = []

    def keep(name: str, layer: nn.Module, output: Any) -> None:
        is_map = isinstance(output, torch.Tensor) and output.ndim == 4
        if name and is_map and min(output.shape[2:]) >= _SMALLEST_MAP:
            found.append(layer)

    _run(network, picture, keep)
    if not found:
        raise ExplainError(
            f"This network cannot be explained: no layer gives a map of at least {_SMALLEST_MAP} x {_SMALLEST_MAP}.",
            reason="no_map",
        )
    return found[-1]


def _run(network: nn.Module, picture: torch.Tensor, keep: Callable[[str, nn.Module, Any], None]) -> None:
    """Run a network once and pass the name, the layer and the output of every layer to a function."""

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        return lambda layer, _, output: keep(name, layer, output)

    with ExitStack() as hooks, _evaluating(network), torch.inference_mode():
        for name, layer in network.named_modules():
            hooks.enter_context(layer.register_forward_hook(hook(name)))
        network(picture)


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
