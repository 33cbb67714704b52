"""Speed and agreement of predictions, compared with fastai's ``learn.predict`` and ``get_preds``.

    python -m benchmarks.predict [--cells DIR] [--model export.pkl] [--count 320] [--rounds 5]

All ways run in turns in one process, after one round that is not counted; the result is the median of the rounds.

- ``predict`` and ``learn.predict``: one cell at a time, from the content of a file; every fourth cell.
- ``predict_many`` and ``get_preds``: all cells, from files; ``get_preds`` with fastai's defaults.
- ``network``: the network alone, with its input ready.
- ``float32``: ``predict`` and ``predict_many`` without bfloat16, as on processors that lack it.
- ``unscreened``: as ``predict_many``, but nothing is compared with known cells. ``screen_cost`` is the time that this
  saves; at most 0.05 is accepted.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from fastai.vision.all import Learner, defaults, load_learner
from numpy.typing import NDArray
from scipy.special import logit
from tqdm import tqdm

from benchmarks.chosen import spread
from benchmarks.results import write
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.detector import BATCH, Detector, load_detector
from malaria_detect.inference.graph import Graph
from malaria_detect.inference.model_files import graph_path
from malaria_detect.inference.prediction import Prediction, decide
from malaria_detect.metrics import scaled

# Every fourth cell is enough for the slow ways.
_FEW = 4

# What runs, and for how many cells.
Ways = Mapping[str, tuple[Callable[[], object], int]]


def learn_predict(learner: Learner, images: Sequence[bytes]) -> list[float]:
    """Softmax of ``Parasitized`` from ``learn.predict``, one cell after the other."""
    with learner.no_bar(), learner.no_logging():
        return [float(learner.predict(image)[2][0]) for image in images]


def get_preds(learner: Learner, paths: Sequence[Path]) -> None:
    """fastai's own batches."""
    with learner.no_bar(), learner.no_logging():
        learner.get_preds(dl=learner.dls.test_dl(list(paths), num_workers=defaults.cpus))


def network(classifier: Classifier, pictures: NDArray[np.float32]) -> None:
    """The network alone, in the batches of predict_many."""
    for start in range(0, len(pictures), BATCH):
        classifier.log_odds(pictures[start : start + BATCH])


def seconds(ways: Ways, rounds: int) -> dict[str, float]:
    """Median of the seconds of each way."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_, (name, (run, _)) in itertools.product(tqdm(range(rounds + 1)), ways.items()):
        began = time.perf_counter()
        run()
        if round_:
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def agreement(detector: Detector, learner: Learner, images: Sequence[bytes]) -> dict[str, float]:
    """Largest difference of a probability to ``learn.predict``, and number of different decisions."""
    largest_raw = largest = 0.0
    changed = 0
    answers = detector.predict_many(images)
    for answer, raw in zip(answers, learn_predict(learner, images), strict=True):
        assert isinstance(answer, Prediction)
        expected = float(scaled(logit(raw), detector.metadata.temperature))
        largest_raw = max(largest_raw, abs(answer.raw_probability_parasitized - raw))
        largest = max(largest, abs(answer.probability_parasitized - expected))
        for point in detector.metadata.operating_points:
            changed += answer.at(point).decision != decide(expected, point)
    return {
        "largest_difference_raw": round(largest_raw, 6),
        "largest_difference": round(largest, 6),
        "different_decisions": changed,
    }


def main() -> None:
    """Measure, print and write ``reports/predict-speed.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--model", default="export.pkl")
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    paths = [cell.path for cell in spread(find_cells(options.cells).cells, options.count)]
    detector, learner = load_detector(options.model), load_learner(options.model)
    classifier = detector.classifier
    assert classifier is not None  # this process computes it
    unscreened = Detector(classifier, detector.metadata)
    graph = Graph.read(graph_path(options.model).read_bytes())
    exact = Classifier.open(graph, Path(options.model).read_bytes(), exact=True)
    in_float32 = Detector(exact, detector.metadata, known=detector.known)
    images = [path.read_bytes() for path in paths]
    few = images[::_FEW]
    pictures = detector.metadata.input_transform([read_image(path) for path in paths])
    found = agreement(detector, learner, images)
    ways: Ways = {
        "predict": (lambda: [detector.predict(image) for image in few], len(few)),
        "learn.predict": (lambda: learn_predict(learner, few), len(few)),
        "predict_many": (lambda: list(detector.predict_many(paths)), len(paths)),
        "get_preds": (lambda: get_preds(learner, paths), len(paths)),
        "unscreened": (lambda: list(unscreened.predict_many(paths)), len(paths)),
        "network": (lambda: network(classifier, pictures), len(paths)),
        "predict, float32": (lambda: [in_float32.predict(image) for image in few], len(few)),
        "predict_many, float32": (lambda: list(in_float32.predict_many(paths)), len(paths)),
    }
    taken = seconds(ways, options.rounds)
    speed = {name: cells / taken[name] for name, (_, cells) in ways.items()}
    for name, value in speed.items():
        print(f"{name:>26}: {value:6.1f} cells/s, {1000 / value:6.2f} ms per cell")
    ratios = {
        "ratio_to_learn_predict": speed["predict_many"] / speed["learn.predict"],
        "ratio_to_get_preds": speed["predict_many"] / speed["get_preds"],
        "single_ratio": speed["predict"] / speed["learn.predict"],
        "single_ratio_float32": speed["predict, float32"] / speed["learn.predict"],
        "ratio_to_learn_predict_float32": speed["predict_many, float32"] / speed["learn.predict"],
        "screen_cost": speed["unscreened"] / speed["predict_many"] - 1,
        "share_of_network": speed["predict_many"] / speed["network"],
    }
    for name, value in {**ratios, **found}.items():
        print(f"{name:>26}: {value:6.4g}")
    write(
        "predict-speed.json",
        {
            "cells": len(paths),
            "cells_one_by_one": len(few),
            "rounds": options.rounds,
            "batch": BATCH,
            "bfloat16": classifier.engine.precision == "bf16",
            "cells_per_s": {name: round(value, 1) for name, value in speed.items()},
            "milliseconds": {name: round(1000 / value, 2) for name, value in speed.items()},
            **{name: round(value, 2) for name, value in ratios.items()},
            **found,
        },
    )


if __name__ == "__main__":
    main()
