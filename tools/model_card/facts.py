"""What the report says that stands in no result file as such: groups of patients, slides, ranges of others' scores."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from malaria_detect.evaluation.cross_validation import CrossValidation, Evaluation, HeldOut
from malaria_detect.evaluation.literature import Work
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.metrics import Estimate, PatientCounts, Scores, count_patients
from malaria_detect.metrics.parasitemia import (
    DetectionLimit,
    ParasitemiaEstimate,
    corrected_parasitemia,
    healthy_reading,
    limit_of_detection,
)

_SLIDE = re.compile(r"C\d+[A-Z]?(?=P\d)|C\d+")
# Of the example of a corrected count.
EXAMPLE_CALLED, EXAMPLE_COUNTED = 50, 1000


@dataclass(frozen=True)
class SlideReading:
    """What some patients' error rates mean for a slide.

    Attributes
    ----------
    name : str
        Of the operating point, or of what else called the cells.
    healthy : Estimate
        Share of a healthy person's cells that is called parasitized.
    limits : tuple of DetectionLimit
        One for each number of counted cells.
    """

    name: str
    healthy: Estimate
    limits: tuple[DetectionLimit, ...]


@dataclass(frozen=True)
class Slides:
    """How many slides and patient groups the file names of some cells name."""

    slides: int
    patients: int


@dataclass(frozen=True)
class PatientGroup:
    """Cells of some patients; all shares in 0 to 1, NaN where undefined.

    Attributes
    ----------
    sensitivity, false_positive_rate : float
        Of all cells together.
    middle_sensitivity, middle_false_positive_rate : float
        Of the median patient.
    least_sensitive, most_alarming : PatientCounts or None
        The worst patient, of several the one with the most cells; None where none has cells of that label.
    """

    name: str
    patients: int
    cells: int
    sensitivity: float
    middle_sensitivity: float
    least_sensitive: PatientCounts | None
    false_positive_rate: float
    middle_false_positive_rate: float
    most_alarming: PatientCounts | None


@dataclass(frozen=True)
class Ours:
    """One of our own rows among published results."""

    name: str
    patients_apart: bool
    protocol: str
    scores: Scores


def slide_readings(
    metadata: ModelMetadata, grouped: CrossValidation, counted: Sequence[int]
) -> tuple[SlideReading, ...]:
    """What the operating points mean for slides of so many counted cells, and last what the cross-validation does."""
    patients = {point.name: point.patients for point in metadata.operating_points}
    patients["cross-validation"] = grouped.patients
    return tuple(
        SlideReading(
            name, healthy_reading(those), tuple(limit_of_detection(cells, those) for cells in counted)
        )
        for name, those in patients.items()
    )


def example(point: OperatingPoint) -> ParasitemiaEstimate:
    """A count corrected for what the operating point misses and over-calls."""
    return corrected_parasitemia(EXAMPLE_CALLED, EXAMPLE_COUNTED, point.patients)


def slides_of(held_out: HeldOut) -> Slides:
    """Count slides and patient groups: a file name begins with its slide, as C100 in C100P61ThinF, C37B in C37BP2."""
    ids = {file.partition("_IMG_")[0] for file in held_out.files}
    found = ((_SLIDE.match(name), name) for name in ids)
    return Slides(len({slide.group() if slide else name for slide, name in found}), len(set(held_out.groups)))


def by_infection(patients: Sequence[PatientCounts]) -> tuple[PatientGroup, ...]:
    """Patients with parasitized cells, and those without any; a kind that is not there is left out."""
    kinds = {
        "infected patients": [patient for patient in patients if patient.parasitized],
        "healthy patients": [patient for patient in patients if not patient.parasitized],
    }
    return tuple(_group(name, members) for name, members in kinds.items() if members)


def by_microscope(held_out: HeldOut, threshold: float) -> tuple[PatientCounts, ...]:
    """The patients whose cells carry two ids, because they were photographed twice: the counts of each id."""
    ids = [file.partition("_IMG_")[0] for file in held_out.files]
    known: dict[str, set[str]] = {}
    for group, name in zip(held_out.groups, ids, strict=True):
        known.setdefault(group, set()).add(name)
    twice = {name for names in known.values() if len(names) > 1 for name in names}
    chosen = [place for place, name in enumerate(ids) if name in twice]
    if not chosen:
        return ()
    called = held_out.p[chosen] >= threshold
    return count_patients(held_out.parasitized[chosen], called, [ids[place] for place in chosen])


def ours(metadata: ModelMetadata, evaluation: Evaluation) -> tuple[Ours, ...]:
    """What stands beside published results: the shipped model's test, and both cross-validations."""
    test = metadata.point().test
    tested = f"{test.cells:,} cells of {test.patients} test patients, `{metadata.default_point}`"
    return (
        Ours("ours, shipped model", True, tested, test),
        *(
            Ours(name, not one.run.patients_on_both_sides, protocol(one), one.scores)
            for name, one in (
                ("ours, cross-validation", evaluation.grouped),
                ("ours, random split", evaluation.random),
            )
        ),
    )


def protocol(cross_validation: CrossValidation) -> str:
    """How a cross-validation cut the cells."""
    folds, cells = cross_validation.run.folds, cross_validation.scores.cells
    if not cross_validation.run.patients_on_both_sides:
        return f"{folds} folds, grouped by patient"
    return f"{folds} random folds" if folds > 1 else f"one random cut, {cells:,} cells held out"


def range_of(works: Iterable[Work], name: str, patients_apart: bool) -> tuple[float, float] | None:
    """Least and greatest of a score among works of one kind of split, or None where nobody gives it."""
    values = [
        work.scores[name] for work in works if work.patients_apart == patients_apart and name in work.scores
    ]
    return (min(values), max(values)) if values else None


def _group(name: str, patients: Sequence[PatientCounts]) -> PatientGroup:
    infected = [patient for patient in patients if patient.parasitized]
    clear = [patient for patient in patients if patient.uninfected]
    nothing = float("nan")
    return PatientGroup(
        name=name,
        patients=len(patients),
        cells=sum(patient.cells for patient in patients),
        sensitivity=_share(patients, "true_positive", "parasitized"),
        middle_sensitivity=median(patient.sensitivity for patient in infected) if infected else nothing,
        least_sensitive=min(infected, key=lambda one: (one.sensitivity, -one.parasitized), default=None),
        false_positive_rate=_share(patients, "false_positive", "uninfected"),
        middle_false_positive_rate=median(patient.false_positive_rate for patient in clear)
        if clear
        else nothing,
        most_alarming=max(clear, key=lambda one: (one.false_positive_rate, one.uninfected), default=None),
    )


def _share(patients: Sequence[PatientCounts], part: str, whole: str) -> float:
    total = sum(getattr(patient, whole) for patient in patients)
    return sum(getattr(patient, part) for patient in patients) / total if total else float("nan")
