"""Groups of patients, slides and ranges, by hand."""

import math

import pytest

from malaria_detect.evaluation.cross_validation import HeldOut
from malaria_detect.evaluation.literature import Work
from malaria_detect.metrics import PatientCounts
from tools.model_card.facts import by_infection, by_microscope, range_of, slides_of

PATIENTS = (
    PatientCounts("A", parasitized=10, uninfected=10, true_positive=9, false_positive=1),
    PatientCounts("B", parasitized=30, uninfected=0, true_positive=15, false_positive=0),
    PatientCounts("C", parasitized=0, uninfected=40, true_positive=0, false_positive=0),
    PatientCounts("D", parasitized=0, uninfected=10, true_positive=0, false_positive=5),
    PatientCounts("E", parasitized=0, uninfected=10, true_positive=0, false_positive=1),
)


def held_out(*names: str) -> HeldOut:
    """Cells of slide C47, whose patient is one under both ids; every second one is parasitized and found."""
    places = range(len(names))
    labels = tuple("Parasitized" if place % 2 else "Uninfected" for place in places)
    return HeldOut(
        files=tuple(f"{name}_IMG_20150717_1_cell_{place}.png" for place, name in enumerate(names)),
        groups=tuple("C47P8" if name.startswith("C47P8") else name for name in names),
        folds=(1,) * len(names),
        labels=labels,
        probability=tuple(0.9 if place % 2 else 0.1 for place in places),
        corrected=labels,
    )


def test_infected_and_healthy_patients_are_told_apart_by_their_labels() -> None:
    infected, healthy = by_infection(PATIENTS)
    assert (infected.name, infected.patients, infected.cells) == ("infected patients", 2, 50)
    assert (infected.sensitivity, infected.middle_sensitivity, infected.least_sensitive) == (
        0.6,
        0.7,
        PATIENTS[1],
    )
    assert (infected.false_positive_rate, infected.most_alarming) == (0.1, PATIENTS[0])
    assert (healthy.patients, healthy.cells, healthy.false_positive_rate) == (3, 60, 0.1)
    assert (healthy.middle_false_positive_rate, healthy.most_alarming) == (0.1, PATIENTS[3])
    assert math.isnan(healthy.sensitivity)
    assert healthy.least_sensitive is None
    assert [group.name for group in by_infection(PATIENTS[:1])] == ["infected patients"]


def test_a_patient_photographed_twice_is_counted_under_each_id() -> None:
    cells = held_out(
        "C47P8Motic", "C47P8Motic", "C47P8Olympus", "C47P8Olympus", "C47P8Olympus", "C9P9", "C9P9"
    )
    motic, olympus = by_microscope(cells, threshold=0.5)
    assert (motic.group, motic.parasitized, motic.true_positive, motic.uninfected) == ("C47P8Motic", 1, 1, 1)
    assert (olympus.group, olympus.cells, olympus.false_positive) == ("C47P8Olympus", 3, 0)
    assert by_microscope(held_out("C1P1", "C1P1", "C2P2"), threshold=0.5) == ()


@pytest.mark.parametrize(
    ("names", "slides", "patients"),
    [
        (("C100P61ThinF", "C100P61ThinF", "C101P62ThinF"), 2, 2),
        (("C37BP2_thinF", "C37P2_thinF"), 2, 2),
        (("C47P8Motic", "C47P8Olympus"), 1, 1),
        (("C13NThinF", "C201ThinF", "other"), 3, 3),
    ],
)
def test_slides_are_counted_by_what_file_names_begin_with(
    names: tuple[str, ...], slides: int, patients: int
) -> None:
    found = slides_of(held_out(*names))
    assert (found.slides, found.patients) == (slides, patients)


def test_a_range_is_of_one_kind_of_split_only() -> None:
    works = [
        Work("one", "", patients_apart=True, protocol="", scores={"accuracy": 0.9}, also="", note=""),
        Work("two", "", patients_apart=True, protocol="", scores={"accuracy": 0.8}, also="", note=""),
        Work("three", "", patients_apart=False, protocol="", scores={"accuracy": 0.99}, also="", note=""),
    ]
    assert range_of(works, "accuracy", patients_apart=True) == (0.8, 0.9)
    assert range_of(works, "roc_auc", patients_apart=False) is None
