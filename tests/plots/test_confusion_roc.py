"""The confusion matrix and the ROC curve."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from malaria_detect import plots
from malaria_detect.plots.style import INK
from tests.plots.figures import CURVE, POINTS, contrast, line, overlapping, some_scores, texts


def test_confusion_matrix_shows_counts_and_shares_of_each_label() -> None:
    figure = plots.confusion_matrix(some_scores())
    (axes,) = figure.axes
    placed = {text.get_text(): text.get_position() for text in axes.texts}
    where = {"1,440": (0, 0), "60": (1, 0), "20": (0, 1), "980": (1, 1)}
    for count, (column, row) in where.items():
        x, y = placed[count]
        assert (int(x), int(y)) == (column, row)
    lines = texts(figure)
    for share in ("96.0 %", "4.0 %", "2.0 %", "98.0 %", "1,500 cells", "1,000 cells"):
        assert share.replace(" %", "\N{NO-BREAK SPACE}%") in lines
    assert "24 patients; threshold 0.5; shares of each label" in lines


def test_confusion_matrix_colours_by_share_and_keeps_the_ink_readable() -> None:
    (axes,) = plots.confusion_matrix(some_scores()).axes
    fills = {
        (round(patch.get_x()), round(patch.get_y())): to_rgb(patch.get_facecolor())
        for patch in axes.patches
        if isinstance(patch, Rectangle)
    }
    assert len(fills) == 4
    for column, row in fills:
        # Vermillion has more red, blue has more blue; a greater share lies further from white.
        red, _, blue = fills[column, row]
        assert (red > blue) == (row == 0)
        assert contrast(fills[column, row], to_rgb(INK)) >= 4.5
    assert sum(fills[0, 0]) < sum(fills[1, 0])
    assert sum(fills[1, 1]) < sum(fills[0, 1])


def test_roc_curve_of_a_good_model_shows_its_corner_enlarged() -> None:
    figure = plots.roc_curve(some_scores(), CURVE)
    (axes,) = figure.axes
    (inset,) = axes.child_axes
    assert isinstance(inset, Axes)
    expected = ([0.0, 0.0, 0.02, 0.2, 1.0], [0.0, 0.8, 0.96, 1.0, 1.0])
    for shown in (axes, inset):
        assert line(shown, "ROC") == expected
        assert np.allclose(line(shown, "threshold 0.5"), [[0.02], [0.96]])
    assert inset.get_xlim()[1] == 0.1
    assert inset.get_ylim()[0] == 0.9
    lines = texts(figure)
    for text in ("ROC AUC 0.9900\n95 % interval 0.9800 to 0.9950", "threshold 0.5"):
        assert text in lines
    assert axes.get_xlabel() == "false positive rate (1 − specificity)"


def test_roc_curve_of_a_poor_model_has_no_inset_and_no_undefined_interval() -> None:
    figure = plots.roc_curve(some_scores(area=0.8, low=float("nan")), CURVE)
    assert figure.axes[0].child_axes == []
    assert not [text for text in texts(figure) if "nan" in text or "interval" in text]


def test_roc_curve_names_the_operating_points_where_they_lie() -> None:
    figure = plots.roc_curve(some_scores(), CURVE, POINTS)
    (axes,) = figure.axes
    (inset,) = axes.child_axes
    assert isinstance(inset, Axes)
    for shown in (axes, inset):
        for name, (sensitivity, specificity) in POINTS.items():
            assert np.allclose(line(shown, name), [[1 - specificity], [sensitivity]])
    lines = texts(figure)
    assert lines.count("screening") == lines.count("balanced") == lines.count("counting") == 1
    assert not [text for text in lines if text.startswith("threshold")]
    # Every point lies in the enlarged corner.
    assert inset.get_xlim()[1] >= 0.021
    assert inset.get_ylim()[0] <= 0.918


def test_names_of_operating_points_that_coincide_stand_apart() -> None:
    figure = plots.roc_curve(some_scores(), CURVE, dict.fromkeys(POINTS, (0.95, 0.96)))
    (inset,) = figure.axes[0].child_axes
    assert isinstance(inset, Axes)
    figure.draw_without_rendering()
    names = [text for text in inset.texts if text.get_text() in POINTS]
    assert len(names) == 3
    assert not overlapping(names)


def test_operating_points_of_a_poor_model_are_named_on_the_whole_curve() -> None:
    figure = plots.roc_curve(
        some_scores(area=0.8), CURVE, {"screening": (0.97, 0.2), "counting": (0.1, 0.99)}
    )
    assert figure.axes[0].child_axes == []
    assert {"screening", "counting"} <= set(texts(figure))


@pytest.mark.parametrize("points", [(), ((0.0, 0.0),)])
def test_roc_curve_without_a_curve_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match=f"at least two points; there are {len(points)}"):
        plots.roc_curve(some_scores(), points)
