"""Cells per second of several designs, measured in turns."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell

_CELLS, _ROUNDS = 96, 5

# From RGB images to log-odds of parasitized.
LogOdds = Callable[[Sequence[Image.Image]], NDArray[np.float64]]


def cells_per_second(
    designs: Mapping[str, LogOdds], cells: Sequence[Cell], progress: bool = True
) -> dict[str, float]:
    """Cells per second of trained designs, from the image to the log-odds.

    They are measured in turns, so that a busy moment affects all, on at most 96 of the cells. The result is the median
    of five rounds, after a first one that is not counted.
    """
    chosen = cells[:: max(1, len(cells) // _CELLS)][:_CELLS]
    images = [read_image(cell.path) for cell in chosen]
    seconds: dict[str, list[float]] = {name: [] for name in designs}
    for _ in tqdm(range(_ROUNDS + 1), desc="timing", disable=not progress, leave=False):
        for name, log_odds in designs.items():
            began = time.perf_counter()
            log_odds(images)
            seconds[name].append(time.perf_counter() - began)
    return {name: round(len(chosen) / median(times[1:]), 1) for name, times in seconds.items()}
