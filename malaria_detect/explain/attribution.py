"""What the layers of a network give for one picture: maps to look at, and the evidence of the last of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerGradientXActivation  # type: ignore[import-untyped]
from torch import nn

from malaria_detect.core.errors import MalariaDetectError

# Smaller maps, as behind a global pooling, do not tell one place from another.
_LEAST_SIDE = 4


class ExplainError(MalariaDetectError):
    """A network cannot be explained."""


@dataclass(frozen=True)
class Activation:
    """What one layer gave for one picture.

    Attributes
    ----------
    layer : str
        Its path in the network, as in ``named_modules()``.
    kind : str
        Its class, for example ``Conv2d``.
    maps : numpy.ndarray
        float32, (channels, height, width), before any later layer changed it. A layer behind the last map gives
        (channels, 1, 1).
    """

    layer: str
    kind: str
    maps: np.ndarray


def activations(network: nn.Module, picture: torch.Tensor) -> list[Activation]:
    """Activations of every convolution and pooling layer for one picture, in the order in which they ran.

    Parameters
    ----------
    network : torch.nn.Module
        Any that takes (N, 3, height, width); it is neither changed nor switched to training.
    picture : torch.Tensor
        float32, (1, 3, height, width), as the network sees it: see
        :class:`malaria_detect.inference.input.InputTransform`.

    Returns
    -------
    list of Activation
        A layer that runs twice stands in it twice.

    Raises
    ------
    ValueError
        Where it is not one picture.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    >>> [(one.layer, one.kind, one.maps.shape) for one in activations(network, torch.zeros(1, 3, 10, 10))]
    [('0', 'Conv2d', (8, 8, 8)), ('2', 'MaxPool2d', (8, 4, 4))]
    """
    if picture.ndim != 4 or len(picture) != 1:
        raise ValueError(f"Wanted is one picture (1, 3, height, width), got {tuple(picture.shape)}.")
    found: list[Activation] = []

    def keep(name: str, layer: nn.Module, output: torch.Tensor) -> None:
        # A copy: an activation function that works in place would change what the convolution gave.
        maps = output[0].detach().float().clone().numpy()
        found.append(
            Activation(name, type(layer).__name__, maps.reshape(len(maps), *(maps.shape[1:] or (1, 1))))
        )

    with _listening(network, _is_seen, keep), _as_judge(network), torch.inference_mode():
        network(picture)
    return found


def evidence(network: nn.Module, layer: nn.Module, picture: torch.Tensor) -> np.ndarray:
    """How much each place of a layer's map adds to the log-odds of ``Parasitized``.

    HiResCAM [1]_: gradient times activation, summed over channels. Unlike Grad-CAM [2]_, which averages the gradient
    over the map first, it never marks a place that the rest of the network ignores.

    Parameters
    ----------
    network : torch.nn.Module
        Gives two logits: Parasitized, Uninfected.
    layer : torch.nn.Module
        Of that network; see :func:`last_map`.
    picture : torch.Tensor
        float32, (1, 3, height, width).

    Returns
    -------
    numpy.ndarray
        float32, (rows, columns) of the layer's map; above 0 for ``Parasitized``, below 0 against it.

    References
    ----------
    .. [1] R. L. Draelos and L. Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
       neural networks, 2020, arXiv:2011.08891.
    .. [2] R. R. Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization,
       ICCV 2017, arXiv:1610.02391.
    """

    def log_odds(pictures: torch.Tensor) -> torch.Tensor:
        answers = network(pictures)
        odds: torch.Tensor = answers[:, 0] - answers[:, 1]
        return odds

    with _as_judge(network):
        # requires_grad: of a network whose weights are frozen nothing else would ask for a gradient.
        product = LayerGradientXActivation(log_odds, layer).attribute(picture.detach().requires_grad_())
    heat: np.ndarray = product.detach().float().sum(dim=1)[0].numpy()
    return heat


def last_map(network: nn.Module, picture: torch.Tensor) -> nn.Module:
    """The last layer that still gives a map: of a network in one line, all that the answer is made of.

    Raises
    ------
    ExplainError
        Where the network has none.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> last_map(network, torch.zeros(1, 3, 10, 10))
    ReLU()
    """
    found: list[nn.Module] = []

    def keep(_: str, layer: nn.Module, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) >= _LEAST_SIDE:
            found.append(layer)

    with (
        _listening(network, lambda layer: layer is not network, keep),
        _as_judge(network),
        torch.inference_mode(),
    ):
        network(picture)
    if not found:
        raise ExplainError(
            f"No layer of this {type(network).__name__} gives a map of {_LEAST_SIDE} x {_LEAST_SIDE}."
        )
    return found[-1]


def _is_seen(layer: nn.Module) -> bool:
    # Pooling layers have no class in common, and timm has some of its own.
    return isinstance(layer, nn.Conv2d) or ("Pool" in type(layer).__name__ and not any(layer.children()))


@contextmanager
def _listening(
    network: nn.Module,
    wanted: Callable[[nn.Module], bool],
    hear: Callable[[str, nn.Module, torch.Tensor], None],
) -> Iterator[None]:
    def hook(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        return lambda layer, _, output: hear(name, layer, output)

    hooks = [
        layer.register_forward_hook(hook(name)) for name, layer in network.named_modules() if wanted(layer)
    ]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


@contextmanager
def _as_judge(network: nn.Module) -> Iterator[None]:
    """Switch dropout and batch norms to prediction inside the block, and back to what each was."""
    training = [part for part in network.modules() if part.training]
    network.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
