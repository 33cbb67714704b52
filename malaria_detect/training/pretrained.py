"""Weights that a network starts from: ImageNet's, a state dict in a file, or none."""

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
from malaria_detect.training.settings import Weights

# Trunks that may start from ImageNet weights.
TRUNKS = ("resnet34", "vgg16", "resnet50v2", "mobilenetv2")
_AT_RANDOM = StartWeights("none", "", "", 0, 0, ())


class WeightsError(MalariaDetectError):
    """The weights to start from are not available or do not fit."""


@dataclass(frozen=True)
class LoadReport:
    """Which tensors of a state dict were loaded into a network.

    Attributes
    ----------
    loaded : tuple of str
        Tensors of the network that were loaded.
    missing : tuple of str
        Tensors of the network that the file lacks or has in another shape; they start at random.
    unused : tuple of str
        Tensors of the file that the network does not have.
    identity_blocks : tuple of str
        Residual blocks of which nothing was loaded; they start as the identity.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    identity_blocks: tuple[str, ...]

    def __str__(self) -> str:
        """Three lines: the layers that were loaded, that start at random, and that were not used."""
        return (
            f"loaded {len(self.loaded)} tensors: {_layers(self.loaded)}\n"
            f"not in the file, at random {len(self.missing)}: {_layers(self.missing)}"
            f" (as the identity: {', '.join(self.identity_blocks) or 'none'})\n"
            f"unused in the file {len(self.unused)}: {_layers(self.unused)}"
        )


def _layers(names: Sequence[str]) -> str:
    """Layers of the tensors, such as ``layer1.0`` for ``layer1.0.conv1.weight``, each once."""
    blocks = dict.fromkeys(re.match(r"layer\d+\.\d+|[^.]+", name)[0] for name in names)  # type: ignore[index]
    return ", ".join(blocks) or "none"


def starting_network(
    weights: Weights,
    trunk: str,
    build: Callable[[], nn.Module],
    imagenet: WeightsEnum,
    required: str | None = None,
) -> tuple[nn.Module, StartWeights, str]:
    """One of torchvision's networks with the weights that training starts from.

    Parameters
    ----------
    weights : str or dict of str to str
        See :class:`malaria_detect.training.settings.TrainSettings`. A file is opened with ``weights_only=True``, and
        loaded where name and shape match.
    trunk : str
        Name of the network in :data:`TRUNKS`.
    build : callable
        Returns the network with random weights.
    imagenet : torchvision.models.WeightsEnum
        The weights to download for ``imagenet``.
    required : str, optional
        As in :func:`load_matching`.

    Returns
    -------
    network : torch.nn.Module
    start : StartWeights
        For the metadata.
    report : str
        What was loaded, for the person who trains.

    Raises
    ------
    WeightsError
        If the download fails, or no tensor of the file fits.
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


def weights_for(weights: Weights, trunk: str) -> str:
    """The source of one trunk's weights: ``imagenet``, ``none`` or a path.

    Examples
    --------
    >>> weights_for("none", "vgg16"), weights_for({"vgg16": "b.pth"}, "vgg16"), weights_for({}, "vgg16")
    ('none', 'b.pth', 'imagenet')
    """
    return weights if isinstance(weights, str) else weights.get(trunk, "imagenet")


def random_start(weights: Weights, network: str) -> tuple[StartWeights, str]:
    """Start and report of a network that starts at random.

    Raises
    ------
    WeightsError
        If weights were given: the network cannot use them.
    """
    if weights != "none":
        raise WeightsError(f"{network} starts at random. Leave --weights out.", "not_used")
    return _AT_RANDOM, "every tensor starts at random"


def start_of(path: Path, report: LoadReport) -> StartWeights:
    """A start from a file, for the metadata."""
    return StartWeights(
        "file", path.name, sha256_of(path), len(report.loaded), len(report.missing), report.identity_blocks
    )


def frozen_at_random(trunk: str) -> WeightsError:
    """The error for a frozen trunk without weights."""
    return WeightsError(
        f"{trunk} is frozen, so it cannot start at random. Use --weights imagenet or a file.", "frozen"
    )


def no_download(trunk: str, error: Exception) -> WeightsError:
    """The error for a download that failed."""
    problem = getattr(error, "reason", error)
    return WeightsError(
        f"ImageNet weights of {trunk} could not be downloaded ({problem}). "
        f"Without a network, use --weights FILE or --weights {trunk}=FILE with a state dict.",
        "no_download",
    )


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A state dict, opened without running code that may be in the file.

    Raises
    ------
    WeightsError
        If the file is missing or not a state dict.
    """
    if not path.is_file():
        raise WeightsError(
            f"There is no file {path}. Use imagenet, none or the path of a state dict.", "missing"
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
            f"{path.name} cannot be opened safely as a state dict. Save one with torch.save(net.state_dict(), ...).",
            "unsafe",
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise WeightsError(f"{path.name} is not a state dict (names and tensors).", "no_state_dict")
    return state


def load_matching(
    network: nn.Module, state: dict[str, torch.Tensor], required: str | None = None
) -> LoadReport:
    """Copy a state dict into a network where name and shape match.

    Residual blocks of which nothing was loaded start as the identity: the scale of their last batch norm is zero (Goyal
    et al. 2017, "Accurate, Large Minibatch SGD", section 5.1), so that the loaded layers before and after them fit
    together. (In a block that halves the size, the convolution of the shortcut remains.)

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    state : dict of str to torch.Tensor
    required : str, optional
        Tensors whose names begin with this must be loaded, because a frozen trunk is not trained. Empty for all.

    Raises
    ------
    WeightsError
        If nothing fits, or a required tensor is missing.
    """
    own = network.state_dict()
    fits = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    if not fits:
        raise WeightsError(
            f"None of the {len(state)} tensors fits. Names in the network look like {next(iter(own))!r}, "
            f"names in the file like {next(iter(state), '(none)')!r}.",
            "nothing_fits",
        )
    missing = sorted(set(own) - set(fits))
    if required is not None:
        # A frozen batch norm does not use its number of batches.
        lacking = [
            name for name in missing if name.startswith(required) and not name.endswith("num_batches_tracked")
        ]
        if lacking:
            raise WeightsError(
                f"The file lacks {len(lacking)} tensors of the frozen trunk, or has them in another shape: "
                f"{_layers(lacking)}.",
                "incomplete",
            )
    network.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in fits.items()}, strict=False)
    identity = []
    for name, block in network.named_modules():
        if isinstance(block, BasicBlock) and not any(tensor.startswith(f"{name}.") for tensor in fits):
            nn.init.zeros_(block.bn2.weight)
            if block.downsample is None:
                identity.append(name)
    return LoadReport(tuple(fits), tuple(missing), tuple(sorted(set(state) - set(fits))), tuple(identity))
