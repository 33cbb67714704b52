"""The figure in which every patient is a dot."""

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from malaria_detect import plots
from malaria_detect.metrics import PatientCounts
from tests.plots.figures import BLUE, VERMILLION, line, some_patients, texts

FEW = (
    PatientCounts("healthy, none", 0, 50, 0, 0),
    PatientCounts("healthy, 5 %", 0, 100, 0, 5),
    PatientCounts("infected, 20 %", 80, 20, 76, 4),
    PatientCounts("infected, none", 40, 10, 40, 0),
)


def strip(axes: Axes, kind: str) -> PathCollection:
    (found,) = (one for one in axes.collections if one.get_label() == kind)
    assert isinstance(found, PathCollection)
    return found


def places(axes: Axes, kind: str) -> list[float]:
    return sorted(np.asarray(strip(axes, kind).get_offsets())[:, 0].tolist())


def test_every_patient_is_a_dot_at_its_rate() -> None:
    rate, sensitivity = plots.patient_dots(FEW).axes
    assert places(rate, "healthy") == pytest.approx([0, 0.05])
    assert places(rate, "infected") == pytest.approx([0, 0.2])
    assert places(sensitivity, "infected") == pytest.approx([0.95, 1])


def test_worse_patients_are_further_from_the_ends_without_errors() -> None:
    for axes, ends in zip(plots.patient_dots(FEW).axes, ((0, 0.2), (1, 0.95)), strict=True):
        best, worst = axes.transData.transform([(end, 0) for end in ends])[:, 0]
        edge = axes.get_window_extent()
        assert edge.x0 <= min(best, worst) < max(best, worst) <= edge.x1
        assert (best < worst) == (ends[0] < ends[1])


def test_kinds_of_patients_differ_in_colour_and_strip() -> None:
    rate, _ = plots.patient_dots(some_patients(160)).axes
    healthy, infected = strip(rate, "healthy"), strip(rate, "infected")
    assert [to_hex(np.asarray(one.get_facecolor())[0]) for one in (healthy, infected)] == [BLUE, VERMILLION]
    assert np.asarray(healthy.get_offsets())[:, 1].max() < np.asarray(infected.get_offsets())[:, 1].min()


def test_the_area_of_a_dot_is_proportional_to_its_cells() -> None:
    patients = [PatientCounts("few", 100, 100, 99, 1), PatientCounts("many", 400, 400, 388, 12)]
    few, many = strip(plots.patient_dots(patients).axes[0], "infected").get_sizes()
    assert many == pytest.approx(4 * few)


def test_a_line_marks_the_value_of_all_cells() -> None:
    rate, sensitivity = plots.patient_dots(FEW).axes
    assert line(rate, "pooled")[0] == pytest.approx([9 / 180] * 2)
    assert line(sensitivity, "pooled")[0] == pytest.approx([116 / 120] * 2)


def test_the_same_patients_give_the_same_figure() -> None:
    one, other = (strip(plots.patient_dots(FEW).axes[0], "infected").get_offsets() for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_the_operating_point_is_written_below() -> None:
    assert any(
        "counting: from 0.97" in text for text in texts(plots.patient_dots(FEW, "counting: from 0.97"))
    )


def test_patients_without_any_error_are_drawn() -> None:
    patients = [PatientCounts(f"P{number}", 10, 10, 10, 0) for number in range(150)]
    rate, sensitivity = plots.patient_dots(patients).axes
    assert places(rate, "infected") == [0] * 150
    assert places(sensitivity, "infected") == [1] * 150


@pytest.mark.parametrize("patients", [(), FEW[:2], (PatientCounts("only parasitized", 9, 0, 9, 0),)])
def test_patients_with_cells_of_one_label_are_refused(patients: Sequence[PatientCounts]) -> None:
    with pytest.raises(ValueError, match="needs patients"):
        plots.patient_dots(patients)
