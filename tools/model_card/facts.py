"""Numbers of the pages that are computed from the result files: groups of patients, slides, memory for visitors."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from malaria_detect.evaluation.cross_validation import CrossValidation, HeldOut
from malaria_detect.evaluation.laboratories import Laboratories, LaboratoryScore
from malaria_detect.evaluation.literature import Work
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics import Estimate, PatientCounts, count_patients
from malaria_detect.metrics.parasitemia import DetectionLimit, healthy_reading, limit_of_detection

# Memory of common machines, in MiB; a tenth is kept free for the operating system and for large requests.
MACHINES, KEPT_FREE = (512, 1024, 2048, 4096), 0.1


@dataclass(frozen=True)
class SlideReading:
    """What error rates mean for a slide.

    Attributes
    ----------
    name : str
        Operating point, or "cross-validation".
    healthy : Estimate
        Share of a healthy person's cells that are called parasitized, 0 to 1.
    limits : tuple of DetectionLimit
        Limit of detection for each number of counted cells.
    """

    name: str
    healthy: Estimate
    limits: tuple[DetectionLimit, ...]


@dataclass(frozen=True)
class PatientGroup:
    """Scores of a group of patients; shares are 0 to 1, NaN if undefined.

    Attributes
    ----------
    pooled : PatientCounts
        All cells of the group together.
    median_sensitivity, median_false_positive_rate : float
        Of the median patient.
    lowest_sensitivity, highest_false_positive_rate : PatientCounts or None
        The worst patient; None if no patient has cells with that label.
    """

    name: str
    patients: int
    pooled: PatientCounts
    median_sensitivity: float
    lowest_sensitivity: PatientCounts | None
    median_false_positive_rate: float
    highest_false_positive_rate: PatientCounts | None


def slide_readings(
    metadata: ModelMetadata, grouped: CrossValidation, counted: Sequence[int]
) -> tuple[SlideReading, ...]:
    """One reading for each operating point, and one for the cross-validation by patient."""
    patients = {point.name: point.patients for point in metadata.operating_points}
    patients["cross-validation"] = grouped.patients
    return tuple(
        SlideReading(
            name, healthy_reading(group), tuple(limit_of_detection(cells, group) for cells in counted)
        )
        for name, group in patients.items()
    )


def by_laboratory(found: Laboratories | None) -> dict[str, tuple[LaboratoryScore, ...]]:
    """Scores of each laboratory whose cells are of both classes, by its name."""
    scores = [one for one in (found.laboratories if found else ()) if one.reliability]
    return {one.name: tuple(each for each in scores if each.name == one.name) for one in scores}


def by_infection(patients: Sequence[PatientCounts]) -> tuple[PatientGroup, ...]:
    """Patients with and without parasitized cells; a group without patients is left out."""
    groups = {
        "infected patients": [patient for patient in patients if patient.parasitized],
        "healthy patients": [patient for patient in patients if not patient.parasitized],
    }
    return tuple(_group(name, members) for name, members in groups.items() if members)


def by_microscope(held_out: HeldOut, threshold: float) -> tuple[PatientCounts, ...]:
    """Counts per microscope of patients whose file names carry two ids, because they were photographed twice."""
    ids = [file.partition("_IMG_")[0] for file in held_out.files]
    names: dict[str, set[str]] = {}
    for group, name in zip(held_out.groups, ids, strict=True):
        names.setdefault(group, set()).add(name)
    chosen = [place for place, group in enumerate(held_out.groups) if len(names[group]) > 1]
    if not chosen:
        return ()
    called = held_out.p[chosen] >= threshold
    return count_patients(held_out.parasitized[chosen], called, [ids[place] for place in chosen])


def range_of(works: Iterable[Work], name: str, patients_apart: bool) -> tuple[float, float] | None:
    """Lowest and highest value of a score among works with one kind of split; None if no work reports it."""
    values = [
        work.scores[name] for work in works if work.patients_apart == patients_apart and name in work.scores
    ]
    return (min(values), max(values)) if values else None


def megabytes_per_visitor(serve: Mapping[str, Any]) -> float:
    """Memory of one visitor: the larger of an idle session and one while all visitors upload, in 10⁶ bytes."""
    crowd = serve["crowd"]
    busy = (crowd["memory_mb"] - serve["series"]["before"]["memory_mb"]) / crowd["visitors"]
    return float(max(serve["private_mb"]["ours"], busy))


def visitors_by_memory(serve: Mapping[str, Any]) -> dict[int, int]:
    """Number of simultaneous visitors by memory of the machine in MiB, from a report of ``make bench-serve``."""
    each = megabytes_per_visitor(serve)
    free = {
        size: size * 2**20 / 1e6 * (1 - KEPT_FREE) - serve["series"]["before"]["memory_mb"]
        for size in MACHINES
    }
    return {size: max(0, math.floor(left / each)) for size, left in free.items()}


def _group(name: str, patients: Sequence[PatientCounts]) -> PatientGroup:
    infected = [patient for patient in patients if patient.parasitized]
    uninfected = [patient for patient in patients if patient.uninfected]
    totals = {
        field: sum(getattr(patient, field) for patient in patients)
        for field in ("parasitized", "uninfected", "true_positive", "false_positive")
    }
    return PatientGroup(
        name=name,
        patients=len(patients),
        pooled=PatientCounts(name, **totals),
        median_sensitivity=_median(patient.sensitivity for patient in infected),
        lowest_sensitivity=min(infected, key=lambda one: (one.sensitivity, -one.parasitized), default=None),
        median_false_positive_rate=_median(patient.false_positive_rate for patient in uninfected),
        highest_false_positive_rate=max(
            uninfected, key=lambda one: (one.false_positive_rate, one.uninfected), default=None
        ),
    )


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return median(known) if known else math.nan
