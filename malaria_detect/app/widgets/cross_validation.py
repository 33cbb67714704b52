"""Cross-validation as HTML: how patients differ, and the effect of patient-level leakage."""

import os
from html import escape
from pathlib import Path

from malaria_detect import plots
from malaria_detect.app.widgets.base import figures
from malaria_detect.app.wording import FLATTERED
from malaria_detect.evaluation.cross_validation import (
    CrossValidation,
    CrossValidationError,
    Evaluation,
    read_evaluation,
)
from malaria_detect.metrics import worst_patients
from malaria_detect.metrics.formatting import (
    format_count,
    format_estimate,
    format_list,
    format_percent,
    format_points,
)


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
    """Figures of patients and of leakage, from ``reports/evaluation.json``; a sentence if it is missing."""
    evaluation, problem = open_evaluation(path)
    if evaluation is None:
        return problem
    grouped, random = evaluation.grouped, evaluation.random
    return figures(
        ("Patients", plots.patient_dots(grouped.patients), _read_patients(grouped)),
        (
            "Patient-level leakage",
            plots.patient_leakage(grouped.scores.estimates, random.scores.estimates, evaluation.leakage),
            _read_leakage(evaluation),
        ),
    ) + _corrected(grouped)


def _read_patients(grouped: CrossValidation) -> str:
    within = grouped.within
    worst = format_list(
        [
            f"{patient.group} ({format_percent(patient.accuracy)})"
            for patient in worst_patients(grouped.patients)
        ]
    )
    return (
        f"One dot per patient. For {within.hits:,} of {within.total:,} patients ({format_percent(within.value)}), the "
        "share of cells called parasitized is within 5 percentage points of the share labelled parasitized. Accuracy "
        f"is lowest for {worst}."
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
        f"On the {evaluation.leakage_cells:,} cells that both held out, accuracy with the random split differs by "
        f"{format_estimate(leakage, format_points)} percentage points: {found}. For a new patient, expect the accuracy "
        "of the cross-validation by patient."
    )


def _corrected(grouped: CrossValidation) -> str:
    if grouped.corrected_scores is None:
        return ""
    accuracy = format_estimate(grouped.corrected_scores.estimates["accuracy"], format_percent)
    cells = format_count(grouped.corrected_scores.cells, "cell")
    return (
        f"<p class='md-aside'>On corrected labels, accuracy of the cross-validation by patient is {accuracy}, {cells}; "
        f"{FLATTERED}.</p>"
    )
