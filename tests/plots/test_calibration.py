"""The reliability diagram."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from malaria_detect import plots
from malaria_detect.metrics import ReliabilityBin
from tests.plots.figures import line, overlapping, some_bins, texts

RAW, CALIBRATED = [0.02, 0.1, 0.7, 0.97], [0.004, 0.06, 0.75, 0.99]


def ticks(axes: Axes) -> dict[str, float]:
    return dict(
        zip([label.get_text() for label in axes.get_xticklabels()], axes.get_xticks().tolist(), strict=True)
    )


def test_dots_lie_at_mean_probability_and_observed_share() -> None:
    (axes,) = plots.reliability_diagram(some_bins(RAW), some_bins(CALIBRATED)).axes
    for name, means in (("raw", RAW), ("calibrated", CALIBRATED)):
        x, y = line(axes, name)
        assert x == means
        assert y[1:-1] == means[1:-1]
        # Exact ends have no log-odds; they stand where the axis says 0 and 100.
        assert y[0] == ticks(axes)["0"]
        assert y[-1] == ticks(axes)["100"]


def test_intervals_reach_from_low_to_high() -> None:
    (axes,) = plots.reliability_diagram(some_bins(RAW), some_bins(CALIBRATED)).axes
    raw, calibrated = (found for found in axes.collections if isinstance(found, LineCollection))
    for drawn, means in ((raw, RAW), (calibrated, CALIBRATED)):
        segments = np.array(drawn.get_segments())
        assert segments[:, 0, 0].tolist() == segments[:, 1, 0].tolist() == means
        assert np.allclose(segments[1:-1, :, 1], [[mean - 0.02, mean + 0.02] for mean in means[1:-1]])


@pytest.mark.parametrize("lowest", [0.2, 0.01, 1e-3, 1e-5, 1e-9])
def test_axes_are_alike_growing_and_hold_every_dot(lowest: float) -> None:
    figure = plots.reliability_diagram(
        some_bins([lowest, 0.5, 1 - lowest]), some_bins([lowest, 0.4, 1 - lowest])
    )
    (axes,) = figure.axes
    places = ticks(axes)
    assert [float(text) for text in places] == sorted(float(text) for text in places)
    assert list(places.values()) == sorted(places.values())
    assert {"0", "50", "100"} <= set(places)
    assert all(abs(100 * places[text] - float(text)) < 1e-9 for text in list(places)[1:-1])
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_yticks().tolist() == list(places.values())
    for name in ("raw", "calibrated"):
        for value in np.ravel(line(axes, name)):
            assert axes.get_xlim()[0] < value < axes.get_xlim()[1]
    figure.draw_without_rendering()
    assert overlapping(axes.get_xticklabels()) == []


def test_both_ends_and_the_middle_have_room() -> None:
    """A step from 0.5 % to 5 % is seen as well as one from 20 % to 70 %."""
    (axes,) = plots.reliability_diagram(some_bins(RAW), some_bins(CALIBRATED)).axes
    ends, middle = (
        axes.transData.transform([(low, 0.5), (high, 0.5)])[:, 0] for low, high in ((0.005, 0.05), (0.2, 0.7))
    )
    assert np.diff(ends)[0] > 0.15 * axes.get_window_extent().width
    assert np.diff(ends)[0] == pytest.approx(np.diff(middle)[0], rel=0.1)


def test_the_number_of_cells_behind_a_dot_is_told() -> None:
    bins = some_bins(CALIBRATED)
    assert "each dot: 200 cells,\nwith 95 % interval" in texts(plots.reliability_diagram(bins, bins))
    uneven = [*bins[:-1], ReliabilityBin(1203, 0.99, 0.98, 0.97, 0.99)]
    assert "each dot: 200 to 1,203 cells,\nwith 95 % interval" in texts(
        plots.reliability_diagram(bins, uneven)
    )


def test_diagram_without_bins_is_refused() -> None:
    with pytest.raises(ValueError, match="needs bins before and after calibration"):
        plots.reliability_diagram([], some_bins(CALIBRATED))
    with pytest.raises(ValueError, match="needs bins before and after calibration"):
        plots.reliability_diagram(some_bins(RAW), [])
