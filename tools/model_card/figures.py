"""Figures of the pages, as SVG files."""

from collections.abc import Sequence
from math import nan

from matplotlib.figure import Figure

from malaria_detect import plots
from malaria_detect.evaluation.patient_parasitemia import COUNTING
from malaria_detect.inference.metadata import OperatingPoint
from malaria_detect.metrics import Estimate, formatting
from tools.model_card.facts import SlideReading, by_laboratory
from tools.model_card.results import Results

# Alternative texts by file name. They describe the figure; the numbers are in the tables.
FIGURES = {
    "reports/confusion.svg": "Number of test cells by label and by decision.",
    "reports/roc.svg": "ROC curve on test patients, with the operating points.",
    "reports/reliability.svg": "Share of parasitized cells by predicted probability, before and after calibration.",
    "reports/patients.svg": "Sensitivity and false positive rate of every patient in cross-validation.",
    "reports/leakage.svg": "Scores with a split by patient and with a random split, and their difference.",
    "reports/apparent-parasitemia.svg": "Share of cells called parasitized by true parasitemia and operating point.",
    "reports/detection-limits.svg": "Limits of blank and of detection by number of counted cells and operating point.",
    "reports/parasitemia-agreement.svg": "Estimated and true parasitemia of every patient, with 95 % intervals.",
    "reports/parasitemia-differences.svg": "Difference between estimated and true parasitemia (Bland-Altman plot).",
    "reports/parasitemia-detection.svg": "Share of patients detected as infected by true parasitemia.",
    "reports/published.svg": "Accuracy of this model and of published ones, grouped by kind of split.",
    "docs/designs.svg": "Accuracy and ROC AUC of the designs, with published values.",
    "docs/keras-cnn-128-accuracy.svg": "Accuracy and ROC AUC of keras-cnn-128 after each epoch.",
    "docs/keras-cnn-128-loss.svg": "Training and validation loss of keras-cnn-128 after each epoch.",
}


def draw(results: Results, readings: Sequence[SlideReading]) -> dict[str, str]:
    """SVG documents by file name; without a comparison of designs its figure is left out."""
    return {name: plots.to_svg_bytes(figure).decode() for name, figure in _figures(results, readings).items()}


def _figures(results: Results, readings: Sequence[SlideReading]) -> dict[str, Figure]:
    metadata, evaluation = results.metadata, results.evaluation
    test, grouped = metadata.point().test, evaluation.grouped
    rates = {point.name: _rates(point) for point in metadata.operating_points}
    threshold = formatting.format_threshold(grouped.scores.threshold)
    figures = {
        "reports/confusion.svg": plots.confusion_matrix(test),
        "reports/roc.svg": plots.roc_curve(test, metadata.roc, rates),
        "reports/reliability.svg": plots.reliability_diagram(
            {"raw": metadata.reliability_raw, "calibrated": metadata.reliability}
        ),
        "reports/patients.svg": plots.patient_dots(grouped.patients, f"threshold {threshold}"),
        "reports/leakage.svg": plots.patient_leakage(
            grouped.scores.estimates, evaluation.random.scores.estimates, evaluation.leakage
        ),
        "reports/apparent-parasitemia.svg": plots.parasitemia_curves(rates),
        "reports/detection-limits.svg": plots.detection_limits(
            {reading.name: reading.limits for reading in readings}
        ),
        "reports/published.svg": plots.score_comparison(_compared(results)),
    }
    if results.parasitemia is not None:
        study = results.parasitemia.cross_validation
        point = study.point(COUNTING)
        figures |= {
            "reports/parasitemia-agreement.svg": plots.parasitemia_agreement(study.true, point),
            "reports/parasitemia-differences.svg": plots.bland_altman(study.true, point),
            "reports/parasitemia-detection.svg": plots.detection_by_parasitemia(point),
        }
    figures |= laboratory_figures(results)
    if results.designs is not None and results.designs.trained:
        figures["docs/designs.svg"] = plots.design_comparison([row for row, _ in results.designs.ranked])
        keras = results.designs.trained.get("keras-cnn-128")
        if keras is not None and keras.history:
            figures["docs/keras-cnn-128-accuracy.svg"] = plots.accuracy_curves(keras.history)
            figures["docs/keras-cnn-128-loss.svg"] = plots.loss_curves(keras.history)
    return figures


def laboratory_figures(results: Results) -> dict[str, Figure]:
    """A reliability diagram for each laboratory with cells of both classes, with NLM's test patients."""
    return {
        f"docs/laboratory-{number}.svg": plots.reliability_diagram(
            {"NLM, test patients": results.metadata.reliability}
            | {f"{one.name}, by {one.cut}": one.reliability for one in scores}
        )
        for number, scores in enumerate(by_laboratory(results.laboratories).values(), 1)
    }


def _compared(results: Results) -> list[plots.ComparedScore]:
    ours = (
        ("this model, test", "grouped", results.metadata.point().test),
        ("cross-validation", "grouped", results.evaluation.grouped.scores),
        ("random split", "random", results.evaluation.random.scores),
    )
    rows = [
        plots.ComparedScore(name, protocol, scores.estimates["accuracy"], ours=True)
        for name, protocol, scores in ours
    ]
    for work in results.published.on_these_cells:
        if "accuracy" in work.scores:
            protocol = "grouped" if work.patients_apart else "random"
            published = Estimate(work.scores["accuracy"], nan, nan)
            rows.append(plots.ComparedScore(work.work, protocol, published))
    return rows


def _rates(point: OperatingPoint) -> tuple[float, float]:
    return point.test.estimates["sensitivity"].value, point.test.estimates["specificity"].value
