"""The leakage meter, and ours beside published scores."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from malaria_detect import plots
from malaria_detect.metrics import Estimate
from tests.plots.figures import GREEN, four_scores, some_rows, texts

NAMES = ["accuracy", "sensitivity", "specificity", "ROC AUC"]


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """Where the marks of one kind lie, without those of the key."""
    return [
        (float(np.asarray(line.get_xdata())[0]), float(np.asarray(line.get_ydata())[0]))
        for line in axes.lines
        if line.get_marker() == marker and line.get_label() != "key"
    ]


def intervals(axes: Axes) -> list[tuple[float, float]]:
    segments = [found.get_segments()[0] for found in axes.collections if isinstance(found, LineCollection)]
    return [(float(segment[0, 0]), float(segment[1, 0])) for segment in segments]


def test_leak_meter_draws_both_splits_and_their_difference() -> None:
    figure = plots.patient_leakage(four_scores(0.97), four_scores(0.98), four_scores(0.01, 0.004))
    upper, lower = figure.axes
    for axes in (upper, lower):
        assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    grouped, random, change = marks(upper, "o"), marks(upper, "D"), marks(lower, "s")
    assert [x for x, _ in grouped] == [0.97] * 4
    assert [x for x, _ in random] == [0.98] * 4
    assert change == [(0.01, row) for row in range(4)]
    for row in range(4):
        # Either side of their name's tick, and the axis runs downwards.
        assert row - 0.5 < grouped[row][1] < row < random[row][1] < row + 0.5
    assert np.allclose(intervals(upper), [(0.96, 0.98), (0.97, 0.99)] * 4)
    assert np.allclose(intervals(lower), [(0.006, 0.014)] * 4)


def test_leak_meter_says_which_split_has_patients_on_both_sides() -> None:
    lines = texts(plots.patient_leakage(four_scores(0.97), four_scores(0.98), four_scores(0.01, 0.012)))
    assert "Random split" in lines
    assert "Split by patient" in lines
    assert lines.count("97.0 (96.0 to 98.0)") == 4
    assert lines.count("98.0 (97.0 to 99.0)") == 4
    assert lines.count("+1.0 (−0.2 to +2.2)") == 4


def test_difference_is_measured_against_a_line_at_zero() -> None:
    _, lower = plots.patient_leakage(four_scores(0.97), four_scores(0.98), four_scores(0.01, 0.004)).axes
    assert [0, 0] in [np.asarray(line.get_xdata()).tolist() for line in lower.lines]
    low, high = lower.get_xlim()
    assert low <= 0 <= high


@pytest.mark.parametrize("place", [0, 1, 2])
def test_leak_meter_without_one_of_the_scores_is_refused(place: int) -> None:
    scores = [four_scores(0.97) for _ in range(3)]
    del scores[place]["roc_auc"]
    with pytest.raises(ValueError, match="missing: roc_auc"):
        plots.patient_leakage(*scores)


def test_score_without_an_interval_has_none_drawn() -> None:
    grouped = four_scores(0.97) | {"accuracy": Estimate(0.97, float("nan"), float("nan"))}
    figure = plots.patient_leakage(grouped, four_scores(0.98), four_scores(0.01))
    assert len(intervals(figure.axes[0])) == 7
    assert "97.0" in texts(figure)


def test_comparison_stands_by_protocol_in_the_order_given() -> None:
    (axes,) = plots.score_comparison(some_rows()).axes
    labels = axes.get_yticklabels()
    names = [label.get_text().replace("\n", " ") for label in labels]
    assert names == ["A published network with a long name", "this project", "A published network, random"]
    assert [label.get_fontweight() for label in labels] == ["normal", "bold", "normal"]
    places = axes.get_yticks().tolist()
    assert places == sorted(places)
    assert axes.yaxis_inverted()
    # Level with their names.
    assert marks(axes, "o") == [(0.945, places[0]), (0.971, places[1])]
    assert marks(axes, "D") == [(0.976, places[2])]
    assert intervals(axes) == [(0.962, 0.978)]


def test_comparison_writes_protocol_and_value() -> None:
    figure = plots.score_comparison(some_rows(), "ROC AUC")
    assert figure.axes[0].get_xlabel() == "ROC AUC"
    lines = texts(figure)
    for text in ("Split by patient", "Random split", "0.945", "0.971", "0.976"):
        assert text in lines
    heights = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    assert heights["Split by patient"] < heights["0.971"] < heights["Random split"]


def test_protocols_differ_in_shape_and_colour() -> None:
    (axes,) = plots.score_comparison(some_rows()).axes
    looks = {line.get_marker(): to_hex(line.get_color()) for line in axes.lines}
    assert looks["o"] == GREEN
    assert looks["D"] != GREEN


def test_comparison_of_one_protocol_has_one_heading() -> None:
    lines = texts(plots.score_comparison([row for row in some_rows() if row.protocol == "random"]))
    assert "Random split" in lines
    assert "Split by patient" not in lines


def test_comparison_of_nothing_or_of_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one score"):
        plots.score_comparison([])
    with pytest.raises(ValueError, match='not "holdout"'):
        plots.score_comparison([replace(some_rows()[2], protocol="holdout")])
