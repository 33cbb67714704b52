"""What a network gives for pictures that are prepared as at prediction, such as cells of held-out patients."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.inference.network import Seen, log_odds, prepared, seen_by

_BATCH = 64


def held_out_logits(
    network: nn.Module,
    transform: InputTransform,
    cells: Sequence[Cell],
    text: str = "scoring",
    progress: bool = True,
) -> list[float]:
    """Log-odds of parasitized for cells, in float32, from a network that stays as it is.

    The network returns two logits, (N, 2): Parasitized, Uninfected. `text` is shown with the progress bar. The log-odds
    are not calibrated; they are NaN or infinite if training diverged.
    """
    ready = prepared(copy.deepcopy(network).cpu())
    shown = tqdm(cells, text, unit="cell", disable=not progress)
    batches = batches_of((read_image(cell.path) for cell in shown), transform)
    return [value for batch in batches for value in log_odds(ready, batch)]


def batches_of(pictures: Iterable[Image.Image], transform: InputTransform) -> Iterator[torch.Tensor]:
    """Input of a network for RGB pictures, 64 at a time."""
    waiting = iter(pictures)
    while batch := list(itertools.islice(waiting, _BATCH)):
        yield transform(batch)


def pooled_features(
    network: nn.Module, transform: InputTransform, pictures: Iterable[Image.Image]
) -> NDArray[np.float32]:
    """Pooled features of RGB pictures, (N, 1024), from a network that stays as it is.

    Raises
    ------
    MetadataError
        If the network has no pooled features; ``reason`` is ``no_references``.
    """
    seen = seen_of(prepared(copy.deepcopy(network).cpu()), transform, pictures)
    if seen is None:
        raise MetadataError("This network has no pooled features; only resnet34 has.", "no_references")
    return seen.features


def seen_of(network: nn.Module, transform: InputTransform, pictures: Iterable[Image.Image]) -> Seen | None:
    """What a prepared network gives for RGB pictures; None without pictures, or for other designs than resnet34."""
    batches = [seen_by(network, batch) for batch in batches_of(pictures, transform)]
    found = [one for one in batches if one]
    if not found:
        return None
    return Seen(
        np.concatenate([one.features for one in found]),
        np.concatenate([one.layers for one in found]),
        [odds for one in found for odds in one.odds],
    )
