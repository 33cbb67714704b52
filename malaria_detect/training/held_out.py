"""Scores of cells that a network was not trained on, prepared as at prediction."""

import copy
from collections.abc import Sequence

from torch import nn
from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.network import log_odds, prepared

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
    values: list[float] = []
    with tqdm(total=len(cells), desc=text, unit="cell", disable=not progress) as bar:
        for begin in range(0, len(cells), _BATCH):
            batch = cells[begin : begin + _BATCH]
            values += log_odds(ready, transform([read_image(cell.path) for cell in batch]))
            bar.update(len(batch))
    return values
