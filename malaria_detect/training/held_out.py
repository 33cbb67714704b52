"""Scores and features of cells that are prepared as at prediction, such as those of held-out patients."""

import copy
import random
from collections.abc import Sequence

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.network import features_and_log_odds, prepared
from malaria_detect.inference.references import TRAINING, VALIDATION, References

_BATCH = 64
# References of each part: more make neither foreign images nor a new site clearer, only the file larger.
_REFERENCES = 1500


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
    return scored(network, transform, cells, text, progress)[1]


def references_of(
    network: nn.Module,
    transform: InputTransform,
    training: Sequence[Cell],
    validation: Sequence[Cell],
    progress: bool = True,
) -> References | None:
    """Randomly chosen training and validation cells as the network sees them, always the same for the same cells.

    None for a network without pooled features, see
    :func:`malaria_detect.inference.network.features_and_log_odds`.
    """
    draw = random.Random(0)
    chosen = [
        (part, cell)
        for part, cells in ((TRAINING, training), (VALIDATION, validation))
        for cell in draw.sample(cells, min(len(cells), _REFERENCES))
    ]
    features, _ = scored(network, transform, [cell for _, cell in chosen], "reference cells", progress)
    if features is None:
        return None
    return References(
        features=features,
        parasitized=np.array([cell.label == CLASSES[0] for _, cell in chosen]),
        files=tuple(cell.name for _, cell in chosen),
        groups=tuple(cell.group for _, cell in chosen),
        part=tuple(part for part, _ in chosen),
    )


def scored(
    network: nn.Module, transform: InputTransform, cells: Sequence[Cell], text: str, progress: bool
) -> tuple[np.ndarray | None, list[float]]:
    """Pooled features and log-odds of cells, see :func:`malaria_detect.inference.network.features_and_log_odds`."""
    ready = prepared(copy.deepcopy(network).cpu())
    features: list[np.ndarray] = []
    values: list[float] = []
    with tqdm(total=len(cells), desc=text, unit="cell", disable=not progress) as bar:
        for begin in range(0, len(cells), _BATCH):
            batch = cells[begin : begin + _BATCH]
            seen, odds = features_and_log_odds(ready, transform([read_image(cell.path) for cell in batch]))
            values += odds
            if seen is not None:
                features.append(seen)
            bar.update(len(batch))
    return (np.concatenate(features) if features else None), values
