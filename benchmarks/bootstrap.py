"""Speed of the intervals of all scores, compared with a loop over resamples that calls scikit-learn.

    python -m benchmarks.bootstrap [--resamples 2000] [--plain 20] [--rounds 3]

Uses the cells of ``reports/crossval-grouped.csv``. The loop runs fewer resamples, because it is slow, and without the
calibration error, which scikit-learn does not have.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
from sklearn import metrics

from benchmarks.results import REPORTS, machine, write
from malaria_detect.evaluation.cross_validation import THRESHOLD, HeldOut, read_held_out
from malaria_detect.metrics import score


def plain(held_out: HeldOut, resamples: int) -> None:
    """Intervals from the loop in most tutorials."""
    labels, probability, groups = held_out.parasitized, held_out.p, np.array(held_out.groups)
    cells = {group: np.flatnonzero(groups == group) for group in np.unique(groups)}
    random = np.random.default_rng(0)
    scores = []
    for _ in range(resamples):
        drawn = np.concatenate([cells[group] for group in random.choice(list(cells), len(cells))])
        truth, given = labels[drawn], probability[drawn]
        called = given >= THRESHOLD
        scores.append(
            [
                metrics.accuracy_score(truth, called),
                metrics.recall_score(truth, called),
                metrics.recall_score(truth, called, pos_label=False),
                metrics.precision_score(truth, called),
                metrics.f1_score(truth, called),
                metrics.matthews_corrcoef(truth, called),
                metrics.roc_auc_score(truth, given),
                metrics.average_precision_score(truth, given),
                metrics.brier_score_loss(truth, given),
            ]
        )
    np.percentile(scores, [2.5, 97.5], axis=0)


def ours(held_out: HeldOut, resamples: int) -> None:
    """Intervals as in all reports."""
    score(held_out.parasitized, held_out.p, held_out.groups, THRESHOLD, resamples=resamples)


def main() -> None:
    """Time both, print the ratio and write it to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--plain", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    held_out = read_held_out(REPORTS / "crossval-grouped.csv")
    ways: tuple[tuple[Callable[[HeldOut, int], None], int], ...] = (
        (ours, options.resamples),
        (plain, options.plain),
    )
    times: dict[str, list[float]] = {run.__name__: [] for run, _ in ways}
    for _, (run, resamples) in itertools.product(range(options.rounds), ways):
        began = time.perf_counter()
        run(held_out, resamples)
        times[run.__name__].append((time.perf_counter() - began) / resamples)
    each = {name: statistics.median(values) for name, values in times.items()}
    ratio = each["plain"] / each["ours"]
    cells, patients = len(held_out.files), len(set(held_out.groups))
    seconds = options.resamples * each["ours"]
    print(
        f"{options.resamples} resamples of {cells} cells of {patients} patients: {seconds:.1f} s, {ratio:.0f} times as "
        f"fast as a loop over scikit-learn ({machine()['processor']})"
    )
    write(
        "bootstrap-speed.json",
        {
            "cells": cells,
            "patients": patients,
            "resamples": options.resamples,
            "seconds": round(seconds, 2),
            "ratio_to_plain": round(ratio, 1),
        },
    )


if __name__ == "__main__":
    main()
