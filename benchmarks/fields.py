"""Speed and memory of the analysis of a whole field, compared with ``learn.predict`` on the same cells.

    python -m benchmarks.fields [--cells DIR] [--field FILE] [--model export.pkl] [--rounds 3]

Without a photograph a synthetic field of 16 megapixels with about 210 red cells is drawn from the cells. The analysis
and the plain way, a loop of ``learn.predict`` over the cells that were cut out, run in turns in one process.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fastai.vision.all import Learner, load_learner

from benchmarks.results import write
from malaria_detect.data.images import read_field
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.fields.analyse import FieldAnalyser, load_analyser
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.cut_outs import cut_outs_of
from malaria_detect.fields.synthetic import FieldSettings, synthetic_field

# As NLM's fields: a round view of about 2,950 px with cells of about 135 px.
DRAWN = FieldSettings(5312, 2988, 135.0, coverage=0.26, eyepiece=True)


def field_pixels(options: argparse.Namespace) -> np.ndarray:
    """The photograph, or a synthetic field; uint8, shape (height, width, 3)."""
    if options.field:
        return np.asarray(read_field(options.field))
    cut_outs = cut_outs_of(find_cells(options.cells).cells, seed=0, side=160, most=100)
    return synthetic_field(cut_outs, 1, DRAWN).pixels


def peak_megabytes() -> float:
    """Most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seconds(run: Callable[[], object]) -> float:
    """Time of one run."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def plain(learner: Learner, pixels: np.ndarray, analyser: FieldAnalyser) -> None:
    """A loop of ``learn.predict`` over the red cells of a field."""
    with learner.no_bar(), learner.no_logging():
        for cell in analyser.finder.find(pixels):
            if cell.kind == RED_CELL:
                learner.predict(np.asarray(cut_cell(pixels, cell)))


def main() -> None:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--field")
    parser.add_argument("--model", default="export.pkl")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pixels = field_pixels(options)
    analyser = load_analyser(options.model)
    loaded = peak_megabytes()
    result = analyser.analyse_field(pixels)
    added = peak_megabytes() - loaded
    learner = load_learner(Path(options.model))
    ways: dict[str, Callable[[], object]] = {
        "find": lambda: analyser.finder.find(pixels),
        "analyse": lambda: analyser.analyse_field(pixels),
        "learn.predict": lambda: plain(learner, pixels, analyser),
    }
    times = {
        name: statistics.median(seconds(run) for _ in range(options.rounds)) for name, run in ways.items()
    }
    cells = sum(cell.is_red for cell in result.cells)
    numbers = {
        "megapixels": round(pixels.shape[0] * pixels.shape[1] / 1e6, 1),
        "red_cells": cells,
        "seconds": {name: round(value, 3) for name, value in times.items()},
        "cells_per_second": round(cells / times["analyse"], 1),
        "times_as_fast": round(times["learn.predict"] / times["analyse"], 2),
        "peak_megabytes_above_loaded": round(added),
    }
    for name, value in numbers.items():
        print(f"{name.replace('_', ' ')}: {value}")
    write("field-speed.json", numbers)


if __name__ == "__main__":
    main()
