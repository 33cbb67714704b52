"""The tab "How good is it": first two figures and the accuracy table, then details that can be unfolded."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from malaria_detect import plots
from malaria_detect.app.widgets.base import Column, Text, figures
from malaria_detect.app.widgets.cross_validation import leakage_details, open_evaluation
from malaria_detect.app.widgets.designs import designs_details
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.parasitemia import slide_details
from malaria_detect.app.widgets.scores import accuracy_table, score_details
from malaria_detect.app.wording import NOT_CALIBRATED
from malaria_detect.designs.comparison import DESIGNS
from malaria_detect.inference.metadata import Epoch, ModelMetadata, OperatingPoint
from malaria_detect.metrics import Scores
from malaria_detect.metrics.formatting import format_estimate, format_percent, format_score


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
    shown = _first(point.name, (scores.threshold, scores.patients, counts), metadata.history, averaged)
    return f"<h2>How good is it</h2>{shown}"


# Drawing takes most of the time that the page needs; a server that forks its kernels does it once for all of them.
@lru_cache(maxsize=16)
def _first(
    name: str,
    matrix: tuple[float, int, tuple[int, int, int, int]],
    history: tuple[Epoch, ...],
    averaged: int,
) -> str:
    threshold, patients, (found, missed, alarms, passed) = matrix
    cells = found + missed + alarms + passed
    scores = Scores(cells, patients, found + missed, threshold, found, missed, alarms, passed, estimates={})
    last = history[-1]
    averages = f" The model is the average over the last {averaged} epochs." if averaged else ""
    return figures(
        (
            f"Confusion matrix at “{name}”",
            plots.confusion_matrix(scores),
            f"Cells of test patients. The model was right about {found + passed:,} cells, missed {missed:,} "
            f"parasitized cells, and called {alarms:,} uninfected cells parasitized.",
        ),
        (
            "Loss during training",
            plots.loss_curves(history),
            f"Lower is better. After {len(history)} epochs the loss is {last.train_loss:.3f} on training cells and "
            f"{last.valid_loss:.3f} on validation patients. If only the validation loss rose, the model would be "
            f"overfitting.{averages}",
        ),
    )


def _accuracy(point: OperatingPoint, path: str | os.PathLike[str]) -> str:
    evaluation, problem = open_evaluation(path)
    return accuracy_table(point, evaluation) + problem


def _scores(metadata: ModelMetadata, point: OperatingPoint) -> str:
    rates = {
        one.name: (one.test.estimates["sensitivity"].value, one.test.estimates["specificity"].value)
        for one in metadata.operating_points
    }
    sensitivity, specificity = rates[point.name]
    curve = (
        "ROC curve",
        plots.roc_curve(point.test, metadata.roc, rates),
        "Each point of the curve is a threshold. Further up, more parasitized cells are found; further right, more "
        f"uninfected cells are called parasitized. “{point.name}” finds {format_percent(sensitivity)} of the "
        f"parasitized cells, with {format_percent(1 - specificity)} false alarms.",
    )
    return score_details(metadata, point) + figures(curve)


def training_details(metadata: ModelMetadata) -> str:
    """How far the probabilities can be trusted, and accuracy during training."""
    return figures(
        (
            "Calibration",
            plots.reliability_diagram(metadata.reliability_raw, metadata.reliability),
            _read_calibration(metadata),
        ),
        ("Accuracy during training", plots.accuracy_curves(metadata.history), _read_accuracy(metadata)),
    )


def _read_calibration(metadata: ModelMetadata) -> str:
    if not metadata.calibrated:
        return NOT_CALIBRATED
    after = metadata.point().test.estimates["ece"]
    return (
        "On test patients. The closer the dots are to the dotted line, the better a probability agrees with how often "
        f"it is right. The calibration error is {format_estimate(after, _four)}; before "
        f"calibration it was {_four(metadata.ece_raw)}."
    )


def _read_accuracy(metadata: ModelMetadata) -> str:
    history, averaged = metadata.history, metadata.settings.get("average_epochs", 0)
    best = max(history, key=lambda epoch: epoch.accuracy)
    read = (
        f"Accuracy on validation patients after each epoch: {format_percent(history[-1].accuracy)} after the last, "
        f"{format_percent(best.accuracy)} after the best one (epoch {best.epoch})."
    )
    if averaged:
        accuracy = metadata.point().validation.estimates["accuracy"].value
        read += (
            f" The model, the average over the last {averaged} epochs, reaches {format_percent(accuracy)} at "
            f"“{metadata.default_point}”; this threshold was chosen on the same patients."
        )
    return read


def _four(value: float) -> str:
    return format_score(value, 4)
