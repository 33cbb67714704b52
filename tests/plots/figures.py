"""Made-up numbers, one figure of each function drawn from them, and how tests look into a figure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from math import nan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from malaria_detect import plots
from malaria_detect.designs.comparison import DesignRow
from malaria_detect.evaluation.patient_parasitemia import PointParasitemia
from malaria_detect.inference.metadata import Epoch
from malaria_detect.metrics import Estimate, PatientCounts, ReliabilityBin, Scores
from malaria_detect.metrics.parasitemia import DetectionLimit
from tests.tools.records import made_up_comparison, made_up_metadata, made_up_parasitemia

CURVE = ((0.0, 0.0), (0.0, 0.8), (0.02, 0.96), (0.2, 1.0), (1.0, 1.0))
# Sensitivity and specificity.
POINTS = {"screening": (0.974, 0.979), "balanced": (0.974, 0.9788), "counting": (0.918, 0.996)}
PATIENTS = (
    PatientCounts("healthy, none", 0, 50, 0, 0),
    PatientCounts("healthy, 5 %", 0, 100, 0, 5),
    PatientCounts("infected, 20 %", 80, 20, 76, 4),
    PatientCounts("infected, none", 40, 10, 40, 0),
)


def some_scores(area: float = 0.99, low: float = 0.98) -> Scores:
    return Scores(
        *(2500, 24, 1500, 0.5, 1440, 60, 20, 980),
        estimates={
            "accuracy": Estimate(0.968, 0.95, 0.98, 2420, 2500),
            "sensitivity": Estimate(0.96, 0.94, 0.97, 1440, 1500),
            "specificity": Estimate(0.98, 0.97, 0.99, 980, 1000),
            "roc_auc": Estimate(area, low, 0.995),
        },
    )


def some_history(sizes: Sequence[int] = (96, 96, 96, 160, 160, 224)) -> list[Epoch]:
    return [
        Epoch(n, size, 0.5 / n + 0.1, 0.4 / n, 1 - 0.1 / n, 0.95, 0.94, 0.945, 1 - 0.03 / n, 90.0)
        for n, size in enumerate(sizes, start=1)
    ]


def some_bins(means: Sequence[float]) -> list[ReliabilityBin]:
    """Bins of which the lowest holds no parasitized cell, and the highest no other."""
    shares = [0.0, *means[1:-1], 1.0]
    return [
        ReliabilityBin(200, mean, share, max(0, share - 0.02), min(1, share + 0.02))
        for mean, share in zip(means, shares, strict=True)
    ]


def four_scores(value: float, half: float = 0.01) -> dict[str, Estimate]:
    names = ("accuracy", "sensitivity", "specificity", "roc_auc")
    return {name: Estimate(value, value - half, value + half) for name in names}


def some_rows() -> list[plots.ComparedScore]:
    return [
        plots.ComparedScore("A published network, random", "random", Estimate(0.976, nan, nan)),
        plots.ComparedScore("A published network with a long name", "grouped", Estimate(0.945, nan, nan)),
        plots.ComparedScore("this project", "grouped", Estimate(0.971, 0.962, 0.978), ours=True),
    ]


def some_designs() -> list[DesignRow]:
    """Ours, two others of which one has a long name, and one that was not run."""
    ours, published, other, not_run = made_up_comparison().rows
    return [ours, replace(published, network="feature-fusion-resnet50v2-mobilenetv2"), other, not_run]


def some_limits() -> dict[str, list[DetectionLimit]]:
    return {
        "screening": [DetectionLimit(500, 0.1, 0.16), DetectionLimit(5000, 0.09, 0.13)],
        "counting": [DetectionLimit(500, 0.02, 0.041), DetectionLimit(5000, 0.02, float("nan"))],
    }


def drawn_cell(width: int, height: int) -> np.ndarray:
    """A pink ellipse on black."""
    y, x = np.ogrid[:height, :width]
    inside = ((y - height / 2) / height) ** 2 + ((x - width / 2) / width) ** 2 < 0.24
    return np.where(inside[..., None], np.array([205, 160, 185]), 0).astype(np.uint8)


def _cells() -> list[np.ndarray]:
    return [drawn_cell(40 + 10 * number, 60) for number in range(5)]


def some_colours(count: int, seed: int = 0) -> np.ndarray:
    """Mean colours of cells, 0 to 255, (count, 3)."""
    return np.random.default_rng(seed).normal((190, 150, 165), 20, (count, 3)).clip(0, 255)


def some_class_images() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Means and standard deviations of two classes; the first is darker by 10 of 255 levels inside."""
    mean = drawn_cell(48, 48) / 255
    means = {"Parasitized": np.where(mean > 0, mean - 10 / 255, 0), "Uninfected": mean}
    return means, {"Parasitized": mean * 0.2, "Uninfected": mean * 0.1}


def _of_patients(draw: Callable[[np.ndarray, PointParasitemia], Figure]) -> Figure:
    study = made_up_parasitemia().cross_validation
    return draw(study.true, study.point("counting"))


FIGURES: dict[str, Callable[[], Figure]] = {
    "confusion_matrix": lambda: plots.confusion_matrix(some_scores()),
    "roc_curve": lambda: plots.roc_curve(some_scores(), CURVE),
    "roc_curve with points": lambda: plots.roc_curve(some_scores(), CURVE, POINTS),
    "reliability_diagram": lambda: plots.reliability_diagram(
        {"raw": some_bins([0.02, 0.1, 0.7, 0.97]), "calibrated": some_bins([0.004, 0.06, 0.75, 0.99])}
    ),
    "reliability of laboratories": lambda: plots.reliability_diagram(
        {name: some_bins([0.01 * part, 0.3, 0.9]) for part, name in enumerate(("A", "B", "C", "D"), 1)}
    ),
    "patient_dots": lambda: plots.patient_dots(PATIENTS, "balanced: from 0.43 on"),
    "patient_dots of many": lambda: plots.patient_dots(made_up_metadata().point().patients * 8),
    "patients without errors": lambda: plots.patient_dots([PatientCounts("", 10, 10, 10, 0)] * 150),
    "patient_leakage": lambda: plots.patient_leakage(four_scores(0.97), four_scores(0.98), four_scores(0.01)),
    "score_comparison": lambda: plots.score_comparison(some_rows()),
    "design_comparison": lambda: plots.design_comparison(some_designs()),
    "parasitemia_curves": lambda: plots.parasitemia_curves(POINTS),
    "detection_limits": lambda: plots.detection_limits(some_limits()),
    "bland_altman": lambda: _of_patients(plots.bland_altman),
    "parasitemia_agreement": lambda: _of_patients(plots.parasitemia_agreement),
    "detection_by_parasitemia": lambda: _of_patients(lambda _, point: plots.detection_by_parasitemia(point)),
    "loss_curves": lambda: plots.loss_curves(some_history()),
    "accuracy_curves": lambda: plots.accuracy_curves(some_history()),
    "lr_curve": lambda: plots.lr_curve([1e-5, 1e-3, 1e-1, 1.0], [0.9, 0.6, 0.4, 9.0], 1.4e-3),
    "cell_grid": lambda: plots.cell_grid(
        _cells(), ["Parasitized", "Uninfected"] * 2 + ["Parasitized"], columns=3
    ),
    "mean_images": lambda: plots.mean_images({"Parasitized": _cells()[0], "Uninfected": _cells()[1] / 255}),
    "size_histogram": lambda: plots.size_histogram(
        {"Parasitized": [120, 130, 150], "Uninfected": [110, 140]}
    ),
    "class_counts": lambda: plots.class_counts({"training": {"Parasitized": 30, "Uninfected": 10}}),
    "colour_histograms": lambda: plots.colour_histograms(
        {"Parasitized": some_colours(60), "Uninfected": some_colours(40, seed=1)}
    ),
    "patient_colours": lambda: plots.patient_colours(
        {"infected": some_colours(30), "healthy": some_colours(5)}
    ),
    "coinciding points": lambda: plots.roc_curve(some_scores(), CURVE, dict.fromkeys(POINTS, (0.95, 0.96))),
    "losses that end together": lambda: plots.loss_curves(
        [replace(epoch, train_loss=epoch.valid_loss) for epoch in some_history()]
    ),
    "well calibrated": lambda: plots.reliability_diagram(
        {"raw": some_bins([1e-9, 0.5, 1 - 1e-9]), "calibrated": some_bins([1e-5, 0.4, 1 - 1e-5])}
    ),
    "a limit that is not known": lambda: plots.detection_limits(
        {"screening": [DetectionLimit(500, 0.5, nan)]}
    ),
    "activation_grid": lambda: plots.activation_grid(np.random.default_rng(3).random((40, 7, 7))),
    "class_images": lambda: plots.class_images(*some_class_images()),
    "patient_counts": lambda: plots.patient_counts([3, 0, 9], [1, 8, 2]),
    "top_losses": lambda: plots.top_losses(_cells(), ["label Uninfected\ncalled Parasitized"] * 5),
}


@cache
def figure_of(name: str) -> Figure:
    """The figure, drawn once for all tests that only look at it."""
    return FIGURES[name]()


def written(figure: Figure) -> list[Text]:
    """Everything that stands written in a figure: not the numbers of ticks beyond an axis, or of axes left out."""
    figure.draw_without_rendering()
    left_out: set[int] = set()
    for axes in figure.findobj(Axes):
        assert isinstance(axes, Axes)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not axes.axison or not low <= tick.get_loc() <= high:
                    left_out |= {id(tick.label1), id(tick.label2)}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text for text in found if text.get_text() and text.get_visible() and id(text) not in left_out]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in written(figure)]


def points(axes: Axes, name: str) -> np.ndarray:
    """Data of the line or of the dots with this label, (points, 2)."""
    lines = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_label() == name]
    dots = [np.asarray(one.get_offsets()) for one in axes.collections if one.get_label() == name]
    (found,) = lines + dots
    return found


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """Contrast ratio of WCAG 2.2; AA asks 4.5 of text."""

    def luminance(color: Sequence[float]) -> float:
        parts = np.array(color[:3])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def overlapping(texts: Sequence[Text]) -> list[tuple[str, str]]:
    """Pairs of texts of which one runs into the other, by more than the white around letters (3 px of 100 an inch)."""
    # Of the letters alone: an annotation would count its arrow.
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]
    return [
        (name, other_name)
        for (name, box), (other_name, other) in combinations(boxes, 2)
        if min(box.x1, other.x1) - max(box.x0, other.x0) > 3
        if min(box.y1, other.y1) - max(box.y0, other.y0) > 3
    ]
