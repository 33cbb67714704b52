"""Predicting cells against a loop of ``learn.predict``, ``get_preds`` and the bare network.

    python -m benchmarks.predict [--cells DIR] [--model export.pkl] [--count 320] [--rounds 5]

Everything in turns in one process, on the same cells, after a run that does not count; medians of the rounds.

- One cell after the other, from the bytes of a file to the probability: ``Detector.predict`` and ``learn.predict``, on
  every eighth cell. The mean time of a cell, float32 where it is asked again included.
- Many cells, from files on disk: ``Detector.predict_many``, ``learn.predict`` and ``get_preds`` with fastai's defaults:
  batches of 64, a worker for each processor.
- The network alone, its input ready, in predict_many's batches: as it answers there (bfloat16, and float32 for unclear
  answers), only in bfloat16, and plainly called in bfloat16 in batches of 32.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from fastai.vision.all import Learner, defaults, load_learner

from benchmarks.results import write
from benchmarks.ways import WAYS
from malaria_detect.cells import find_cells
from malaria_detect.detector import BATCH, Detector, load_detector
from malaria_detect.images import ImageSource, read_image
from malaria_detect.inference import log_odds

# Of the cells, one in so many is enough for the slow ways.
_FEW = 8


def loop(learner: Learner, images: list[bytes] | list[Path]) -> None:
    """``learn.predict``, one cell after the other."""
    with learner.no_bar(), learner.no_logging():
        for image in images:
            learner.predict(image)


def get_preds(learner: Learner, paths: list[Path]) -> None:
    """fastai's own batches."""
    with learner.no_bar(), learner.no_logging():
        learner.get_preds(dl=learner.dls.test_dl(paths, num_workers=defaults.cpus))


def one_by_one(detector: Detector, images: list[bytes]) -> None:
    """Ours, one cell after the other."""
    for image in images:
        detector.predict(image)


def predict_many(detector: Detector, images: list[ImageSource]) -> None:
    """Ours, many cells."""
    for _ in detector.predict_many(images):
        pass


def network(detector: Detector, pictures: torch.Tensor) -> None:
    """The network as predict_many asks it, without what comes before."""
    for batch in pictures.split(BATCH):
        log_odds(detector.network, batch, detector.light)


def light(detector: Detector, pictures: torch.Tensor) -> None:
    """Its faster copy, of which nothing is asked again."""
    only = detector.network if detector.light is None else detector.light.network
    for batch in pictures.split(BATCH):
        log_odds(only, batch)


def main() -> None:
    """Time them and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--model", default="export.pkl")
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    every = find_cells(options.cells).cells
    paths = [cell.path for cell in every[:: -(-len(every) // options.count)]]
    detector, learner = load_detector(options.model), load_learner(options.model)
    few = paths[::_FEW]
    files = [path.read_bytes() for path in few]
    pictures = torch.cat([detector.seen(read_image(path)) for path in paths])
    plain = WAYS["bfloat16, channels last"](detector.network, detector.passport, pictures)
    sources: list[ImageSource] = list(paths)
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "predict": (lambda: one_by_one(detector, files), len(files)),
        "learn.predict, bytes": (lambda: loop(learner, files), len(files)),
        "predict_many": (lambda: predict_many(detector, sources), len(paths)),
        "learn.predict": (lambda: loop(learner, few), len(few)),
        "get_preds": (lambda: get_preds(learner, paths), len(paths)),
        "network": (lambda: network(detector, pictures), len(paths)),
        "network, bfloat16": (lambda: light(detector, pictures), len(paths)),
        "plain bfloat16": (lambda: [plain(batch) for batch in pictures.split(32)], len(paths)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_, (name, (run, cells)) in itertools.product(range(options.rounds + 1), ways.items()):
        began = time.perf_counter()
        run()
        if round_:
            times[name].append((time.perf_counter() - began) / cells)
    speed = {name: 1 / statistics.median(seconds) for name, seconds in times.items()}
    for name, value in speed.items():
        print(f"{name:>20}: {value:6.1f} cells/s, {1000 / value:6.2f} ms a cell")
    numbers = {
        "ratio_to_learn_predict": speed["predict_many"] / speed["learn.predict"],
        "ratio_to_get_preds": speed["predict_many"] / speed["get_preds"],
        "single_ratio": speed["predict"] / speed["learn.predict, bytes"],
        "share_of_network": speed["predict_many"] / speed["network"],
        "share_of_network_bfloat16": speed["predict_many"] / speed["network, bfloat16"],
        "share_of_plain_bfloat16": speed["predict_many"] / speed["plain bfloat16"],
    }
    for name, value in numbers.items():
        print(f"{name:>26}: {value:5.2f}")
    write(
        "predict-speed.json",
        {
            "cells": len(paths),
            "cells_one_by_one": len(few),
            "rounds": options.rounds,
            "batch": BATCH,
            "cells_per_s": {name: round(value, 1) for name, value in speed.items()},
            "milliseconds": {name: round(1000 / value, 2) for name, value in speed.items()},
            **{name: round(value, 2) for name, value in numbers.items()},
        },
    )


if __name__ == "__main__":
    main()
