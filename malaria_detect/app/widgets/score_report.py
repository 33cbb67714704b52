"""The view "How good is it": scores and figures of metadata and cross-validation, each with how to read it."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from malaria_detect import plots
from malaria_detect.app.widgets.base import Column, Text, figure
from malaria_detect.app.widgets.cross_validation import cross_validation_view
from malaria_detect.app.widgets.designs import designs_view
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.parasitemia import slide_view
from malaria_detect.app.widgets.scores import point_figures, point_scores
from malaria_detect.app.wording import NOT_CALIBRATED
from malaria_detect.designs.comparison import DESIGNS
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.formatting import format_percent


class ScoreReport(Column):
    """How good the model is, at the operating point that is chosen.

    Parameters
    ----------
    metadata : ModelMetadata
    choice : OperatingPointChoice, optional
        The page's; alone in a notebook the view has one of its own.
    evaluation : path
        Summary of the cross-validation; where it is missing, that part says how to make it.
    comparison : path, optional
        What ``malaria-detect compare`` wrote; by itself ``compare.json`` beside the summary.
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
        # Figures are drawn once for each operating point, not with every change.
        figures = cache(lambda name: point_figures(metadata, metadata.point(name)))
        self.at_point = (
            Text(lambda: point_scores(metadata, choice.point)),
            Text(lambda: figures(choice.chosen)),
        )
        self.always = (
            Text(lambda: slide_view(metadata)),
            Text(lambda: cross_validation_view(evaluation)),
            Text(lambda: designs_view(comparison or Path(evaluation).with_name(DESIGNS), metadata)),
            Text(lambda: model_view(metadata)),
        )
        title = Text(lambda: "<h2>How good is it</h2>")
        super().__init__([title, choice, *self.at_point, *self.always], **kwargs)
        choice.observe(self._renew, "chosen")

    def _renew(self, _change: object) -> None:
        for part in self.at_point:
            part.renew()


def model_view(metadata: ModelMetadata) -> str:
    """What the probabilities are worth, and how the model learned."""
    return (
        "<h2 class='md-section'>Its probabilities, and how it learned</h2><div class='md-figures'>"
        + figure(
            "Reliability",
            plots.reliability_diagram(metadata.reliability_raw, metadata.reliability),
            _read_reliability(metadata),
        )
        + figure("Loss per epoch", plots.loss_curves(metadata.history), _read_loss(metadata))
        + figure("Accuracy per epoch", plots.accuracy_curves(metadata.history), _read_accuracy(metadata))
        + "</div>"
    )


def _read_reliability(metadata: ModelMetadata) -> str:
    if not metadata.calibrated:
        return NOT_CALIBRATED
    after = metadata.point().test.estimates["ece"]
    return (
        "On test patients: the nearer the dots to the dotted line, the more a probability may be taken at its word. "
        f"The calibration error is {after.value:.4f} ({after.low:.4f} to {after.high:.4f}), and was "
        f"{metadata.ece_raw:.4f} before the network’s logits were divided by "
        f"{metadata.temperature:.3f}, as fits validation patients best."
    )


def _read_loss(metadata: ModelMetadata) -> str:
    history = metadata.history
    last = history[-1]
    return (
        f"Lower is better. After {len(history)} epochs the loss is {last.train_loss:.3f} on training cells and "
        f"{last.valid_loss:.3f} on validation patients; were the second to rise while the first falls, the model "
        "would be learning by heart."
        + (
            " The averaged weights are not in this figure."
            if metadata.settings.get("average_epochs", 0)
            else ""
        )
    )


def _read_accuracy(metadata: ModelMetadata) -> str:
    history, averaged = metadata.history, metadata.settings.get("average_epochs", 0)
    best = max(history, key=lambda epoch: epoch.accuracy)
    read = (
        "Share of the validation patients' cells that were called as labelled, after each epoch: "
        f"{format_percent(history[-1].accuracy)} at the end, {format_percent(best.accuracy)} at best (epoch "
        f"{best.epoch})."
    )
    if averaged:
        accuracy = metadata.point().validation.estimates["accuracy"].value
        read += (
            f" The model is none of these: its weights are the average over the last {averaged} epochs. Called at "
            f"“{metadata.default_point}”, whose threshold was chosen on these very cells, {format_percent(accuracy)} "
            "are as labelled."
        )
    return read
