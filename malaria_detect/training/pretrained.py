"""Weights that a network starts from: ImageNet's, a state dict in a file, or none."""

import pickle
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.models.resnet import BasicBlock

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.inference.model_files import sha256_of
from malaria_detect.training.design import Started
from malaria_detect.training.settings import Weights

# Trunks that may start from ImageNet weights.
TRUNKS = ("resnet34", "vgg16", "resnet50v2", "mobilenetv2")
# What torch.load raises for a file that is no state dict.
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError),
    *(LookupError, TypeError, AttributeError, struct.error),
)


class WeightsError(MalariaDetectError):
    """The weights to start from are not available or do not fit.

    ``reason`` is ``no_download``, ``missing``, ``unsafe``, ``no_state_dict``, ``incomplete``, ``nothing_fits``,
    ``stages``, ``frozen`` or ``not_used``.
    """


@dataclass(frozen=True)
class LoadReport:
    """Which tensors of a state dict were loaded into a network.

    ``missing`` are tensors of the network that the file lacks or has in another shape; they start at random. ``unused``
    are tensors of the file that the network does not have. Of ``identity_blocks``, residual blocks that start as the
    identity, nothing was loaded.
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
) -> Started:
    """One of torchvision's networks with the weights that training starts from.

    `trunk` is the name of the network in :data:`TRUNKS`; `build` returns it with random weights; `imagenet` is
    downloaded for ``imagenet``. A file is loaded where name and shape match; `required` as in :func:`load_matching`.

    A failed download, a file that does not fit, or a frozen trunk that would start at random raises WeightsError.
    """
    source = source_of(weights, trunk, frozen=required is not None)
    network = build()
    if source == "none":
        return started_at_random(network)
    if source == "imagenet":
        try:
            state = imagenet.get_state_dict(progress=True, check_hash=True)
        except (OSError, *_UNREADABLE) as error:
            raise no_download(trunk, error) from error
        network.load_state_dict(state)
        return started_from_imagenet(network, f"torchvision {imagenet}")
    path = Path(source)
    return started_from_file(network, path, read_state_dict(path), required)


def source_of(weights: Weights, trunk: str, frozen: bool = False) -> str:
    """The source of one trunk's weights: ``imagenet``, ``none`` (an error for a frozen trunk) or a path.

    Examples
    --------
    >>> source_of("none", "vgg16"), source_of({"vgg16": "b.pth"}, "vgg16"), source_of({}, "vgg16")
    ('none', 'b.pth', 'imagenet')
    """
    source = weights if isinstance(weights, str) else weights.get(trunk, "imagenet")
    if frozen and source == "none":
        raise WeightsError(
            f"{trunk} is frozen, so it cannot start at random. Use --weights imagenet or a file.", "frozen"
        )
    return source


def started_at_random(network: nn.Module) -> Started:
    """A network with random weights."""
    return Started(network, StartWeights("none", "", "", 0, 0, ()), "every tensor starts at random")


def started_from_imagenet(network: nn.Module, name: str) -> Started:
    """A network with the ImageNet weights of this name, loaded whole."""
    start = StartWeights("imagenet", name, "", len(network.state_dict()), 0, ())
    return Started(network, start, f"loaded all of {name}")


def started_from_file(
    network: nn.Module, path: Path, state: dict[str, torch.Tensor], required: str | None = None
) -> Started:
    """A network with the tensors of a file that fit; errors as in :func:`load_matching`."""
    report = load_matching(network, state, required)
    loaded, missing = len(report.loaded), len(report.missing)
    start = StartWeights("file", path.name, sha256_of(path), loaded, missing, report.identity_blocks)
    return Started(network, start, str(report))


def no_download(trunk: str, error: Exception) -> WeightsError:
    """The error for a download that failed."""
    problem = "the file is damaged"
    if isinstance(error, OSError):
        cause = getattr(error, "reason", error)
        problem = getattr(cause, "strerror", None) or str(cause)  # without the number of the system's error
    return WeightsError(
        f"ImageNet weights of {trunk} could not be downloaded ({problem}). Check the Internet connection, or use "
        f"--weights FILE or --weights {trunk}=FILE with a state dict.",
        "no_download",
    )


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A state dict, opened without running code that may be in the file; anything else raises WeightsError."""
    if not path.is_file():
        raise WeightsError(
            f"There is no file {path}. Use imagenet, none or the path of a state dict.", "missing"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
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

    Tensors whose names begin with `required` must be loaded, because a frozen trunk is not trained.

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
