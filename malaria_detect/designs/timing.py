"""How many pictures a second networks predict, side by side."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.model_files import read_model
from malaria_detect.inference.network import log_odds, open_learner, prepared

_CELLS, _BATCH, _ROUNDS = 96, 32, 5


def pictures_per_second(
    models: Mapping[str, Path], cells: Sequence[Cell], progress: bool = True
) -> dict[str, float]:
    """Pictures per second, from the scaled square to the logit; in turns, so that a busy moment hits all alike.

    Parameters
    ----------
    models : dict of str to Path
        Exported learners with their metadata beside them.
    cells : sequence of Cell
        At most 96 of them are taken, spread evenly.
    progress : bool
        Show a bar.

    Returns
    -------
    dict of str to float
        The median of five rounds, after one that does not count.
    """
    chosen = cells[:: max(1, len(cells) // _CELLS)][:_CELLS]
    pictures = [read_image(cell.path) for cell in chosen]
    read = {name: read_model(model) for name, model in models.items()}
    described: dict[str, ModelMetadata] = {name: metadata for name, (metadata, _) in read.items()}
    networks = {name: prepared(open_learner(data).model) for name, (_, data) in read.items()}
    # Once for each preprocessing: padded images are large.
    padded = {
        names: [InputTransform(preprocess=names).pad(picture) for picture in pictures]
        for names in {metadata.preprocess for metadata in described.values()}
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in tqdm(range(_ROUNDS + 1), desc="timing", disable=not progress, leave=False):
        for name, metadata in described.items():
            began = time.perf_counter()
            for begin in range(0, len(chosen), _BATCH):
                batch = padded[metadata.preprocess][begin : begin + _BATCH]
                log_odds(networks[name], metadata.input_transform.tensor(batch))
            seconds[name].append(time.perf_counter() - began)
    return {name: round(len(chosen) / median(times[1:]), 1) for name, times in seconds.items()}
