"""Groups of patients, ranges of published scores and visitors, checked by hand."""

import math

from malaria_detect.evaluation.cross_validation import HeldOut
from malaria_detect.evaluation.literature import Work
from malaria_detect.metrics import PatientCounts
from tools.model_card.facts import by_infection, by_microscope, range_of, visitors_by_memory

PATIENTS = (
    PatientCounts("A", parasitized=10, uninfected=10, true_positive=9, false_positive=1),
    PatientCounts("B", parasitized=30, uninfected=0, true_positive=15, false_positive=0),
    PatientCounts("C", parasitized=0, uninfected=40, true_positive=0, false_positive=0),
    PatientCounts("D", parasitized=0, uninfected=10, true_positive=0, false_positive=5),
    PatientCounts("E", parasitized=0, uninfected=10, true_positive=0, false_positive=1),
)


def held_out(*names: str) -> HeldOut:
    """Cells with these ids; every second one is parasitized and found."""
    labels = tuple("Parasitized" if place % 2 else "Uninfected" for place in range(len(names)))
    return HeldOut(
        files=tuple(f"{name}_IMG_20150717_1_cell_{place}.png" for place, name in enumerate(names)),
        groups=tuple(name[:5] for name in names),
        folds=(1,) * len(names),
        labels=labels,
        probability=tuple(0.9 if label == "Parasitized" else 0.1 for label in labels),
        corrected=labels,
    )


def test_patients_are_grouped_by_infection() -> None:
    infected, healthy = by_infection(PATIENTS)
    assert (infected.patients, infected.pooled.cells, infected.pooled.sensitivity) == (2, 50, 0.6)
    assert (infected.median_sensitivity, infected.lowest_sensitivity) == (0.7, PATIENTS[1])
    assert (infected.pooled.false_positive_rate, infected.highest_false_positive_rate) == (0.1, PATIENTS[0])
    assert (healthy.patients, healthy.pooled.cells, healthy.pooled.false_positive_rate) == (3, 60, 0.1)
    assert (healthy.median_false_positive_rate, healthy.highest_false_positive_rate) == (0.1, PATIENTS[3])
    assert math.isnan(healthy.median_sensitivity)
    assert healthy.lowest_sensitivity is None
    assert [group.name for group in by_infection(PATIENTS[:1])] == ["infected patients"]


def test_a_patient_with_two_microscopes_is_counted_for_each() -> None:
    cells = held_out("C47P8Motic", "C47P8Motic", "C47P8Olympus", "C47P8Olympus", "C47P8Olympus", "C99P9")
    motic, olympus = by_microscope(cells, threshold=0.5)
    assert (motic.group, motic.parasitized, motic.true_positive, motic.uninfected) == ("C47P8Motic", 1, 1, 1)
    assert (olympus.group, olympus.cells, olympus.false_positive) == ("C47P8Olympus", 3, 0)
    assert by_microscope(held_out("C11P1", "C11P1", "C22P2"), threshold=0.5) == ()


def test_a_range_has_works_of_one_kind_of_split() -> None:
    works = [
        Work("", "", patients_apart=apart, protocol="", scores={"accuracy": accuracy}, also="", note="")
        for accuracy, apart in ((0.9, True), (0.8, True), (0.99, False))
    ]
    assert range_of(works, "accuracy", patients_apart=True) == (0.8, 0.9)
    assert range_of(works, "roc_auc", patients_apart=False) is None


def test_visitors_fit_into_the_memory_that_the_server_leaves() -> None:
    serve = {
        "series": {"before": {"memory_mb": 600}},
        "private_mb": {"ours": 40.0},
        "crowd": {"visitors": 20, "memory_mb": 1600},
    }
    # 50 MB each while all upload; nine tenths of 1,024 MiB are 966 MB.
    assert visitors_by_memory(serve) == {512: 0, 1024: 7, 2048: 26, 4096: 65}
