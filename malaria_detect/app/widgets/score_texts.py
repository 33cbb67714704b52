"""The texts and figures of the tab "How good is it", as HTML."""

import math
import os
from pathlib import Path

from malaria_detect import plots
from malaria_detect.app.widgets.base import render
from malaria_detect.app.wording import FLATTERED, NO_PATIENTS, NOT_CALIBRATED, detection_limit, leakage_gap
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.designs.comparison import OURS, Comparison, read_comparison
from malaria_detect.designs.table import HEADS, table_row
from malaria_detect.evaluation.cross_validation import Evaluation, read_evaluation
from malaria_detect.evaluation.patient_parasitemia import COUNTING, read_parasitemia
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.metrics import worst_patients
from malaria_detect.metrics.formatting import (
    format_estimate,
    format_parasitemia,
    format_percent,
    format_threshold_percent,
)
from malaria_detect.metrics.parasitemia import healthy_reading

# Cells to count according to guidelines: CDC, BSH, WHO (Malar J 2021, s12936-021-03889-7).
COUNTED = (500, 1_000, 5_000)
# Share of parasitized cells at which precision is also shown: half of the test cells are, on a slide few are.
FEW = 0.01


def first_figures(metadata: ModelMetadata, point: OperatingPoint) -> str:
    """The confusion matrix of an operating point and the loss curves."""
    scores = point.test
    return render(
        "first_figures.html",
        name=point.name,
        right=scores.true_positive + scores.true_negative,
        missed=scores.false_negative,
        alarms=scores.false_positive,
        history=metadata.history,
        averaged=metadata.settings.get("average_epochs", 0),
        matrix=plots.confusion_matrix(scores),
        losses=plots.loss_curves(metadata.history),
    )


def accuracy_table(point: OperatingPoint, path: str | os.PathLike[str]) -> str:
    """Accuracy as measured in up to three ways, one row each; cross-validation is read from `path`."""
    evaluation, problem = _open_evaluation(path)
    return render("accuracy.html", point=point, evaluation=evaluation, problem=problem)


def score_details(metadata: ModelMetadata, point: OperatingPoint) -> str:
    """All scores of an operating point on test patients, how to read them, and the ROC curve."""
    rates = rates_of(metadata)
    # Bayes' rule.
    found, alarms = FEW * rates[point.name][0], (1 - FEW) * (1 - rates[point.name][1])
    return render(
        "scores.html",
        metadata=metadata,
        point=point,
        few=FEW,
        precision_if_few=found / (found + alarms) if found + alarms > 0 else None,
        curve=plots.roc_curve(point.test, metadata.roc, rates),
        flattered=FLATTERED,
    )


def slide_details(metadata: ModelMetadata) -> str:
    """Parasitemia: a table of readings and limits of detection (simulated), how to read it, and two figures."""
    points = metadata.operating_points
    if not metadata.point().patients:
        return render("problem.html", problem=NO_PATIENTS)
    limits = {point.name: [detection_limit(cells, point.patients) for cells in COUNTED] for point in points}
    rows = {
        point.name: [
            format_threshold_percent(point.threshold),
            format_estimate(healthy_reading(point.patients), _two_decimals),
            *(
                "none" if math.isnan(one.limit) else format_parasitemia(one.limit)
                for one in limits[point.name]
            ),
        ]
        for point in points
    }
    return render(
        "slide.html",
        rows=rows,
        columns=[f"Limit of detection, {cells:,} cells" for cells in COUNTED],
        curves=plots.parasitemia_curves(rates_of(metadata)),
        limits=plots.detection_limits(limits),
    )


def leakage_details(path: str | os.PathLike[str]) -> str:
    """Figures of patients and of leakage, from ``reports/evaluation.json``; a sentence if it is missing."""
    evaluation, problem = _open_evaluation(path)
    if evaluation is None:
        return render("problem.html", problem=problem)
    grouped, random = evaluation.grouped, evaluation.random
    worst = [f"{one.group} ({format_percent(one.accuracy)})" for one in worst_patients(grouped.patients)]
    return render(
        "leakage.html",
        evaluation=evaluation,
        worst=worst,
        dots=plots.patient_dots(grouped.patients),
        gap=leakage_gap(evaluation.leakage["accuracy"]),
        leakage=plots.patient_leakage(grouped.scores.estimates, random.scores.estimates, evaluation.leakage),
        flattered=FLATTERED,
    )


def counted_details(path: Path) -> str:
    """Estimated and true parasitemia of patients, from ``reports/parasitemia.json``; a sentence if it is missing."""
    problem = (
        "No patient was compared with the true parasitemia yet. Run “malaria-detect evaluate --parasitemia”."
    )
    try:
        found = read_parasitemia(path) if path.is_file() else None
    except MalariaDetectError as error:
        found, problem = None, str(error)
    if found is None:
        return render("problem.html", problem=problem)
    study = found.cross_validation
    point = study.point(COUNTING)
    return render(
        "counted.html",
        study=study,
        own_scores=found.own_scores,
        agreement=plots.parasitemia_agreement(study.true, point),
        differences=plots.bland_altman(study.true, point),
        detection=plots.detection_by_parasitemia(point),
    )


def designs_details(path: Path, metadata: ModelMetadata) -> str:
    """Other designs trained on the same patients, from ``reports/compare.json``; a sentence if it is missing."""
    found: Comparison | None = None
    problem = (
        "No other design was trained yet. Run “malaria-detect compare” to train others on the same patients."
    )
    try:
        found = read_comparison(path) if path.is_file() else None
    except MalariaDetectError as error:
        problem = str(error)
    if found is None or not found.trained:
        return render("problem.html", problem=problem)
    return render(
        "designs.html",
        found=found,
        later=found.ours is not None and found.ours.sha256 != metadata.sha256,
        compared=plots.design_comparison([row for row, _ in found.ranked]),
        ours=OURS,
        heads=HEADS,
        table_row=table_row,
    )


def training_details(metadata: ModelMetadata) -> str:
    """How far the probabilities can be trusted, and accuracy during training."""
    return render(
        "training.html",
        metadata=metadata,
        averaged=metadata.settings.get("average_epochs", 0),
        reliability=plots.reliability_diagram(
            {"raw": metadata.reliability_raw, "calibrated": metadata.reliability}
        ),
        accuracy=plots.accuracy_curves(metadata.history),
        not_calibrated=NOT_CALIBRATED,
    )


def rates_of(metadata: ModelMetadata) -> dict[str, tuple[float, float]]:
    """Sensitivity and specificity on test patients at each operating point."""
    return {
        point.name: (point.test.estimates["sensitivity"].value, point.test.estimates["specificity"].value)
        for point in metadata.operating_points
    }


def _open_evaluation(path: str | os.PathLike[str]) -> tuple[Evaluation | None, str]:
    """The summary of a cross-validation, or None and a sentence that says why there is none."""
    if not Path(path).is_file():
        return (
            None,
            "This model has no cross-validation yet. Run “malaria-detect evaluate” and “make report”.",
        )
    try:
        return read_evaluation(path), ""
    except MalariaDetectError as error:
        return None, str(error)


def _two_decimals(share: float) -> str:
    return format_percent(share, 2)
