"""Ways to run the shipped network: number formats and runtimes, with what each costs and what it changes.

    make bench-ways, or: python -m benchmarks.precision [--cells DIR] [--sample DIR] [--model export.pkl] [--rounds 5]

``--cells`` names the whole set, as in training; ``--sample`` the cells that the ways are held together on, otherwise
320 of them. Speed is counted from the network's input to the log-odds, all ways in turns in one process, medians.
Memory and start are each way's own, in a process of its own: private megabytes (10⁶ bytes) more than with the network
just opened, at the end of a batch of 8, and seconds from there to the first answer. What cannot be imported is left
out.

int8 is calibrated on cells of training patients. The zone in which the shipped way asks float32 again is chosen on
validation patients; its table is written, too.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from scipy.special import expit, logit
from torch import nn
from tqdm import tqdm

from benchmarks.chosen import spread
from benchmarks.results import write
from benchmarks.ways import EXACT, ROUNDED, SHIPPED, WAYS, Answers
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell, find_cells
from malaria_detect.data.preprocessing import pad_to_square, preprocess
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.input import RESIZE
from malaria_detect.inference.network import UNSURE, log_odds
from malaria_detect.inference.packed import packed

BATCHES = (1, 8, 32)
# Timed on so many cells: how many of them are unclear decides how fast the shipped way is.
TIMED = 64
# int8's ranges are taken from so many cells.
CALIBRATED_ON = 128
SAMPLE = 320
ZONES = sorted({0.0, 1.0, 1.5, 2.0, 2.25, 2.5, 3.0, UNSURE})
# Together when answers are held side by side.
_TOGETHER = 8


def seen(detector: Detector, cells: Sequence[Cell]) -> torch.Tensor:
    """What the network sees of some cells: float32, (cells, 3, size, size), channels last."""
    metadata = detector.metadata
    squares = [
        pad_to_square(preprocess(read_image(cell.path), metadata.preprocess), RESIZE) for cell in cells
    ]
    return metadata.input_transform.tensor(squares)


def answers(way: Answers, pictures: torch.Tensor) -> np.ndarray:
    """Log-odds of all pictures, a few at a time."""
    parts = [way(part.contiguous(memory_format=torch.channels_last)) for part in pictures.split(_TOGETHER)]
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])


def speeds(ways: dict[str, Answers], pictures: torch.Tensor, rounds: int) -> dict[str, dict[int, float]]:
    """Pictures a second of each way and batch size, on some of the pictures."""
    pictures = pictures[spread(range(len(pictures)), TIMED)].contiguous(memory_format=torch.channels_last)
    seconds: dict[tuple[str, int], list[float]] = {}
    for round_, size, (name, way) in itertools.product(tqdm(range(rounds + 1)), BATCHES, ways.items()):
        batches = pictures.split(size)
        way(batches[0])
        began = time.perf_counter()
        for batch in batches:
            way(batch)
        if round_:
            pictures_done = sum(map(len, batches))
            seconds.setdefault((name, size), []).append((time.perf_counter() - began) / pictures_done)
    return {name: {size: 1 / statistics.median(seconds[name, size]) for size in BATCHES} for name in ways}


def zone(detector: Detector, cells: Sequence[Cell]) -> dict[str, Any]:
    """What the light network's rounding changes beyond each zone, and how many cells lie within.

    Each cell is asked alone and among others, for which torch may take other ways to add up: the worse one counts.
    """
    light = packed(detector.network, torch.bfloat16)
    assert light is not None
    odds: list[tuple[float, float, float]] = []
    for first in tqdm(range(0, len(cells), _TOGETHER)):
        pictures = seen(detector, cells[first : first + _TOGETHER])
        alone = [found for picture in pictures.split(1) for found in log_odds(light, picture)]
        odds += zip(log_odds(detector.network, pictures), alone, log_odds(light, pictures), strict=True)
    exact, *asked = np.array(odds).T
    rounded = np.array(asked)
    # Of the network's own probability, and of the calibrated one.
    temperatures = (1.0, detector.metadata.temperature)
    changes = np.max([np.abs(expit(exact / by) - expit(rounded / by)) for by in temperatures], axis=0)
    rows = []
    for unsure in ZONES:
        kept = np.abs(rounded) >= unsure
        rows.append(
            {
                "unsure": unsure,
                "asked_again": round(float(1 - kept.mean()), 4),
                "largest_change": round(float(changes[kept].max()), 5),
            }
        )
    return {
        "cells": len(cells),
        "unsure": UNSURE,
        "largest_change_of_log_odds": round(float(np.abs(exact - rounded).max()), 4),
        "rows": rows,
    }


def alone(name: str, model: str, calibration: str) -> None:
    """Print one way's private memory and start, in a process that runs nothing else."""
    detector = load_detector(model)
    network, metadata = detector.network, detector.metadata
    pictures = torch.from_numpy(np.load(calibration))[:8].contiguous(memory_format=torch.channels_last)
    own = psutil.Process()
    before, began = own.memory_full_info().uss, time.perf_counter()
    way = WAYS[name](network, metadata, pictures)
    way(pictures[:1])
    start = time.perf_counter() - began
    for _ in range(3):
        way(pictures)
    print(json.dumps({"memory_mb": (own.memory_full_info().uss - before) / 1e6, "start_s": start}))


def _in_a_process(name: str, model: str, calibration: Path) -> dict[str, float]:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "benchmarks.precision"),
            *("--alone", name, "--model", model, "--calibration", str(calibration)),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {key: round(value, 2) for key, value in found.items()}


def _built(
    network: nn.Module, detector: Detector, calibration: torch.Tensor
) -> Iterator[tuple[str, Answers]]:
    for name, build in WAYS.items():
        try:
            yield name, build(network, detector.metadata, calibration)
        except ImportError as error:
            print(f"{name}: left out ({error})")


def main() -> None:
    """Hold all ways together and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--sample")
    parser.add_argument("--model", default="export.pkl")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--calibration", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(options.alone, options.model, options.calibration)
        return
    detector = load_detector(options.model)
    metadata, light = detector.metadata, detector.light
    cells = find_cells(options.cells).cells
    train, valid = (
        [cell for cell in cells if cell.group in side.groups] for side in (metadata.train, metadata.valid)
    )
    sample = list(find_cells(options.sample).cells) if options.sample else spread(cells, SAMPLE)
    calibration = seen(detector, spread(train, CALIBRATED_ON))
    pictures = seen(detector, sample)
    ways = dict(_built(detector.network, detector, calibration))
    exact = answers(ways[EXACT], pictures)
    odds = {name: answers(way, pictures) for name, way in ways.items()}
    found = speeds(ways, pictures, options.rounds)
    del ways
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "calibration.npy"
        np.save(file, calibration.contiguous().numpy())
        costs = {name: _in_a_process(name, options.model, file) for name in found}
    limits = [metadata.temperature * logit(point.threshold) for point in metadata.operating_points]
    rows = [
        {
            "name": name,
            "cells_per_s": {str(size): round(value, 1) for size, value in found[name].items()},
            "largest_change": round(float(np.abs(expit(odds[name]) - expit(exact)).max()), 5),
            # At the operating point where they are the most.
            "decisions_changed": max(
                int(np.count_nonzero((odds[name] >= limit) != (exact >= limit))) for limit in limits
            ),
            **costs[name],
        }
        for name in found
    ]
    again = light.rounds_too_much(torch.from_numpy(odds[ROUNDED])) if light else torch.zeros(1)
    for row in rows:
        print(row)
    write(
        "speed.json",
        {
            "model": metadata.sha256,
            "cells": len(sample),
            "against": EXACT,
            "timed": TIMED,
            "rounds": options.rounds,
            "calibrated_on": len(calibration),
            "shipped": SHIPPED,
            "asked_again": round(float(again.float().mean()), 4),
            "ways": rows,
            "zone": zone(detector, valid),
        },
    )


if __name__ == "__main__":
    main()
