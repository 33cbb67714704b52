"""Figures of scores: what they draw, and what they write beside it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose

from malaria_detect import plots
from malaria_detect.metrics import Estimate, PatientCounts, parasitemia
from malaria_detect.metrics.formatting import NO_BREAK
from malaria_detect.plots.style import INK
from tests.plots.figures import (
    CURVE,
    PATIENTS,
    POINTS,
    contrast,
    figure_of,
    four_scores,
    points,
    some_bins,
    some_designs,
    some_history,
    some_rows,
    some_scores,
    texts,
)
from tests.tools.records import made_up_metadata

WRITTEN = {
    "confusion_matrix": ["1,500 cells", "96.0 %", "2.0 %", "24 patients; threshold 0.5"],
    "roc_curve": ["threshold 0.5", "ROC AUC 0.9900\n95 % interval 0.9800 to 0.9950"],
    "roc_curve with points": list(POINTS),
    "reliability_diagram": ["raw", "calibrated", "each dot: 200 cells,\nwith 95 % interval"],
    "patient_dots": ["balanced: from 0.43 on", "2 healthy patients, 1 without errors", "all cells: 5.0 %"],
    "patient_leakage": ["Split by patient", "Random split", "97.0 (96.0 to 98.0)", "+1.0 (0.0 to +2.0)"],
    "score_comparison": ["Split by patient", "Random split", "0.945", "0.971", "0.976"],
    "design_comparison": ["0.960", "published, with another split"],
    "parasitemia_curves": ["screening: 2.1 % without parasites", "counting: 0.40 % without parasites"],
    "detection_limits": ["screening", "5,000 cells", "16 %", "4.1 %", "none"],
    "loss_curves": ["96 px", "160 px", "224", "training 0.183", "validation 0.067"],
    "accuracy_curves": ["ROC AUC 0.995", "accuracy 0.983"],
    "lr_curve": ["suggested 1.4e-03"],
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_figure_says_what_it_shows(name: str) -> None:
    found = "\n".join(texts(figure_of(name))).replace(NO_BREAK, " ")
    assert [text for text in WRITTEN[name] if text not in found] == []


NOTHING: dict[str, Callable[[], Any]] = {
    "at least two points": lambda: plots.roc_curve(some_scores(), CURVE[:1]),
    "one to 4 series with bins": lambda: plots.reliability_diagram(
        {"raw": [], "calibrated": some_bins([0.2, 0.8])}
    ),
    "patients with uninfected cells": lambda: plots.patient_dots([PatientCounts("parasitized", 9, 0, 9, 0)]),
    "patients with parasitized cells": lambda: plots.patient_dots(PATIENTS[:2]),
    "at least one score": lambda: plots.score_comparison([]),
    'not "holdout"': lambda: plots.score_comparison([plots.ComparedScore("", "holdout", Estimate(1, 1, 1))]),
    "at least one design that was run": lambda: plots.design_comparison(some_designs()[-1:]),
    "at least one operating point": lambda: plots.parasitemia_curves({}),
    "no limits": lambda: plots.detection_limits({"screening": []}),
    "at least one epoch": lambda: plots.loss_curves([]),
}


@pytest.mark.parametrize("problem", NOTHING)
def test_nothing_to_draw_is_refused(problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        NOTHING[problem]()


def test_confusion_matrix_has_labels_in_rows_and_fills_by_share() -> None:
    (axes,) = figure_of("confusion_matrix").axes
    placed = {text.get_text(): text.get_position() for text in axes.texts}
    counts = {"1,440": (0, 0), "60": (1, 0), "20": (0, 1), "980": (1, 1)}
    assert {count: (int(placed[count][0]), int(placed[count][1])) for count in counts} == counts
    fills = [to_rgb(patch.get_facecolor()) for patch in axes.patches]
    assert min(contrast(fill, to_rgb(INK)) for fill in fills) >= 4.5
    depth = [3 - sum(fill) for fill in fills]
    assert np.argsort(depth)[::-1][:2].tolist() in ([0, 3], [3, 0])


@pytest.mark.parametrize("name", ["roc_curve", "roc_curve with points"])
def test_roc_curve_of_a_good_model_is_repeated_with_its_corner_enlarged(name: str) -> None:
    (axes,) = figure_of(name).axes
    (inset,) = axes.child_axes
    assert isinstance(inset, Axes)
    marked = POINTS if "points" in name else {"threshold 0.5": (0.96, 0.98)}
    for shown in (axes, inset):
        assert_allclose(points(shown, "ROC"), CURVE)
        for point, (sensitivity, specificity) in marked.items():
            assert_allclose(points(shown, point), [[1 - specificity, sensitivity]])
            assert shown.get_xlim()[1] > 1 - specificity
            assert shown.get_ylim()[0] < sensitivity
    for text in inset.texts:
        x, y = text.get_position()
        assert y < np.interp(x, *np.transpose(CURVE))


def test_roc_curve_of_a_poor_model_has_no_corner_and_no_undefined_interval() -> None:
    poor = {"screening": (0.97, 0.2), "counting": (0.1, 0.99)}
    figure = plots.roc_curve(some_scores(area=0.8, low=float("nan")), CURVE, poor)
    assert figure.axes[0].child_axes == []
    assert poor.keys() <= set(texts(figure))
    assert not [text for text in texts(figure) if "nan" in text or "interval" in text]


@pytest.mark.parametrize("lowest", [0.2, 0.01, 1e-3, 1e-5, 1e-9])
def test_reliability_dots_lie_at_mean_probability_and_share_on_axes_that_hold_them(lowest: float) -> None:
    means = [lowest, 0.4, 1 - lowest]
    series = {"raw": some_bins([lowest, 0.5, 1 - lowest]), "calibrated": some_bins(means)}
    (axes,) = plots.reliability_diagram(series).axes
    labels, places = [float(label.get_text()) for label in axes.get_xticklabels()], axes.get_xticks()
    assert labels == sorted(labels)
    assert_allclose(100 * places[1:-1], labels[1:-1])
    dots = points(axes, "calibrated")
    # Exact shares of 0 and 1 have no log-odds; they are drawn where the axis says so.
    assert (labels[0], labels[-1]) == (0, 100)
    assert_allclose(dots[:, 1], [places[0], 0.4, places[-1]])
    assert_allclose(dots[:, 0], np.clip(means, places[0], places[-1]))
    low, high = axes.get_xlim()
    assert low < dots.min() < dots.max() < high
    _, calibrated = (found for found in axes.collections if isinstance(found, LineCollection))
    assert_allclose(np.array(calibrated.get_segments())[1, :, 1], [0.38, 0.42])


def test_every_patient_is_a_dot_at_its_rate_and_a_line_marks_all_cells() -> None:
    rate, sensitivity = figure_of("patient_dots").axes
    assert_allclose(sorted(points(rate, "healthy")[:, 0]), [0, 0.05])
    assert_allclose(sorted(points(rate, "infected")[:, 0]), [0, 0.2])
    assert_allclose(points(rate, "pooled")[:, 0], 9 / 180)
    # By share of errors, on an axis that runs backwards from a sensitivity of 100 %.
    assert_allclose(sorted(points(sensitivity, "infected")[:, 0]), [0, 0.05])
    assert_allclose(points(sensitivity, "pooled")[:, 0], 4 / 120)
    assert sensitivity.xaxis_inverted()
    assert sensitivity.xaxis.get_major_formatter()(0.05) == f"95{NO_BREAK}%"


def test_kinds_of_patients_have_strips_and_areas_are_proportional_to_cells() -> None:
    rate, _ = figure_of("patient_dots of many").axes
    assert points(rate, "healthy")[:, 1].max() < points(rate, "infected")[:, 1].min()
    (dots,) = (one for one in rate.collections if one.get_label() == "infected")
    cells = [one.uninfected for one in made_up_metadata().point().patients * 8 if one.parasitized]
    sizes = dots.get_sizes()  # type: ignore[attr-defined]  # dots are a PathCollection
    assert_allclose(sizes / sizes.max(), np.array(cells) / max(cells))


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    found = [np.asarray(line.get_xydata())[0] for line in axes.lines if line.get_marker() == marker]
    return [(float(x), float(y)) for x, y in found]


def intervals(axes: Axes) -> list[list[float]]:
    found = [one.get_segments()[0] for one in axes.collections if isinstance(one, LineCollection)]
    return [segment[:, 0].tolist() for segment in found]


def test_leakage_has_both_splits_at_each_score_and_the_difference_against_zero() -> None:
    grouped = four_scores(0.97) | {"accuracy": Estimate(0.97, float("nan"), float("nan"))}
    upper, lower = plots.patient_leakage(grouped, four_scores(0.98), four_scores(0.01, 0.004)).axes
    for axes in (upper, lower):
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == ["accuracy", "sensitivity", "specificity", "ROC AUC"]
    by_patient, random, change = marks(upper, "o"), marks(upper, "D"), marks(lower, "s")
    assert [x for x, _ in by_patient] == [0.97] * 4
    assert [x for x, _ in random] == [0.98] * 4
    # Either side of their name, and the axis runs downwards.
    assert all(
        a < tick < b for (_, a), tick, (_, b) in zip(by_patient, upper.get_yticks(), random, strict=True)
    )
    assert change == [(0.01, tick) for tick in lower.get_yticks()]
    assert_allclose(intervals(upper), [(0.97, 0.99), *[(0.96, 0.98), (0.97, 0.99)] * 3])  # one has none
    assert_allclose(intervals(lower), [(0.006, 0.014)] * 4)
    assert lower.get_xlim()[0] < 0


def test_comparison_is_by_kind_of_split_with_ours_in_bold() -> None:
    (axes,) = figure_of("score_comparison").axes
    labels = axes.get_yticklabels()
    names = [label.get_text().replace("\n", " ") for label in labels]
    assert names == ["A published network with a long name", "this project", "A published network, random"]
    assert [label.get_fontweight() for label in labels] == ["normal", "bold", "normal"]
    first, second, third = axes.get_yticks()
    assert axes.yaxis_inverted()
    assert_allclose(marks(axes, "o"), [(0.945, first), (0.971, second)])
    assert_allclose(marks(axes, "D"), [(0.976, third)])
    assert intervals(axes) == [[0.962, 0.978]]
    assert "Split by patient" not in texts(plots.score_comparison(some_rows()[:1]))


def test_designs_have_scores_level_with_their_names_and_published_ones_hollow() -> None:
    ran = some_designs()[:-1]
    for axes, score in zip(figure_of("design_comparison").axes, ("accuracy", "roc_auc"), strict=True):
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert [name.replace("\n", "") for name in labels] == [row.network for row in ran]
        assert all(line.endswith("-") for name in labels for line in name.split("\n")[:-1])
        estimates = [row.trained.scores.estimates[score] for row in ran if row.trained]
        assert [x for x, _ in marks(axes, "o")] == [estimate.value for estimate in estimates]
        assert np.abs(axes.get_yticks() - [height for _, height in marks(axes, "o")]).max() <= 0.5
        assert_allclose(intervals(axes), [(estimate.low, estimate.high) for estimate in estimates])
        assert [x for x, _ in marks(axes, "D")] == ([0.9598] if score == "accuracy" else [])
        (shade,) = [found for found in axes.patches if isinstance(found, Rectangle)]
        ours = estimates[0]
        assert_allclose((shade.get_x(), shade.get_x() + shade.get_width()), (ours.low, ours.high))
    alone = "\n".join(texts(plots.design_comparison([some_designs()[0], some_designs()[2]])))
    assert "published" not in alone


def test_curves_of_apparent_parasitemia_follow_the_formula() -> None:
    (axes,) = figure_of("parasitemia_curves").axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    for line, (sensitivity, specificity) in zip(axes.lines, POINTS.values(), strict=False):
        for share, reading in np.asarray(line.get_xydata())[::20]:
            assert reading == pytest.approx(parasitemia.apparent_parasitemia(share, sensitivity, specificity))
    same = points(axes, "without errors")
    assert_allclose(same[:, 0], same[:, 1])
    assert_allclose(same[[0, -1], 0], (0.0001, 0.3))


def test_limits_of_detection_are_level_with_their_number_of_cells() -> None:
    (axes,) = figure_of("detection_limits").axes
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["500 cells", "5,000 cells"] * 2
    assert marks(axes, "o") == list(zip((0.16, 0.13, 0.041), axes.get_yticks(), strict=False))
    low, high = axes.get_xlim()
    assert low < 0.041 < 0.16 < high


def test_training_curves_follow_the_history_over_bands_of_image_size() -> None:
    history = some_history()
    (loss,), (scores,) = figure_of("loss_curves").axes, figure_of("accuracy_curves").axes
    for axes, label, name in (
        (loss, "training", "train_loss"),
        (loss, "validation", "valid_loss"),
        (scores, "accuracy", "accuracy"),
        (scores, "ROC AUC", "roc_auc"),
    ):
        assert_allclose(points(axes, label), [(epoch.epoch, getattr(epoch, name)) for epoch in history])
    bands = [(patch.get_x(), patch.get_width()) for patch in loss.patches if isinstance(patch, Rectangle)]
    assert bands == [(0.5, 3.0), (3.5, 2.0), (5.5, 1.0)]
    for epochs in (1, 30):
        ticks = plots.loss_curves(some_history([64] * epochs)).axes[0].get_xticks()
        assert 1 <= len(ticks) <= 10
        assert (ticks == ticks.astype(int)).all()


def test_lr_curve_marks_the_suggestion_and_cuts_off_the_explosion() -> None:
    (axes,) = figure_of("lr_curve").axes
    curve, suggestion = axes.lines
    assert_allclose(np.asarray(curve.get_xydata()), [(1e-5, 0.9), (1e-3, 0.6), (1e-1, 0.4), (1, 9)])
    assert np.asarray(suggestion.get_xdata()).tolist() == [1.4e-3, 1.4e-3]
    assert axes.get_xscale() == "log"
    assert 0.9 < axes.get_ylim()[1] < 2
