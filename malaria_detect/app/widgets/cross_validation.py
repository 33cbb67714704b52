"""Cross-validation as HTML: how patients differ, and what a random split hides."""

import os
from html import escape
from pathlib import Path

from malaria_detect import plots
from malaria_detect.app.widgets.base import figure, table
from malaria_detect.app.widgets.scores import NAMES, SHARES, interval, value
from malaria_detect.app.wording import FLATTERED, count, percent
from malaria_detect.evaluation.cross_validation import (
    CrossValidation,
    CrossValidationError,
    Evaluation,
    read_evaluation,
)
from malaria_detect.metrics import Estimate, worst_patients
from malaria_detect.metrics.formatting import joined, points, signed

COMPARED = ("accuracy", "sensitivity", "specificity", "f1", "mcc", "roc_auc")


def open_evaluation(path: str | os.PathLike[str]) -> tuple[Evaluation | None, str]:
    """The summary of a cross-validation, or None and a paragraph that says why there is none."""
    if not Path(path).is_file():
        return None, (
            "<p class='md-aside'>This model has no cross-validation yet. Run <code>malaria-detect evaluate</code> and "
            "<code>make report</code>.</p>"
        )
    try:
        return read_evaluation(path), ""
    except CrossValidationError as error:
        return None, f"<p class='md-aside'>{escape(str(error))}</p>"


def leakage_details(path: str | os.PathLike[str]) -> str:
    """Differences between patients, and the effect of patient-level leakage; a sentence if the file is missing.

    Parameters
    ----------
    path : path
        ``reports/evaluation.json``.
    """
    evaluation, problem = open_evaluation(path)
    if evaluation is None:
        return problem
    grouped = evaluation.grouped
    return (
        "<div class='md-figures'>"
        + figure("Patients", plots.patient_dots(grouped.patients), _read_patients(grouped))
        + figure(
            "Patient-level leakage",
            plots.patient_leakage(
                grouped.scores.estimates, evaluation.random.scores.estimates, evaluation.leakage
            ),
            _read_leakage(evaluation),
        )
        + "</div>"
        + _table(evaluation)
        + _corrected(grouped)
    )


def _read_patients(grouped: CrossValidation) -> str:
    within = grouped.within
    worst = joined(
        [f"{patient.group} ({percent(patient.accuracy)})" for patient in worst_patients(grouped.patients)]
    )
    return (
        f"One dot per patient. For {within.hits:,} of {within.total:,} patients ({percent(within.value)}), the share "
        "of cells called parasitized is within 5 percentage points of the share labelled parasitized. Accuracy is "
        f"lowest for {worst}."
    )


def _read_leakage(evaluation: Evaluation) -> str:
    leakage = evaluation.leakage["accuracy"]
    if leakage.low > 0:
        found = "more than differences between patients explain"
    elif leakage.high < 0:
        found = "lower, which leakage cannot explain"
    else:
        found = "within sampling error"
    return (
        f"On the same cells, accuracy with the random split differs by {points(leakage)} percentage points, {found}. "
        "For a new patient, expect the accuracy of the split by patient."
    )


def _table(evaluation: Evaluation) -> str:
    rows = [
        (
            NAMES[name],
            [
                *(
                    f"{value(name, run.scores.estimates[name].value)} <span class='md-interval'>"
                    f"({interval(name, run.scores.estimates[name])})</span>"
                    for run in (evaluation.grouped, evaluation.random)
                ),
                escape(_difference(name, evaluation.leakage[name])),
            ],
        )
        for name in COMPARED
    ]
    head = ("Score", "Split by patient", "Random split (patient-level leakage)", "Difference")
    return (
        table("Cross-validation", head, rows)
        + f"<p class='md-aside'>95 % intervals over patients, at a threshold of "
        f"{percent(evaluation.grouped.scores.threshold)}. The difference is random split minus split by patient, on the "
        f"{evaluation.leakage_cells:,} cells that both held out.</p>"
    )


def _difference(name: str, leakage: Estimate) -> str:
    return f"{points(leakage)} points" if name in SHARES else signed(leakage)


def _corrected(grouped: CrossValidation) -> str:
    if grouped.corrected_scores is None:
        return ""
    accuracy = grouped.corrected_scores.estimates["accuracy"]
    return (
        f"<p class='md-aside'>On corrected labels, accuracy of the split by patient is "
        f"{value('accuracy', accuracy.value)} ({interval('accuracy', accuracy)}), "
        f"{count(grouped.corrected_scores.cells, 'cell')}; {FLATTERED}.</p>"
    )
