"""Seconds to explain a cell and check the explanation, compared with Grad-CAM.

    python -m benchmarks.explain [--cells DIR] [--model export.pkl] [--count 24] [--rounds 3]

``explain`` is the time of ``Explainer.explain`` for a file on disk, with its prediction and its check. ``plain`` is the
time of captum's Grad-CAM on the last feature map in float32, and of as many forward passes at full size, one image at a
time; the time to hide parts of the images is not included. Only cells called parasitized are used, because no others
are explained. Both run in turns, after a first run that is not counted.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from captum.attr import LayerGradCam  # type: ignore[import-untyped]
from torch import nn

from benchmarks.chosen import spread
from benchmarks.results import machine, write
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.explain import Explainer
from malaria_detect.explain.explainer import RANDOM_PARTS
from malaria_detect.inference.detector import load_detector
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.model_files import read_model
from malaria_detect.training.learner import open_learner


def plain(network: nn.Module, transform: InputTransform, paths: Sequence[Path]) -> None:
    """Grad-CAM, and a forward pass for the whole image, for the mark and for each random part."""
    layer = network.get_submodule("0")
    for path in paths:
        picture = torch.from_numpy(transform([read_image(path)]))
        LayerGradCam(network, layer).attribute(picture, target=0)
        with torch.inference_mode():
            for _ in range(RANDOM_PARTS + 2):
                network(picture)


def ours(explainer: Explainer, paths: Sequence[Path]) -> None:
    """Prediction, heat, mark and check."""
    for path in paths:
        explainer.explain(path)


def main() -> None:
    """Time the two and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--model", default="export.pkl")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    detector = load_detector(options.model)
    explainer, transform = Explainer(detector), detector.metadata.input_transform
    network = open_learner(read_model(options.model)[1]).model.eval()
    every = [cell.path for cell in find_cells(options.cells).cells if cell.label == CLASSES[0]]
    called = [path for path in spread(every, options.count) if detector.predict(path).decision == CLASSES[0]]
    few = spread(called, 6)
    ways: dict[str, tuple[Callable[[], None], int]] = {
        "explain": (lambda: ours(explainer, called), len(called)),
        "plain": (lambda: plain(network, transform, few), len(few)),
    }
    ours(explainer, few[:2])
    plain(network, transform, few[:2])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, (run, _)) in itertools.product(range(options.rounds), ways.items()):
        began = time.perf_counter()
        run()
        times[name].append(time.perf_counter() - began)
    seconds = {name: statistics.median(times[name]) / cells for name, (_, cells) in ways.items()}
    ratio = seconds["plain"] / seconds["explain"]
    print(
        f"{len(called)} cells ({len(few)} with Grad-CAM), {options.rounds} rounds, {machine()['processor']}"
    )
    for name, value in seconds.items():
        print(f"{name:>8}: {value:6.3f} s a cell")
    print(f"explain is {ratio:.2f} times as fast")
    reliable = sum(explainer.explain(path).reliable for path in called)
    print(f"{reliable} of {len(called)} explanations passed the check")
    write(
        "explain-speed.json",
        {
            "cells": len(called),
            "rounds": options.rounds,
            "random_parts": RANDOM_PARTS,
            "reliable": reliable,
            "seconds_per_cell": {name: round(value, 4) for name, value in seconds.items()},
            "ratio_to_plain": round(ratio, 2),
        },
    )


if __name__ == "__main__":
    main()
