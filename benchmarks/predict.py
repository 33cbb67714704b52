"""Predicting cells against a loop of ``learn.predict``, ``get_preds`` and the bare network.

    python -m benchmarks.predict [--cells DIR] [--model export.pkl] [--count 320] [--rounds 5]

Everything in turns in one process, part by part of the same cells, after a run that does not count. Of each part the
median of the rounds counts, so that a busy moment hits nobody alone.

- One cell after the other, from the bytes of a file to the probability: ``Detector.predict`` and ``learn.predict``, on
  every fourth cell. The mean time of a cell, float32 where it is asked again included.
- Many cells, from files on disk: ``Detector.predict_many``, ``learn.predict`` and ``get_preds`` with fastai's defaults:
  batches of 64, a worker for each processor.
- The network alone, its input ready, in predict_many's batches: as it answers there (bfloat16, and float32 for unclear
  answers), only in bfloat16, and plainly called in bfloat16 in batches of 32 (which is not the same answer).
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from fastai.vision.all import Learner, defaults, load_learner
from tqdm import tqdm

from benchmarks.chosen import spread
from benchmarks.results import write
from benchmarks.ways import WAYS
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.detector import BATCH, Detector, load_detector
from malaria_detect.inference.network import log_odds

# Of the cells, one in so many is enough for the slow ways.
_FEW = 4
# Cells that a way gets at a time.
_PART = 32

# What runs, and the parts that it gets.
Ways = Mapping[str, tuple[Callable[[Any], object], Sequence[Any]]]


def loop(learner: Learner, images: Sequence[bytes | Path]) -> None:
    """``learn.predict``, one cell after the other."""
    with learner.no_bar(), learner.no_logging():
        for image in images:
            learner.predict(image)


def get_preds(learner: Learner, paths: Sequence[Path]) -> None:
    """fastai's own batches."""
    with learner.no_bar(), learner.no_logging():
        learner.get_preds(dl=learner.dls.test_dl(list(paths), num_workers=defaults.cpus))


def one_by_one(detector: Detector, images: Sequence[bytes]) -> None:
    """Ours, one cell after the other."""
    for image in images:
        detector.predict(image)


def predict_many(detector: Detector, paths: Sequence[Path]) -> None:
    """Ours, many cells."""
    for _ in detector.predict_many(paths):
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


def seconds(ways: Ways, rounds: int) -> dict[str, float]:
    """Seconds of each way for all its parts: of each part the median of the rounds, the ways in turns."""
    times: dict[tuple[str, int], list[float]] = {}
    most = max(len(parts) for _, parts in ways.values())
    for round_, part in itertools.product(tqdm(range(rounds + 1)), range(most)):
        for name, (run, parts) in ways.items():
            if part >= len(parts):
                continue
            began = time.perf_counter()
            run(parts[part])
            if round_:
                times.setdefault((name, part), []).append(time.perf_counter() - began)
    return {
        name: sum(statistics.median(times[name, part]) for part in range(len(parts)))
        for name, (_, parts) in ways.items()
    }


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
    paths = [cell.path for cell in spread(every, options.count)]
    detector, learner = load_detector(options.model), load_learner(options.model)
    few = paths[::_FEW]
    files = [[path.read_bytes()] for path in few]
    parts = [paths[first : first + _PART] for first in range(0, len(paths), _PART)]
    pictures = [torch.cat([detector.metadata.input_transform([read_image(path)]) for path in part]) for part in parts]
    plain = WAYS["bfloat16, channels last"](detector.network, detector.metadata, pictures[0])
    ways: Ways = {
        "predict": (lambda part: one_by_one(detector, part), files),
        "learn.predict, bytes": (lambda part: loop(learner, part), files),
        "predict_many": (lambda part: predict_many(detector, part), parts),
        "network": (lambda part: network(detector, part), pictures),
        "network, bfloat16": (lambda part: light(detector, part), pictures),
        "plain bfloat16": (plain, pictures),
        "learn.predict": (lambda part: loop(learner, part), [few]),
        "get_preds": (lambda part: get_preds(learner, part), [paths]),
    }
    taken = seconds(ways, options.rounds)
    speed = {name: sum(map(len, ways[name][1])) / spent for name, spent in taken.items()}
    for name, value in speed.items():
        print(f"{name:>26}: {value:6.1f} cells/s, {1000 / value:6.2f} ms a cell")
    ratios = {
        "ratio_to_learn_predict": speed["predict_many"] / speed["learn.predict"],
        "ratio_to_get_preds": speed["predict_many"] / speed["get_preds"],
        "single_ratio": speed["predict"] / speed["learn.predict, bytes"],
        "share_of_network": speed["predict_many"] / speed["network"],
        "share_of_network_bfloat16": speed["predict_many"] / speed["network, bfloat16"],
        "share_of_plain_bfloat16": speed["predict_many"] / speed["plain bfloat16"],
    }
    for name, value in ratios.items():
        print(f"{name:>26}: {value:6.2f}")
    write(
        "predict-speed.json",
        {
            "cells": len(paths),
            "cells_one_by_one": len(few),
            "rounds": options.rounds,
            "batch": BATCH,
            "cells_per_s": {name: round(value, 1) for name, value in speed.items()},
            "milliseconds": {name: round(1000 / value, 2) for name, value in speed.items()},
            **{name: round(value, 2) for name, value in ratios.items()},
        },
    )


if __name__ == "__main__":
    main()
