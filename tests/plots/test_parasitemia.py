"""Figures of what a cell classifier means for a slide."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from malaria_detect import plots
from malaria_detect.metrics import parasitemia as slide
from malaria_detect.metrics.formatting import NO_BREAK
from malaria_detect.metrics.parasitemia import DetectionLimit
from tests.plots.figures import POINTS, line, some_limits, texts


def plain_texts(figure: Figure) -> list[str]:
    return [text.replace(NO_BREAK, " ") for text in texts(figure)]


def test_curves_of_apparent_parasitemia_follow_the_formula() -> None:
    (axes,) = plots.apparent_parasitemia(POINTS).axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    for name, (sensitivity, specificity) in POINTS.items():
        (label,) = (one.get_label() for one in axes.lines if str(one.get_label()).startswith(name))
        true, called = line(axes, str(label))
        assert true[0] == pytest.approx(0.0001)
        assert true[-1] == pytest.approx(0.3)
        for share, reading in list(zip(true, called, strict=True))[::20]:
            assert reading == pytest.approx(slide.apparent_parasitemia(share, sensitivity, specificity))
        assert (np.diff(called) > 0).all()
        # The floor: with hardly a parasite it reads what false positives make.
        assert called[0] == pytest.approx(1 - specificity, rel=0.05)
    true, same = line(axes, "without errors")
    assert true == same


def test_what_a_healthy_slide_reads_is_written() -> None:
    lines = plain_texts(plots.apparent_parasitemia({**POINTS, "perfect": (1.0, 1.0)}))
    for text in (
        "screening: 2.1 % without parasites",
        "counting: 0.40 % without parasites",
        "perfect: 0 % without parasites",
    ):
        assert text in lines


def test_limits_of_detection_stand_level_with_their_number_of_cells() -> None:
    (axes,) = plots.detection_limits(some_limits()).axes
    assert axes.get_xscale() == "log"
    places = axes.get_yticks().tolist()
    assert places == sorted(places)
    assert axes.yaxis_inverted()
    cells = [label.get_text() for label in axes.get_yticklabels()]
    assert cells == ["500 cells", "5,000 cells"] * 2
    drawn = [(np.asarray(dot.get_xdata())[0], np.asarray(dot.get_ydata())[0]) for dot in axes.lines]
    assert drawn == [(0.16, places[0]), (0.13, places[1]), (0.041, places[2])]
    low, high = axes.get_xlim()
    assert low < 0.041 < 0.16 < high


def test_limits_are_written_and_a_missing_one_is_called_none() -> None:
    lines = plain_texts(plots.detection_limits(some_limits()))
    for text in ("screening", "counting", "16 %", "13 %", "4.1 %", "none"):
        assert text in lines


def test_limits_none_of_which_is_known_are_drawn() -> None:
    figure = plots.detection_limits({"screening": [DetectionLimit(500, 0.5, float("nan"))]})
    assert "none" in texts(figure)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one operating point"):
        plots.apparent_parasitemia({})
    with pytest.raises(ValueError, match="no limits"):
        plots.detection_limits({"screening": []})
