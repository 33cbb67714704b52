"""Figures of estimated against true parasitemia: where the marks are."""

import numpy as np
from numpy.testing import assert_allclose

from malaria_detect.metrics.formatting import NO_BREAK, format_points
from tests.plots.figures import figure_of, points, texts
from tests.tools.records import made_up_parasitemia

STUDY = made_up_parasitemia().cross_validation
POINT = STUDY.point("counting")
INFECTED = STUDY.true > 0


def test_differences_are_drawn_for_every_patient_and_both_estimates() -> None:
    figure = figure_of("bland_altman")
    both = (POINT.columns["apparent"], POINT.raw), (POINT.columns["corrected"], POINT.corrected)
    for axes, (estimate, found) in zip(figure.axes, both, strict=True):
        dots = points(axes, "infected")
        assert_allclose(dots, np.column_stack([STUDY.true, estimate - STUDY.true])[INFECTED])
        assert_allclose(points(axes, "healthy")[:, 1], estimate[~INFECTED])
        assert f"mean {format_points(found.bias)}; 95{NO_BREAK}%" in "".join(texts(figure))


def test_corrected_parasitemia_has_its_interval_and_healthy_patients_are_at_the_end_of_the_axis() -> None:
    (axes,) = figure_of("parasitemia_agreement").axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    shown = np.maximum([STUDY.true, POINT.columns["corrected"]], 0.001).T
    assert_allclose(points(axes, "infected"), shown[INFECTED])
    assert_allclose(points(axes, "healthy"), shown[~INFECTED])
    (lines,) = [one for one in axes.collections if one.get_label() == f"95{NO_BREAK}% interval"]
    ends = np.array([path.vertices for path in lines.get_paths()])[..., 1]
    assert_allclose(ends, np.maximum([POINT.columns["low"], POINT.columns["high"]], 0.001).T)


def test_detection_is_written_beside_each_band() -> None:
    found = texts(figure_of("detection_by_parasitemia"))
    for band in (*POINT.raw_detected, *POINT.corrected_detected):
        assert f"{band.detected.hits} of {band.detected.total}" in found
    assert "none (false alarms)" in found
