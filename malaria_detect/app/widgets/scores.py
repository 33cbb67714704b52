"""Scores as HTML: the table with intervals and how to read each, and the figures of one operating point."""

from functools import partial
from html import escape

from malaria_detect import plots
from malaria_detect.app.widgets.base import figure
from malaria_detect.app.wording import FLATTERED
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
# Share of parasitized cells for which precision is worked out: half of the test cells are, on a slide few are.
FEW = 0.01


def point_scores(metadata: ModelMetadata, point: OperatingPoint) -> str:
    """The scores of an operating point on test patients: a sentence and a table."""
    scores = point.test
    return (
        f"<p class='md-lead'>At “{escape(point.name)}” ({format_threshold_percent(point.threshold)} and more is called "
        f"parasitized), on {format_count(scores.cells, 'cell')} of {format_count(scores.patients, 'patient')} whom the "
        "model never saw:</p>"
        + score_table(scores)
        + "<p class='md-aside'>The intervals come from drawing the patients anew many times: they show how much a "
        "score depends on who happened to be among them. They say nothing of another laboratory. "
        "The labels themselves are in part wrong, so that no honest score can be "
        f"{format_percent(1.0)}.{_corrected(metadata)}</p>"
    )


def _corrected(metadata: ModelMetadata) -> str:
    scores = metadata.corrected_test
    if scores is None:
        return ""
    accuracy = scores.estimates["accuracy"]
    return (
        f" On corrected labels accuracy at “{escape(metadata.default_point)}” is {value('accuracy', accuracy.value)} "
        f"({interval('accuracy', accuracy)}) over the {format_count(scores.cells, 'cell')} whose corrected label is "
        f"certain; {FLATTERED}."
    )


def point_figures(metadata: ModelMetadata, point: OperatingPoint) -> str:
    """The confusion matrix of an operating point, and the ROC curve with all of them."""
    return (
        "<div class='md-figures'>"
        + figure(
            f"Confusion matrix at “{point.name}”",
            plots.confusion_matrix(point.test),
            _read_matrix(point.test),
        )
        + figure(
            "ROC curve",
            plots.roc_curve(
                point.test,
                metadata.roc,
                {
                    one.name: (
                        one.test.estimates["sensitivity"].value,
                        one.test.estimates["specificity"].value,
                    )
                    for one in metadata.operating_points
                },
            ),
            _read_roc(point.test),
        )
        + "</div>"
    )


def score_table(scores: Scores) -> str:
    """All scores with counts and intervals, and how to read each, as an HTML table.

    The roles stand there because narrow pages lay rows out as blocks, which takes a table's meaning away.
    """
    rows = "".join(
        f"<tr role='row'><th scope='row' role='rowheader'>{NAMES.get(name, escape(name))}</th>"
        f"<td role='cell' data-name='Value'>{value(name, estimate.value)}</td>"
        f"<td role='cell' data-name='95 % interval'>{interval(name, estimate)}</td>"
        f"<td role='cell' data-name='Cells'>{_counts(estimate)}</td>"
        f"<td role='cell' class='md-reading'>{escape(_reading(name, estimate, scores))}</td></tr>"
        for name, estimate in scores.estimates.items()
    )
    return (
        "<table class='md-table' role='table'><caption class='md-hidden'>Scores on test patients</caption><thead><tr>"
        "<th scope='col'>Score</th><th scope='col'>Value</th><th scope='col'>95 % interval</th>"
        f"<th scope='col'>Cells</th><th scope='col'>How to read it</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def value(name: str, number: float) -> str:
    """A score's value: shares of cells as per cent, all others as plain numbers; a dash where it is not defined."""
    return format_percent(number) if name in SHARES else format_score(number, 4)


def interval(name: str, estimate: Estimate) -> str:
    """A score's 95 % interval."""
    return format_interval(estimate, partial(value, name))


def _counts(estimate: Estimate) -> str:
    return "" if estimate.total is None else f"{estimate.hits:,} of {estimate.total:,}"


def _reading(name: str, estimate: Estimate, scores: Scores) -> str:
    match name:
        case "accuracy":
            return f"Called as labelled; {scores.false_negative + scores.false_positive:,} cells were not."
        case "sensitivity":
            return f"Of the parasitized cells, those called so; {scores.false_negative:,} were missed."
        case "specificity":
            return f"Of the uninfected cells, those called so; {scores.false_positive:,} were false alarms."
        case "precision":
            return f"Of the cells called parasitized, those that are – in these cells. {_few(scores)}"
        case "f1":
            return "Precision and sensitivity in one number (their harmonic mean); 1 is best."
        case "mcc":
            return (
                "How well calls and labels go together, both classes counted alike; 1 is best, 0 is guessing."
            )
        case "roc_auc":
            return (
                f"Of 100 pairs of a parasitized and an uninfected cell, about {100 * estimate.value:.1f} get the "
                "higher probability where it belongs; 50 is guessing."
            )
        case "average_precision":
            guessing = scores.parasitized / scores.cells
            return f"Precision averaged over all thresholds; 1 is best, guessing gives {guessing:.4f}."
        case "brier":
            return "Mean squared distance of the probability from the label; 0 is best, always one half gives 0.25."
        case "ece":
            return (
                "How far a probability lies, on average, from the share of cells that turn out so; 0 is best "
                "(expected calibration error)."
            )
    return ""


def _few(scores: Scores) -> str:
    """Precision where few cells are parasitized, by Bayes' rule from sensitivity and specificity."""
    found = FEW * scores.estimates["sensitivity"].value
    alarms = (1 - FEW) * (1 - scores.estimates["specificity"].value)
    if not found + alarms > 0:
        return ""
    right = format_percent(found / (found + alarms))
    return f"On a slide with {format_percent(FEW)} of the cells infected it would be about {right}."


def _read_matrix(scores: Scores) -> str:
    return (
        f"Rows are the labels, columns what the model says: {scores.false_negative:,} parasitized cells were missed, "
        f"{scores.false_positive:,} uninfected ones called parasitized; all others lie on the diagonal."
    )


def _read_roc(scores: Scores) -> str:
    sensitivity, specificity = scores.estimates["sensitivity"].value, scores.estimates["specificity"].value
    return (
        "Each point is one threshold: the further up, the more parasitized cells are found; the further right, the "
        "more uninfected ones are called parasitized. The chosen operating point finds "
        f"{format_percent(sensitivity)} and gives {format_percent(1 - specificity)} false alarms."
    )
