"""Images per second of several networks, measured in turns."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.inference.model_files import read_model
from malaria_detect.inference.runtime import open_classifier

_CELLS, _BATCH, _ROUNDS = 96, 32, 5


def images_per_second(
    models: Mapping[str, Path], cells: Sequence[Cell], progress: bool = True
) -> dict[str, float]:
    """Images per second of exported learners, from the padded image to the logit.

    They are measured in turns, so that a busy moment affects all, on at most 96 of the cells. The result is the median
    of five rounds, after a first one that is not counted.
    """
    chosen = cells[:: max(1, len(cells) // _CELLS)][:_CELLS]
    images = [read_image(cell.path) for cell in chosen]
    read = {name: read_model(model) for name, model in models.items()}
    transforms = {name: metadata.input_transform for name, (metadata, _) in read.items()}
    classifiers = {name: open_classifier(models[name], *read[name]) for name in models}
    # Padded once for each preprocessing, to save memory.
    padded = {
        names: [one.pad(image) for image in images]
        for names, one in {one.preprocess: one for one in transforms.values()}.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in tqdm(range(_ROUNDS + 1), desc="timing", disable=not progress, leave=False):
        for name, transform in transforms.items():
            began = time.perf_counter()
            for begin in range(0, len(chosen), _BATCH):
                batch = padded[transform.preprocess][begin : begin + _BATCH]
                classifiers[name].log_odds(transform.tensor(batch))
            seconds[name].append(time.perf_counter() - began)
    return {name: round(len(chosen) / median(times[1:]), 1) for name, times in seconds.items()}
