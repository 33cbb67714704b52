"""What a network starts from: ImageNet's weights, a state dict in a file, or nothing."""

import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn
from torchvision.models import ResNet34_Weights
from torchvision.models.resnet import BasicBlock, ResNet, resnet34

from malaria_detect.errors import MalariaDetectError
from malaria_detect.passport import StartWeights, sha256_of


class WeightsError(MalariaDetectError):
    """The weights to start from cannot be had or do not fit."""


@dataclass(frozen=True)
class LoadReport:
    """What of a state dict went into a network.

    Attributes
    ----------
    loaded : tuple of str
        Tensors of the network that were filled.
    missing : tuple of str
        Tensors of the network that the file does not have, or has in another shape; they keep their random start.
    unused : tuple of str
        Tensors of the file that have no place in the network.
    identity_blocks : tuple of str
        Residual blocks that got nothing and start as the identity.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    identity_blocks: tuple[str, ...]

    def __str__(self) -> str:
        """Tell in three lines what went where, layer by layer."""
        return (
            f"loaded {len(self.loaded)} tensors: {_layers(self.loaded)}\n"
            f"not in the file, at random {len(self.missing)}: {_layers(self.missing)}"
            f" (as the identity: {', '.join(self.identity_blocks) or 'none'})\n"
            f"of the file unused {len(self.unused)}: {_layers(self.unused)}"
        )


def _layers(names: Sequence[str]) -> str:
    """``layer1.0.conv1.weight`` and its like, each block named once."""
    blocks = dict.fromkeys(re.match(r"layer\d+\.\d+|[^.]+", name)[0] for name in names)  # type: ignore[index]
    return ", ".join(blocks) or "none"


def starting_network(weights: str) -> tuple[ResNet, StartWeights, str]:
    """Build torchvision's resnet34 with the weights that training starts from.

    Parameters
    ----------
    weights : str
        ``"imagenet"`` (downloaded by torchvision), ``"none"`` (random), or the path of a state dict, which is opened
        with ``weights_only=True`` and loaded wherever name and shape match.

    Returns
    -------
    network : torchvision.models.resnet.ResNet
    start : StartWeights
        For the passport; for a file with its SHA-256.
    report : str
        What was loaded and what was not, for the person who trains.

    Raises
    ------
    WeightsError
        Where the download fails, or the file is no state dict that fits anywhere.
    """
    if weights == "none":
        return resnet34(weights=None), StartWeights("none", "", "", 0, 0, ()), "every tensor starts at random"
    if weights == "imagenet":
        name = f"torchvision {ResNet34_Weights.IMAGENET1K_V1}"
        try:
            network = resnet34(weights=ResNet34_Weights.IMAGENET1K_V1)
        except (URLError, OSError) as error:
            raise WeightsError(
                f"ImageNet's weights could not be downloaded ({error}): without a network use --weights none "
                "(from scratch) or --weights FILE (a state dict that you have)."
            ) from error
        tensors = len(network.state_dict())
        return network, StartWeights("imagenet", name, "", tensors, 0, ()), f"loaded all of {name}"
    path = Path(weights)
    network = resnet34(weights=None)
    report = load_matching(network, read_state_dict(path))
    start = StartWeights(
        "file", path.name, sha256_of(path), len(report.loaded), len(report.missing), report.identity_blocks
    )
    return network, start, str(report)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Open a state dict without running any code that may be in it.

    Raises
    ------
    WeightsError
        Where the file is missing or is no state dict.
    """
    if not path.is_file():
        raise WeightsError(
            f"No weights at {path}: --weights takes imagenet, none or the path of a state dict."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path.name} is not a state dict that can be opened safely; save one with torch.save(net.state_dict(), …)."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise WeightsError(f"{path.name} holds something else than names and tensors.")
    return state


def load_matching(network: nn.Module, state: dict[str, torch.Tensor]) -> LoadReport:
    """Copy a state dict into a network wherever name and shape match.

    Residual blocks that get nothing start as the identity: the scale of their last batch norm is set to zero
    (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1), so that what lies before and after them fits
    together from the first step. (One that halves the size passes on its shortcut's convolution alone.)

    Raises
    ------
    WeightsError
        Where nothing fits.
    """
    own = network.state_dict()
    fits = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    if not fits:
        raise WeightsError(
            f"None of the {len(state)} tensors fits: the network's are named like {next(iter(own))!r}, "
            f"the file's like {next(iter(state), '(none)')!r}."
        )
    network.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in fits.items()}, strict=False)
    identity = []
    for name, block in network.named_modules():
        if isinstance(block, BasicBlock) and not any(tensor.startswith(f"{name}.") for tensor in fits):
            nn.init.zeros_(block.bn2.weight)
            if block.downsample is None:
                identity.append(name)
    return LoadReport(
        tuple(fits),
        tuple(sorted(set(own) - set(fits))),
        tuple(sorted(set(state) - set(fits))),
        tuple(identity),
    )
