"""The report's figures, drawn from result files, as SVG."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from malaria_detect import plots
from malaria_detect.inference.metadata import OperatingPoint
from malaria_detect.metrics import formatting
from tools.model_card.facts import SlideReading, ours
from tools.model_card.results import Results

# What each shows, for those who do not see it; figures show numbers, so these name none.
FIGURES = {
    "confusion": "How many test cells of each label the model calls parasitized and uninfected.",
    "roc": "Sensitivity against false positive rate on test patients, with the operating points.",
    "reliability": "Observed share of parasitized cells against the probability given, before and after calibration.",
    "patients": "Sensitivity and false alarms of every patient in cross-validation, one dot each.",
    "leakage": "Scores with patients apart beside those of a random split, and their difference.",
    "apparent-parasitemia": "Share of cells called parasitized against the true share, at each operating point.",
    "detection-limits": "Limits of blank and of detection for each number of counted cells, at each operating point.",
    "designs": "Accuracy and ROC AUC of the networks that were trained here, with what is in print of them.",
    "published": "Our scores beside published ones, grouped by whether patients were kept apart.",
}
# Of a figure on the card, in px: as wide as a page on a telephone allows, no wider than it needs.
WIDTH = 560


def draw(results: Results, readings: Sequence[SlideReading]) -> dict[str, str]:
    """All figures by name that there are results for, each an SVG document that needs nothing else.

    Parameters
    ----------
    results : Results
    readings : sequence of SlideReading
        What the operating points mean for a slide.
    """
    figures = _figures(results, readings)
    return {name: plots.to_svg_bytes(figures[name]).decode() for name in FIGURES if name in figures}


def shown(name: str, address: str) -> str:
    """A figure in Markdown; as an element, because Markdown's own picture knows no width."""
    return f'<img src="{address}" width="{WIDTH}" alt="{FIGURES[name]}">'


def _figures(results: Results, readings: Sequence[SlideReading]) -> dict[str, Figure]:
    metadata, evaluation = results.metadata, results.evaluation
    point, points = metadata.point(), metadata.operating_points
    grouped, random = evaluation.grouped, evaluation.random
    drawn = {
        "confusion": plots.confusion_matrix(point.test),
        "roc": plots.roc_curve(point.test, metadata.roc, {one.name: _rates(one) for one in points}),
        "reliability": plots.reliability_diagram(metadata.reliability_raw, metadata.reliability),
        "patients": plots.patient_dots(
            grouped.patients,
            f"called parasitized from {formatting.format_threshold(grouped.scores.threshold)} on",
        ),
        "leakage": plots.patient_leakage(
            grouped.scores.estimates, random.scores.estimates, evaluation.leakage
        ),
        "apparent-parasitemia": plots.apparent_parasitemia({one.name: _rates(one) for one in points}),
        "detection-limits": plots.detection_limits({reading.name: reading.limits for reading in readings}),
        "published": plots.score_comparison(_compared(results)),
    }
    if results.designs is not None and results.designs.trained:
        drawn["designs"] = plots.design_comparison(results.designs.rows)
    return drawn


def _compared(results: Results) -> list[plots.ComparedScore]:
    """Accuracies of ours and others'; works that print none are left to the table."""
    rows = []
    for own in ours(results.metadata, results.evaluation):
        accuracy = own.scores.estimates["accuracy"]
        protocol = "grouped" if own.patients_apart else "random"
        rows.append(
            plots.ComparedScore(own.name, protocol, accuracy.value, accuracy.low, accuracy.high, ours=True)
        )
    rows += [
        plots.ComparedScore(
            work.work, "grouped" if work.patients_apart else "random", work.scores["accuracy"]
        )
        for work in results.published.on_these_cells
        if "accuracy" in work.scores
    ]
    return rows


def _rates(point: OperatingPoint) -> tuple[float, float]:
    return point.test.estimates["sensitivity"].value, point.test.estimates["specificity"].value
