"""Scores as HTML: the accuracy table, and all scores of one operating point with how to read them."""

import math
from html import escape

from malaria_detect.app.widgets.base import table
from malaria_detect.app.wording import FLATTERED
from malaria_detect.evaluation.cross_validation import Evaluation
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.metrics.formatting import (
    format_count,
    format_interval,
    format_percent,
    format_score,
    format_threshold_percent,
)

NAMES = {
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "mcc": "MCC",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "ece": "Calibration error",
}
SHARES = ("accuracy", "sensitivity", "specificity", "precision")
FIRST = ("accuracy", "sensitivity", "specificity", "roc_auc")
STAMP = "<span class='md-stamp'>patient-level leakage</span>"
# Share of parasitized cells at which precision is also shown: half of the test cells are, on a slide few are.
FEW = 0.01


def accuracy_table(point: OperatingPoint, evaluation: Evaluation | None) -> str:
    """The three ways in which accuracy was measured, one row each, with 95 % intervals."""
    measured = [
        ("Test patients", f"this model at “{point.name}”, on patients that it was not trained on", point.test)
    ]
    leakage = ""
    if evaluation is not None:
        grouped, random = evaluation.grouped, evaluation.random
        each = f"{grouped.run.folds} networks, each tested on patients that it was not trained on"
        both = "a network tested on patients that it was also trained on"
        measured.append(("Cross-validation by patient", each, grouped.scores))
        measured.append((f"Random split {STAMP}", both, random.scores))
        leakage = (
            " A random split puts cells of one patient into both training and test. Its scores are too high for a new "
            "patient; they are shown because most published results were measured in this way."
        )
    rows = [
        (
            f"{name}<div class='md-how'>{escape(how)} ({format_count(scores.cells, 'cell')}, "
            f"{format_count(scores.patients, 'patient')})</div>",
            [score_with_interval(key, scores.estimates[key]) for key in FIRST],
        )
        for name, how, scores in measured
    ]
    return (
        "<h3>How accurate is it?</h3>"
        + table("Accuracy", ("Measured on", *(NAMES[key] for key in FIRST)), rows)
        + "<p class='md-aside'>In brackets: 95 % confidence intervals, from the differences between patients. They do "
        f"not cover other laboratories, stains or microscopes.{leakage}</p>"
    )


def score_details(metadata: ModelMetadata, point: OperatingPoint) -> str:
    """All scores of an operating point on test patients, with intervals, counts, and how to read them."""
    scores = point.test
    rows = [
        (
            NAMES.get(name, escape(name)),
            [
                score_with_interval(name, estimate),
                "" if estimate.total is None else f"{estimate.hits:,} of {estimate.total:,}",
                escape(_reading(name, estimate, scores)),
            ],
        )
        for name, estimate in scores.estimates.items()
    ]
    corrected = ""
    if metadata.corrected_test is not None:
        accuracy = score_with_interval("accuracy", metadata.corrected_test.estimates["accuracy"])
        corrected = (
            f" On corrected labels, accuracy at “{escape(metadata.default_point)}” is {accuracy} "
            f"({format_count(metadata.corrected_test.cells, 'cell')}); {FLATTERED}."
        )
    return (
        f"<p>At the operating point “{escape(point.name)}” (threshold {format_threshold_percent(point.threshold)}), on "
        f"{format_count(scores.cells, 'cell')} of {format_count(scores.patients, 'patient')} that the model was not "
        "trained on:</p>"
        + table("Scores on test patients", ("Score", "Value (95 % interval)", "Cells", ""), rows)
        + "<p class='md-aside'>Some of the published labels are wrong, so even a perfect model would not reach "
        f"{format_percent(1.0)}.{corrected}</p>"
    )


def score_with_interval(name: str, estimate: Estimate) -> str:
    """A score, as a percentage if it is a share of cells, with its 95 % interval if it has one."""
    number = _written(name, estimate.value)
    if math.isnan(estimate.low):
        return number
    interval = format_interval(estimate, lambda end: _written(name, end))
    return f"{number} <span class='md-interval'>({interval})</span>"


def _written(name: str, value: float) -> str:
    return format_percent(value) if name in SHARES else format_score(value, 4)


def _reading(name: str, estimate: Estimate, scores: Scores) -> str:
    wrong = scores.false_negative + scores.false_positive
    readings = {
        "accuracy": f"Share of all cells called as labelled; {wrong:,} were not.",
        "sensitivity": f"Share of the parasitized cells called parasitized; {scores.false_negative:,} were missed.",
        "specificity": f"Share of the uninfected cells called uninfected; {scores.false_positive:,} were false alarms.",
        "precision": f"Share of the cells called parasitized that are parasitized. {_few(scores)}",
        "f1": "Precision and sensitivity in one number (harmonic mean); 1 is best.",
        "mcc": "Agreement of calls and labels (Matthews correlation); 1 is best, 0 is guessing.",
        "roc_auc": (
            "Of a parasitized and an uninfected cell, the parasitized one gets the higher probability in "
            f"{100 * estimate.value:.1f} of 100 pairs; 50 is guessing."
        ),
        "average_precision": "Precision averaged over all thresholds; 1 is best.",
        "brier": "Mean squared difference between probability and label; 0 is best.",
        "ece": "Mean difference between a probability and how often it is right; 0 is best.",
    }
    return readings.get(name, "")


def _few(scores: Scores) -> str:
    """Precision if few cells are parasitized, by Bayes' rule from sensitivity and specificity."""
    found = FEW * scores.estimates["sensitivity"].value
    alarms = (1 - FEW) * (1 - scores.estimates["specificity"].value)
    if not found + alarms > 0:
        return ""
    right = format_percent(found / (found + alarms))
    return f"On a slide with {format_percent(FEW)} parasitized cells it would be about {right}."
