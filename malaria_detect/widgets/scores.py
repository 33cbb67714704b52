"""The view "How good is it": figures and scores from the passport, each with a sentence that says how to read it."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from malaria_detect import plots
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.passport import Epoch, Passport
from malaria_detect.widgets.parts import Text
from malaria_detect.widgets.results import percent

NAMES = {
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "roc_auc": "ROC AUC",
}
# Share of parasitized cells for which precision is worked out: half of the test cells are, on a slide few are.
FEW = 0.01


class ScoreReport(Text):
    """Confusion matrix, ROC curve, training curves and the table of scores.

    Parameters
    ----------
    passport : Passport
    """

    def __init__(self, passport: Passport, **kwargs: Any) -> None:
        super().__init__(lambda: score_report(passport), **kwargs)


def score_report(passport: Passport) -> str:
    """The view as HTML; every number is the passport's."""
    scores = passport.test_scores
    figures = [
        _figure("Confusion matrix", plots.confusion_matrix(scores), _read_matrix(scores)),
        _figure("ROC curve", plots.roc_curve(scores), _read_roc(scores)),
        _figure("Loss per epoch", plots.loss_curves(passport.history), _read_loss(passport.history)),
        _figure(
            "Accuracy per epoch", plots.accuracy_curves(passport.history), _read_accuracy(passport.history)
        ),
    ]
    return "\n".join(
        [
            "<h2>How good is it</h2>",
            f"<p class='md-lead'>Measured on {scores.cells:,} cells of {scores.patients:,} patients whom the model "
            "never saw.</p>",
            score_table(scores),
            "<p class='md-aside'>The intervals come from drawing the patients anew many times: they show how much a "
            "score depends on who happened to be among them, and with so few patients are rather too narrow. They say "
            "nothing of another laboratory. A cell is called parasitized from a probability of "
            f"{percent(scores.threshold)} on. The labels themselves are in part wrong, so that no honest score can be "
            f"{percent(1.0)}.</p>",
            "<div class='md-figures'>",
            *figures,
            "</div>",
        ]
    )


def score_table(scores: Scores) -> str:
    """All scores with counts and intervals, and how to read each, as an HTML table.

    The roles stand there because narrow pages lay rows out as blocks, which takes a table's meaning away.
    """
    rows = "".join(
        f"<tr role='row'><th scope='row' role='rowheader'>{NAMES.get(name, escape(name))}</th>"
        f"<td role='cell' data-name='Value'>{_value(name, estimate.value)}</td>"
        f"<td role='cell' data-name='95 % interval'>{_interval(name, estimate)}</td>"
        f"<td role='cell' data-name='Cells'>{_counts(estimate)}</td>"
        f"<td role='cell' class='md-reading'>{escape(_reading(name, estimate, scores))}</td></tr>"
        for name, estimate in scores.estimates.items()
    )
    return (
        "<table class='md-table' role='table'><caption class='md-hidden'>Scores on test patients</caption><thead><tr>"
        "<th scope='col'>Score</th><th scope='col'>Value</th><th scope='col'>95 % interval</th>"
        f"<th scope='col'>Cells</th><th scope='col'>How to read it</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _figure(title: str, figure: Figure, sentence: str) -> str:
    svg = plots.to_svg(figure, f"{title}. {sentence}")
    return (
        f"<figure class='md-figure'><h3>{title}</h3>{svg}<figcaption>{escape(sentence)}</figcaption></figure>"
    )


def _value(name: str, value: float) -> str:
    """F1 and the area are no shares of cells: they stand as plain numbers."""
    if math.isnan(value):
        return "–"
    return f"{value:.4f}" if name in ("f1", "roc_auc") else percent(value)


def _interval(name: str, estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return "–"
    return f"{_value(name, estimate.low)} to {_value(name, estimate.high)}"


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
        case "roc_auc":
            return (
                f"Of 100 pairs of a parasitized and an uninfected cell, about {100 * estimate.value:.1f} get the "
                "higher probability where it belongs; 50 is guessing."
            )
    return ""


def _few(scores: Scores) -> str:
    """Precision where few cells are parasitized, by Bayes' rule from sensitivity and specificity."""
    found = FEW * scores.estimates["sensitivity"].value
    alarms = (1 - FEW) * (1 - scores.estimates["specificity"].value)
    if not found + alarms > 0:
        return ""
    right = percent(found / (found + alarms))
    return f"On a slide with {percent(FEW)} of the cells infected it would be about {right}."


def _read_matrix(scores: Scores) -> str:
    return (
        f"Rows are the labels, columns what the model says: {scores.false_negative:,} parasitized cells were missed, "
        f"{scores.false_positive:,} uninfected ones called parasitized; all others lie on the diagonal."
    )


def _read_roc(scores: Scores) -> str:
    sensitivity, specificity = scores.estimates["sensitivity"].value, scores.estimates["specificity"].value
    return (
        "Each point is one threshold: the further up, the more parasitized cells are found; the further right, the "
        "more uninfected ones are called parasitized. The model's own threshold finds "
        f"{percent(sensitivity)} and gives {percent(1 - specificity)} false alarms."
    )


def _read_loss(history: Sequence[Epoch]) -> str:
    last = history[-1]
    return (
        f"Lower is better. After {len(history)} epochs the loss is {last.train_loss:.3f} on training cells and "
        f"{last.valid_loss:.3f} on validation patients; were the second to rise while the first falls, the model "
        "would be learning by heart."
    )


def _read_accuracy(history: Sequence[Epoch]) -> str:
    best = max(history, key=lambda epoch: epoch.accuracy)
    return (
        "Share of the validation patients' cells that were called as labelled, after each epoch: "
        f"{percent(history[-1].accuracy)} at the end, {percent(best.accuracy)} at best (epoch {best.epoch})."
    )
