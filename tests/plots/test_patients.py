"""The figure in which every patient is a dot."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from malaria_detect import plots
from malaria_detect.metrics import PatientCounts
from tests.plots.figures import BLUE, VERMILLION, some_patients, texts

FEW = (
    PatientCounts("healthy, none", 0, 50, 0, 0),
    PatientCounts("healthy, 5 %", 0, 100, 0, 5),
    PatientCounts("infected, 20 %", 80, 20, 76, 4),
    PatientCounts("infected, none", 40, 10, 40, 0),
)


def dots(axes: Axes, kind: str) -> np.ndarray:
    """Middle and radius of each dot, in points; shape (dots, 3)."""
    found = [line for line in axes.lines if line.get_label() == kind]
    rows = [
        (x, y, float(line.get_markersize()) / 2)
        for line in found
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    ]
    return np.array(rows).reshape(-1, 3)


def colors(axes: Axes, kind: str) -> set[str]:
    return {to_hex(line.get_color()) for line in axes.lines if line.get_label() == kind}


def tick(axes: Axes, text: str) -> float:
    (found,) = (label for label in axes.texts if label.get_text() == text)
    return float(found.get_position()[0])


def pooled(axes: Axes) -> Line2D:
    (found,) = (line for line in axes.lines if line.get_label() == "pooled")
    return found


@pytest.mark.parametrize("count", [24, 160])
def test_every_patient_is_one_dot_that_hides_no_other(count: int) -> None:
    patients = some_patients(count)
    rate, sensitivity, _ = plots.patient_dots(patients).axes
    infected = [patient for patient in patients if patient.parasitized]
    assert len(dots(rate, "healthy")) == count - len(infected)
    assert len(dots(rate, "infected")) == sum(patient.uninfected > 0 for patient in infected)
    assert len(dots(sensitivity, "infected")) == len(infected)
    for axes in (rate, sensitivity):
        for one, other in combinations(np.concatenate([dots(axes, "healthy"), dots(axes, "infected")]), 2):
            # In data units, which are points. Radii are rounded to a fifth of a point.
            assert np.hypot(*(one[:2] - other[:2])) >= one[2] + other[2] - 0.25
            for x, y, radius in (one, other):
                assert x - radius >= 0
                assert x + radius <= axes.get_xlim()[1]
                assert 0 <= y - radius <= y + radius <= axes.get_ylim()[0]


def test_dots_lie_where_the_scale_says() -> None:
    rate, sensitivity, _ = plots.patient_dots(FEW).axes
    assert sorted(dots(rate, "healthy")[:, 0]) == pytest.approx([tick(rate, "0 %"), tick(rate, "5 %")])
    assert sorted(dots(rate, "infected")[:, 0]) == pytest.approx([tick(rate, "0 %"), tick(rate, "20 %")])
    assert tick(rate, "0 %") < tick(rate, "5 %") < tick(rate, "20 %")
    # Sensitivity, too, grows to the right.
    expected = [tick(sensitivity, "95 %"), tick(sensitivity, "100 %")]
    assert sorted(dots(sensitivity, "infected")[:, 0]) == pytest.approx(expected)
    assert expected == sorted(expected)


def test_worse_patients_lie_further_out() -> None:
    patients = [PatientCounts(f"P{wrong}", 200, 100, 200 - wrong, wrong) for wrong in (1, 2, 5, 11, 40)]
    rate, sensitivity, _ = plots.patient_dots(patients).axes
    # All of one size, so they are drawn in the order given.
    assert (np.diff(dots(rate, "infected")[:, 0]) > 0).all()
    assert (np.diff(dots(sensitivity, "infected")[:, 0]) < 0).all()


def test_healthy_and_infected_patients_differ_in_place_and_colour() -> None:
    rate, sensitivity, _ = plots.patient_dots(some_patients(160)).axes
    assert colors(rate, "healthy") == {BLUE}
    assert colors(rate, "infected") == colors(sensitivity, "infected") == {VERMILLION}
    assert dots(rate, "healthy")[:, 1].max() < dots(rate, "infected")[:, 1].min()
    lines = texts(plots.patient_dots(FEW))
    assert lines.count("2 healthy patients") == 1
    assert lines.count("2 infected patients") == 2
    assert lines.count("none: 1") == 2
    assert "all found: 1" in lines


def test_area_of_a_dot_shows_its_cells() -> None:
    patients = [PatientCounts("few", 100, 100, 99, 1), PatientCounts("many", 400, 400, 388, 12)]
    rate, *_ = plots.patient_dots(patients).axes
    few, many = dots(rate, "infected")[:, 2]
    assert many == pytest.approx(2 * few, rel=0.05)


def test_pooled_value_is_that_of_all_cells_together() -> None:
    rate, sensitivity, _ = plots.patient_dots(FEW).axes
    # 9 of 180, and 116 of 120.
    assert np.asarray(pooled(rate).get_xdata())[0] == pytest.approx(tick(rate, "5 %"))
    lines = texts(plots.patient_dots(FEW))
    assert "all cells: 5.0 %" in lines
    assert "all cells: 96.7 %" in lines
    place = np.asarray(pooled(sensitivity).get_xdata())[0]
    assert tick(sensitivity, "95 %") < place < tick(sensitivity, "100 %")


def test_operating_point_is_named_below() -> None:
    assert "counting: called parasitized from 0.97 on" in texts(
        plots.patient_dots(FEW, "counting: called parasitized from 0.97 on")
    )


def test_patients_of_whom_none_is_called_wrongly_are_drawn() -> None:
    patients = [PatientCounts(f"P{number}", 10, 10, 10, 0) for number in range(150)]
    rate, sensitivity, _ = plots.patient_dots(patients).axes
    assert len(dots(rate, "infected")) == len(dots(sensitivity, "infected")) == 150
    assert dots(rate, "infected")[:, 0].max() < np.asarray(pooled(rate).get_xdata())[0]


@pytest.mark.parametrize("patients", [(), FEW[:2], (PatientCounts("only parasitized", 9, 0, 9, 0),)])
def test_patients_with_cells_of_one_label_are_refused(patients: Sequence[PatientCounts]) -> None:
    with pytest.raises(ValueError, match="need patients with uninfected cells and patients with parasitized"):
        plots.patient_dots(patients)
