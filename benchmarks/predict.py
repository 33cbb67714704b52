"""Cells per second of ``Detector.predict_many`` against a loop of ``learn.predict`` and against ``get_preds``.

    python -m benchmarks.predict [--cells DIR] [--model export.pkl] [--count 320] [--rounds 3]

From files on disk to probabilities, same cells, in turns, after a short run that does not count. ``learn.predict`` is
given fewer cells, because it is slow; ``get_preds`` has fastai's defaults: batches of 64, a worker for each processor.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from fastai.vision.all import Learner, defaults, load_learner

from benchmarks.results import machine, write
from malaria_detect.cells import find_cells
from malaria_detect.detector import Detector, load_detector


def loop(learner: Learner, paths: list[Path]) -> None:
    """``learn.predict``, one cell after the other."""
    with learner.no_bar(), learner.no_logging():
        for path in paths:
            learner.predict(path)


def get_preds(learner: Learner, paths: list[Path]) -> None:
    """fastai's own batches."""
    with learner.no_bar(), learner.no_logging():
        learner.get_preds(dl=learner.dls.test_dl(paths, num_workers=defaults.cpus))


def predict_many(detector: Detector, paths: list[Path]) -> None:
    """Ours."""
    list(detector.predict_many(paths))


def main() -> None:
    """Time the three and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--model", default="export.pkl")
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    every = find_cells(options.cells).cells
    paths = [cell.path for cell in every[:: -(-len(every) // options.count)]]
    detector, learner = load_detector(options.model), load_learner(options.model)
    few = paths[:: max(1, len(paths) // 40)]
    ways: dict[str, tuple[Callable[[], None], int]] = {
        "predict_many": (lambda: predict_many(detector, paths), len(paths)),
        "learn.predict": (lambda: loop(learner, few), len(few)),
        "get_preds": (lambda: get_preds(learner, paths), len(paths)),
    }
    predict_many(detector, few)
    loop(learner, few[:4])
    get_preds(learner, few)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, (run, _)) in itertools.product(range(options.rounds), ways.items()):
        began = time.perf_counter()
        run()
        times[name].append(time.perf_counter() - began)
    speed = {name: cells / statistics.median(times[name]) for name, (_, cells) in ways.items()}
    print(
        f"{len(paths)} cells ({len(few)} for learn.predict), {options.rounds} rounds, {machine()['processor']}"
    )
    for name, value in speed.items():
        print(
            f"{name:>14}: {value:6.1f} cells/s, predict_many is {speed['predict_many'] / value:5.2f} times as fast"
        )
    write(
        "predict-speed.json",
        {
            "cells": len(paths),
            "rounds": options.rounds,
            "cells_per_s": {name: round(value, 1) for name, value in speed.items()},
            "ratio_to_learn_predict": round(speed["predict_many"] / speed["learn.predict"], 2),
            "ratio_to_get_preds": round(speed["predict_many"] / speed["get_preds"], 2),
        },
    )


if __name__ == "__main__":
    main()
