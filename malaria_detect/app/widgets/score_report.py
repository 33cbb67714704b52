"""The tab "How good is it": first two figures and the accuracy table, then details that can be unfolded."""

import os
from pathlib import Path
from typing import Any

from malaria_detect.app.widgets.base import Column, Text
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.score_texts import (
    accuracy_table,
    counted_details,
    designs_details,
    first_figures,
    leakage_details,
    score_details,
    slide_details,
    training_details,
)
from malaria_detect.designs.comparison import COMPARISON_FILE
from malaria_detect.evaluation.patient_parasitemia import PARASITEMIA
from malaria_detect.inference.metadata import ModelMetadata


class ScoreReport(Column):
    """How good the model is at the chosen operating point.

    Parameters
    ----------
    metadata : ModelMetadata
    choice : OperatingPointChoice, optional
        Shared with other widgets; by default the report has its own.
    evaluation : path
        Summary of the cross-validation; the comparison of estimated and true parasitemia is in the same folder.
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
        compared = Path(comparison or Path(evaluation).with_name(COMPARISON_FILE))
        counted = Path(evaluation).with_name(PARASITEMIA)
        self.at_point = (
            Text(lambda: first_figures(metadata, choice.point)),
            Text(lambda: accuracy_table(choice.point, evaluation)),
            Text(lambda: score_details(metadata, choice.point), title="All scores and the ROC curve"),
        )
        figures, accuracy, scores = self.at_point
        self.always = (
            Text(lambda: slide_details(metadata), title="Parasitemia: what it means for a slide"),
            Text(lambda: counted_details(counted), title="Estimated and true parasitemia of patients"),
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
