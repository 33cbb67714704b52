"""The tab "How good is it": first two figures and the accuracy table, then details that can be unfolded."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from malaria_detect import plots
from malaria_detect.app.widgets.base import Column, Text, figure
from malaria_detect.app.widgets.cross_validation import leakage_details, open_evaluation
from malaria_detect.app.widgets.designs import designs_details
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.parasitemia import slide_details
from malaria_detect.app.widgets.scores import accuracy_table, score_details
from malaria_detect.app.wording import NOT_CALIBRATED, percent
from malaria_detect.designs.comparison import DESIGNS
from malaria_detect.inference.metadata import Epoch, ModelMetadata, OperatingPoint
from malaria_detect.metrics import Scores


class ScoreReport(Column):
    """How good the model is at the chosen operating point.

    Parameters
    ----------
    metadata : ModelMetadata
    choice : OperatingPointChoice, optional
        Shared with other widgets; by default the report has its own.
    evaluation : path
        Summary of the cross-validation.
    comparison : path, optional
        Result of ``malaria-detect compare``; by default ``compare.json`` in the folder of `evaluation`.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        choice: OperatingPointChoice | None = None,
        evaluation: str | os.PathLike[str] = "reports/evaluation.json",
        comparison: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.choice = choice = choice or OperatingPointChoice(metadata)
        compared = Path(comparison or Path(evaluation).with_name(DESIGNS))
        self.at_point = (
            Text(lambda: first_figures(metadata, choice.point), at_once=True),
            Text(lambda: _accuracy(choice.point, evaluation), at_once=True),
            Text(lambda: _scores(metadata, choice.point), title="All scores and the ROC curve"),
        )
        figures, accuracy, scores = self.at_point
        self.always = (
            Text(lambda: slide_details(metadata), title="Parasitemia: what it means for a slide"),
            Text(
                lambda: leakage_details(evaluation),
                title="Differences between patients, and patient-level leakage",
            ),
            Text(lambda: designs_details(compared, metadata), title="Other network designs"),
            Text(lambda: training_details(metadata), title="Calibration and training"),
        )
        super().__init__([figures, choice, accuracy, scores, *self.always], **kwargs)
        choice.observe(self._renew, "chosen")

    def _renew(self, _change: object) -> None:
        for part in self.at_point:
            part.renew()


def first_figures(metadata: ModelMetadata, point: OperatingPoint) -> str:
    """The confusion matrix of an operating point and the loss curves."""
    scores = point.test
    counts = (scores.true_positive, scores.false_negative, scores.false_positive, scores.true_negative)
    averaged = metadata.settings.get("average_epochs", 0)
    return (
        "<h2>How good is it</h2><div class='md-figures'>"
        + _matrix(point.name, scores.threshold, scores.patients, counts)
        + _loss(metadata.history, averaged)
        + "</div>"
    )


# Drawing takes most of the time that the page needs: a server that forks its kernels does it once for all of them.
@lru_cache(maxsize=16)
def _matrix(name: str, threshold: float, patients: int, counts: tuple[int, int, int, int]) -> str:
    found, missed, alarms, passed = counts
    scores = Scores(sum(counts), patients, found + missed, threshold, *counts, estimates={})
    return figure(
        f"Confusion matrix at “{name}”",
        plots.confusion_matrix(scores),
        f"Cells of test patients. The model was right about {found + passed:,} cells, missed {missed:,} parasitized "
        f"cells, and called {alarms:,} uninfected cells parasitized.",
    )


@lru_cache(maxsize=16)
def _loss(history: tuple[Epoch, ...], averaged: int) -> str:
    last = history[-1]
    averages = f" The model itself is the average over the last {averaged} epochs." if averaged else ""
    return figure(
        "Loss during training",
        plots.loss_curves(history),
        f"Lower is better. After {len(history)} epochs the loss is {last.train_loss:.3f} on training cells and "
        f"{last.valid_loss:.3f} on validation patients. If only the validation loss rose, the model would be "
        f"overfitting.{averages}",
    )


def _accuracy(point: OperatingPoint, path: str | os.PathLike[str]) -> str:
    evaluation, problem = open_evaluation(path)
    return accuracy_table(point, evaluation) + problem


def _scores(metadata: ModelMetadata, point: OperatingPoint) -> str:
    rates = {one.name: _rates(one) for one in metadata.operating_points}
    sensitivity, specificity = rates[point.name]
    return (
        score_details(metadata, point)
        + "<div class='md-figures'>"
        + figure(
            "ROC curve",
            plots.roc_curve(point.test, metadata.roc, rates),
            "Each point of the curve is a threshold. Further up, more parasitized cells are found; further right, more "
            f"uninfected cells are called parasitized. “{point.name}” finds {percent(sensitivity)} of the parasitized "
            f"cells, with {percent(1 - specificity)} false alarms.",
        )
        + "</div>"
    )


def _rates(point: OperatingPoint) -> tuple[float, float]:
    return point.test.estimates["sensitivity"].value, point.test.estimates["specificity"].value


def training_details(metadata: ModelMetadata) -> str:
    """How far the probabilities can be trusted, and accuracy during training."""
    return (
        "<div class='md-figures'>"
        + figure(
            "Calibration",
            plots.reliability_diagram(metadata.reliability_raw, metadata.reliability),
            _read_calibration(metadata),
        )
        + figure(
            "Accuracy during training", plots.accuracy_curves(metadata.history), _read_accuracy(metadata)
        )
        + "</div>"
    )


def _read_calibration(metadata: ModelMetadata) -> str:
    if not metadata.calibrated:
        return NOT_CALIBRATED
    after = metadata.point().test.estimates["ece"]
    return (
        "On test patients. The closer the dots are to the dotted line, the better a probability agrees with how often "
        f"it is right. The calibration error is {after.value:.4f} ({after.low:.4f} to {after.high:.4f}); before "
        f"calibration it was {metadata.ece_raw:.4f}."
    )


def _read_accuracy(metadata: ModelMetadata) -> str:
    history, averaged = metadata.history, metadata.settings.get("average_epochs", 0)
    best = max(history, key=lambda epoch: epoch.accuracy)
    read = (
        f"Accuracy on validation patients after each epoch: {percent(history[-1].accuracy)} after the last epoch, "
        f"{percent(best.accuracy)} after the best one (epoch {best.epoch})."
    )
    if averaged:
        accuracy = metadata.point().validation.estimates["accuracy"].value
        read += (
            f" The model, the average over the last {averaged} epochs, reaches {percent(accuracy)} at "
            f"“{metadata.default_point}”; this threshold was chosen on the same patients."
        )
    return read
