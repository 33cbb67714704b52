"""What a network starts from: ImageNet's weights, a state dict in a file, or nothing."""

import pickle
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.models.resnet import BasicBlock

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.inference.model_files import sha256_of
from malaria_detect.training.settings import parse_weights

_AT_RANDOM = StartWeights("none", "", "", 0, 0, ())


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


def starting_network(
    weights: str,
    trunk: str,
    build: Callable[[], nn.Module],
    imagenet: WeightsEnum,
    required: str | None = None,
) -> tuple[nn.Module, StartWeights, str]:
    """Build one of torchvision's networks with the weights that training starts from.

    Parameters
    ----------
    weights : str
        ``"imagenet"`` (downloaded by torchvision), ``"none"`` (random), or the path of a state dict, which is opened
        with ``weights_only=True`` and loaded wherever name and shape match. Also ``trunk=path,...``, see
        :func:`weights_for`.
    trunk : str
        The network's name there.
    build : callable
        Makes the network at random.
    imagenet : torchvision.models.WeightsEnum
        What is downloaded.
    required : str, optional
        As in :func:`load_matching`.

    Returns
    -------
    network : torch.nn.Module
    start : StartWeights
        For the metadata; for a file with its SHA-256.
    report : str
        What was loaded and what was not, for the person who trains.

    Raises
    ------
    WeightsError
        Where the download fails, or the file is no state dict that fits anywhere.
    """
    source = weights_for(weights, trunk)
    network = build()
    if source == "none":
        if required is not None:
            raise frozen_at_random(trunk)
        return network, _AT_RANDOM, "every tensor starts at random"
    if source == "imagenet":
        name = f"torchvision {imagenet}"
        try:
            network.load_state_dict(imagenet.get_state_dict(progress=True, check_hash=True))
        except (URLError, OSError) as error:
            raise no_download(trunk, error) from error
        tensors = len(network.state_dict())
        return network, StartWeights("imagenet", name, "", tensors, 0, ()), f"loaded all of {name}"
    path = Path(source)
    report = load_matching(network, read_state_dict(path), required)
    return network, start_of(path, report), str(report)


def weights_for(weights: str, trunk: str) -> str:
    """What of ``--weights`` is meant for one trunk; one that is not named among pairs gets ``imagenet``.

    Examples
    --------
    >>> weights_for("none", "vgg16"), weights_for("resnet50v2=a.pth,vgg16=b.pth", "vgg16")
    ('none', 'b.pth')
    """
    pairs = parse_weights(weights)
    return pairs.get("", pairs.get(trunk, "imagenet"))


def random_start(weights: str, network: str) -> tuple[StartWeights, str]:
    """Start record and report of a network that starts at random.

    Raises
    ------
    WeightsError
        Where weights were given, which it has no use for.
    """
    if weights != "none":
        raise WeightsError(f"{network} starts at random and takes no weights: leave --weights out.")
    return _AT_RANDOM, "every tensor starts at random"


def start_of(path: Path, report: LoadReport) -> StartWeights:
    """A start from a file, for the metadata."""
    return StartWeights(
        "file", path.name, sha256_of(path), len(report.loaded), len(report.missing), report.identity_blocks
    )


def frozen_at_random(trunk: str) -> WeightsError:
    """What to tell who wants a frozen trunk without weights."""
    return WeightsError(
        f"{trunk} is frozen here and would stay at random: it takes imagenet or a file, not none."
    )


def no_download(trunk: str, error: Exception) -> WeightsError:
    """What to tell where there is no network."""
    reason = getattr(error, "reason", error)
    return WeightsError(
        f"ImageNet's weights of {trunk} could not be downloaded ({reason}): without a network use --weights FILE "
        f"(a state dict that you have), or {trunk}=FILE among several."
    )


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
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
    ) as error:
        raise WeightsError(
            f"{path.name} is not a state dict that can be opened safely; save one with torch.save(net.state_dict(), …)."
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise WeightsError(f"{path.name} holds something else than names and tensors.")
    return state


def load_matching(
    network: nn.Module, state: dict[str, torch.Tensor], required: str | None = None
) -> LoadReport:
    """Copy a state dict into a network wherever name and shape match.

    Residual blocks that get nothing start as the identity: the scale of their last batch norm is set to zero
    (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1), so that what lies before and after them fits
    together from the first step. (One that halves the size passes on its shortcut's convolution alone.)

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    state : dict of str to torch.Tensor
    required : str, optional
        What the names of those tensors begin with that must be filled, as those of a frozen trunk: nothing would ever
        learn there. Empty for all.

    Raises
    ------
    WeightsError
        Where nothing fits, or a required tensor is missing.
    """
    own = network.state_dict()
    fits = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    if not fits:
        raise WeightsError(
            f"None of the {len(state)} tensors fits: the network's are named like {next(iter(own))!r}, "
            f"the file's like {next(iter(state), '(none)')!r}."
        )
    missing = sorted(set(own) - set(fits))
    if required is not None:
        # How many batches a norm saw is of no use to a frozen one.
        lacking = [
            name for name in missing if name.startswith(required) and not name.endswith("num_batches_tracked")
        ]
        if lacking:
            raise WeightsError(
                f"The file lacks {len(lacking)} tensors of the frozen trunk, or has them in another shape: "
                f"{_layers(lacking)}."
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
        tuple(missing),
        tuple(sorted(set(state) - set(fits))),
        tuple(identity),
    )
