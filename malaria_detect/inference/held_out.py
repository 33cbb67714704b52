"""What a network gives for pictures that are prepared as at prediction, such as cells of held-out patients."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.inference.classifier import Classifier, Seen
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.metadata import MetadataError

_BATCH = 16


def held_out_logits(
    classifier: Classifier,
    transform: InputTransform,
    cells: Sequence[Cell],
    text: str = "scoring",
    progress: bool = True,
) -> list[float]:
    """Log-odds of parasitized for cells, not calibrated; NaN or infinite if training diverged.

    `text` is shown with the progress bar.
    """
    shown = tqdm(cells, text, unit="cell", disable=not progress)
    batches = batches_of((read_image(cell.path) for cell in shown), transform)
    return [float(value) for batch in batches for value in classifier.log_odds(batch)]


def batches_of(pictures: Iterable[Image.Image], transform: InputTransform) -> Iterator[NDArray[np.float32]]:
    """Input of a network for RGB pictures, 16 at a time."""
    waiting = iter(pictures)
    while batch := list(itertools.islice(waiting, _BATCH)):
        yield transform(batch)


def pooled_features(
    classifier: Classifier, transform: InputTransform, pictures: Iterable[Image.Image]
) -> NDArray[np.float32]:
    """Pooled features of RGB pictures, (N, 1024).

    Raises
    ------
    MetadataError
        If the network has no pooled features; ``reason`` is ``no_references``.
    """
    seen = seen_of(classifier, transform, pictures)
    if seen is None:
        raise MetadataError("This network has no pooled features; only resnet34 has.", "no_references")
    return seen.features


def seen_of(
    classifier: Classifier, transform: InputTransform, pictures: Iterable[Image.Image]
) -> Seen | None:
    """What a network gives for RGB pictures, but no maps; None without pictures, or for other designs than resnet34."""
    found = [
        replace(one, map=one.map[:0])  # for thousands of pictures they would take gigabytes
        for batch in batches_of(pictures, transform)
        if (one := classifier.see(batch))
    ]
    if not found:
        return None
    return Seen(*(np.concatenate([getattr(one, own.name) for one in found]) for own in fields(Seen)))
