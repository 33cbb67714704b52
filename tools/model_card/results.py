"""The result files that the report is written from, read and checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.json_io import to_json
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.designs.comparison import Comparison, read_comparison
from malaria_detect.evaluation.cross_validation import (
    THRESHOLD,
    CrossValidation,
    CrossValidationError,
    Evaluation,
    HeldOut,
    Run,
    compare,
    read_evaluation,
    read_run,
)
from malaria_detect.evaluation.literature import Published, read_published
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.metrics import Scores, count_patients
from tools.model_card import ReportError
from tools.model_card.serving import SERVE_SPEED

EVALUATION = "evaluation.json"
GROUPED, RANDOM = "crossval-grouped.csv", "crossval-random.csv"
TRAIN_SPEED, PREDICT_SPEED = "train-speed.json", "predict-speed.json"
BOOTSTRAP_SPEED, EXPLAIN_SPEED = "bootstrap-speed.json", "explain-speed.json"
WAYS_SPEED = "speed.json"
PUBLISHED = "published.json"
DESIGNS, BY_AUTHOR = "compare.json", "compare-author.json"


@dataclass(frozen=True)
class Results:
    """Everything that the report may say.

    Attributes
    ----------
    metadata : ModelMetadata
        Of the shipped model.
    evaluation : Evaluation
        Cross-validation with patients apart and at random.
    summed_up : bool
        Whether it had to be made from the held-out cells, because the file was of others or missing.
    held_out : HeldOut
        The cells of the former, one by one.
    train_speed, predict_speed, bootstrap_speed, explain_speed, serve_speed, ways_speed : dict
        What ``make bench``, ``make bench-serve`` and ``make bench-ways`` wrote.
    published : Published
        What others wrote.
    designs, by_author : Comparison or None
        What ``malaria-detect compare`` found on the same split by patient, and on each author's own split; None
        where it did not run.
    """

    metadata: ModelMetadata
    evaluation: Evaluation
    summed_up: bool
    held_out: HeldOut
    train_speed: dict[str, Any]
    predict_speed: dict[str, Any]
    bootstrap_speed: dict[str, Any]
    explain_speed: dict[str, Any]
    serve_speed: dict[str, Any]
    ways_speed: dict[str, Any]
    published: Published
    designs: Comparison | None
    by_author: Comparison | None


def read_results(model: Path, reports: Path, sum_up: bool = True) -> Results:
    """Read all result files.

    Parameters
    ----------
    model : Path
        The exported learner, whose metadata lies beside it.
    reports : Path
        The folder of the other files.
    sum_up : bool
        Whether ``evaluation.json`` may be made anew, which takes some seconds, where it is not of the held-out cells
        that lie beside it. Nothing is written.

    Raises
    ------
    MalariaDetectError
        Where a file is missing or damaged; :class:`ReportError` where evaluation.json is not of the held-out cells and
        may not be made anew.
    """
    grouped, random = read_run(reports / GROUPED), read_run(reports / RANDOM)
    evaluation = _evaluation(reports / EVALUATION)
    fits = (
        evaluation is not None
        and _sums_up(evaluation.grouped, grouped)
        and _sums_up(evaluation.random, random)
    )
    if evaluation is None or not fits:
        if not sum_up:
            raise ReportError(
                f"{reports / EVALUATION} is not of the held-out cells beside it: run `make report`."
            )
        evaluation = compare(grouped, random)
    return Results(
        metadata=read_metadata(model),
        evaluation=evaluation,
        summed_up=not fits,
        held_out=grouped[0],
        train_speed=_read_benchmark(reports / TRAIN_SPEED),
        predict_speed=_read_benchmark(reports / PREDICT_SPEED),
        bootstrap_speed=_read_benchmark(reports / BOOTSTRAP_SPEED),
        explain_speed=_read_benchmark(reports / EXPLAIN_SPEED),
        serve_speed=_read_benchmark(reports / SERVE_SPEED, "bench-serve"),
        ways_speed=_read_benchmark(reports / WAYS_SPEED, "bench-ways"),
        published=read_published(reports / PUBLISHED),
        designs=_comparison(reports / DESIGNS),
        by_author=_comparison(reports / BY_AUTHOR),
    )


def _evaluation(path: Path) -> Evaluation | None:
    try:
        return read_evaluation(path)
    except CrossValidationError:
        return None


def _comparison(path: Path) -> Comparison | None:
    """A damaged file is an error, a missing one is not: training other designs takes hours."""
    return read_comparison(path) if path.is_file() else None


def _sums_up(summary: CrossValidation, files: tuple[HeldOut, Run]) -> bool:
    """Whether a summary is of these cells: by every patient's calls, and by all probabilities' Brier score."""
    held_out, run = files
    # As text: an undefined score of an epoch, a NaN, is equal to nothing.
    if to_json(summary.run) != to_json(run):
        return False
    labels, probability, groups = held_out.parasitized, held_out.p, list(held_out.groups)
    certain = np.array([label != "" for label in held_out.corrected])
    corrected = np.array(held_out.corrected)[certain] == CLASSES[0]
    return (
        summary.patients == count_patients(labels, probability >= THRESHOLD, groups)
        and _scored(summary.scores, labels, probability)
        and (
            held_out.corrected == held_out.labels
            if summary.corrected_scores is None
            else _scored(summary.corrected_scores, corrected, probability[certain])
        )
    )


def _scored(scores: Scores, labels: NDArray[np.bool_], probability: NDArray[np.float64]) -> bool:
    brier = np.mean((probability - labels) ** 2)
    return scores.cells == len(labels) and bool(abs(brier - scores.estimates["brier"].value) < 1e-9)


def _read_benchmark(path: Path, target: str = "bench") -> dict[str, Any]:
    written = f"`make {target}` writes it"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path} cannot be read ({error.strerror}): {written}.") from error
    except ValueError as error:
        raise ReportError(f"{path} is no report of a benchmark ({error}): {written}.") from error
    if not isinstance(content, dict):
        raise ReportError(f"{path} is no report of a benchmark: {written}.")
    return content
