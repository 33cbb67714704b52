"""Scores as HTML: the accuracy table, and all scores of one operating point with how to read them."""

import math
from html import escape

from malaria_detect.app.widgets.base import table
from malaria_detect.app.wording import FLATTERED, count, percent, threshold
from malaria_detect.evaluation.cross_validation import Evaluation
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.metrics import Estimate, Scores

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
    scored = [
        ("Test patients", f"this model at “{point.name}”, on patients that it was not trained on", point.test)
    ]
    if evaluation is not None:
        folds, random = evaluation.grouped.run.folds, evaluation.random
        each = f"{folds} networks, each tested on patients that it was not trained on"
        scored.append(("Cross-validation by patient", each, evaluation.grouped.scores))
        both = "a network tested on patients that it was also trained on"
        scored.append(("Random split", both, random.scores))
    rows = []
    for name, how, scores in scored:
        stamp = f" {STAMP}" if name == "Random split" else ""
        cells = f"{count(scores.cells, 'cell')}, {count(scores.patients, 'patient')}"
        title = f"{name}{stamp}<div class='md-how'>{escape(how)} ({cells})</div>"
        rows.append((title, [_with_interval(key, scores.estimates[key]) for key in FIRST]))
    leakage = (
        " A random split puts cells of one patient into both training and test. Its scores are too high for a new "
        "patient; they are shown because most published results were measured in this way."
        if evaluation is not None
        else ""
    )
    return (
        "<h3>How accurate is it?</h3>"
        + table("Accuracy", ("Measured on", *(NAMES[key] for key in FIRST)), rows)
        + "<p class='md-aside'>In brackets: 95 % confidence intervals, from the differences between patients. They do "
        f"not cover other laboratories, stains or microscopes.{leakage}</p>"
    )


def score_details(metadata: ModelMetadata, point: OperatingPoint) -> str:
    """All scores of an operating point on test patients: a sentence and a table."""
    scores = point.test
    return (
        f"<p>At the operating point “{escape(point.name)}” (threshold {threshold(point)}), on "
        f"{count(scores.cells, 'cell')} of {count(scores.patients, 'patient')} that the model was not trained on:</p>"
        + score_table(scores)
        + "<p class='md-aside'>Some of the published labels are wrong, so even a perfect model would not reach "
        f"{percent(1.0)}.{_corrected(metadata)}</p>"
    )


def _corrected(metadata: ModelMetadata) -> str:
    scores = metadata.corrected_test
    if scores is None:
        return ""
    return (
        f" On corrected labels, accuracy at “{escape(metadata.default_point)}” is "
        f"{_with_interval('accuracy', scores.estimates['accuracy'])} ({count(scores.cells, 'cell')}); {FLATTERED}."
    )


def score_table(scores: Scores) -> str:
    """All scores with intervals, counts, and how to read them, as an HTML table."""
    rows = [
        (
            NAMES.get(name, escape(name)),
            [
                value(name, estimate.value),
                interval(name, estimate),
                "" if estimate.total is None else f"{estimate.hits:,} of {estimate.total:,}",
                escape(_reading(name, estimate, scores)),
            ],
        )
        for name, estimate in scores.estimates.items()
    ]
    return table("Scores on test patients", ("Score", "Value", "95 % interval", "Cells", ""), rows)


def value(name: str, number: float) -> str:
    """The value of a score: a percentage for shares of cells, a plain number for others; a dash if undefined."""
    if math.isnan(number):
        return "–"
    return percent(number) if name in SHARES else f"{number:.4f}"


def interval(name: str, estimate: Estimate) -> str:
    """The 95 % interval of a score."""
    if math.isnan(estimate.low):
        return "–"
    return f"{value(name, estimate.low)} to {value(name, estimate.high)}"


def _with_interval(name: str, estimate: Estimate) -> str:
    number = value(name, estimate.value)
    if math.isnan(estimate.low):
        return number
    return f"{number} <span class='md-interval'>({interval(name, estimate)})</span>"


def _reading(name: str, estimate: Estimate, scores: Scores) -> str:
    wrong = scores.false_negative + scores.false_positive
    guessing = scores.parasitized / scores.cells
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
        "average_precision": f"Precision averaged over all thresholds; 1 is best, {guessing:.4f} is guessing.",
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
    right = percent(found / (found + alarms))
    return f"On a slide with {percent(FEW)} parasitized cells it would be about {right}."
