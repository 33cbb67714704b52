"""Estimated and true parasitemia of every patient: the records of ``reports/parasitemia.json``; no scikit-learn."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from malaria_detect.core.json_io import read_record
from malaria_detect.data.census import PatientCensus
from malaria_detect.evaluation.cross_validation import CrossValidationError
from malaria_detect.metrics import Estimate
from malaria_detect.metrics.agreement import Agreement, Band
from malaria_detect.metrics.types import Floats

PARASITEMIA = "parasitemia.json"  # the file in reports/
COUNTING = "counting"  # the operating point that figures show
_WRITTEN_BY = "`malaria-detect evaluate --parasitemia` writes it."


@dataclass(frozen=True)
class Reading:
    """The parasitemia of one patient as the classifier reads it; all values are 0 to 1.

    Attributes
    ----------
    apparent : float
        Share of the cells called parasitized.
    corrected, low, high : float
        Corrected with the rates of other patients (Rogan-Gladen), with the 95 % interval.
    blank : float
        Limit of blank of other patients for as many cells.
    """

    apparent: float
    corrected: float
    low: float
    high: float
    blank: float


@dataclass(frozen=True)
class PointParasitemia:
    """Readings of all patients at one operating point, and how well they agree with the census.

    Attributes
    ----------
    thresholds : tuple of float
        One for each fold; a single one for the shipped model.
    readings : tuple of Reading
        In the order of the patients.
    raw, corrected : Agreement
        Of the apparent and of the corrected parasitemia.
    raw_detected, corrected_detected : tuple of Band
        Patients whose apparent parasitemia is above the limit of blank, and those whose interval does not reach zero.
    coverage : Estimate
        Share of patients whose interval contains the true parasitemia.
    sampling_sd : float
        Standard deviation of ``apparent - true`` that comes from predicting only a sample of the uninfected cells.
    """

    name: str
    thresholds: tuple[float, ...]
    readings: tuple[Reading, ...]
    raw: Agreement
    corrected: Agreement
    raw_detected: tuple[Band, ...]
    corrected_detected: tuple[Band, ...]
    coverage: Estimate
    sampling_sd: float

    @property
    def columns(self) -> dict[str, Floats]:
        """The values of the readings by name, each of shape (patients,)."""
        return {
            name: np.array([getattr(one, name) for one in self.readings]) for name in Reading.__annotations__
        }


@dataclass(frozen=True)
class Study:
    """Patients with their census, sorted by patient group, and their readings at every operating point."""

    patients: tuple[PatientCensus, ...]
    points: tuple[PointParasitemia, ...]

    @property
    def true(self) -> Floats:
        """True parasitemia of every patient, (patients,)."""
        return np.array([one.parasitemia for one in self.patients])

    def point(self, name: str) -> PointParasitemia:
        """An operating point by its name."""
        return next(point for point in self.points if point.name == name)


@dataclass(frozen=True)
class ParasitemiaEvaluation:
    """Contents of ``reports/parasitemia.json``.

    Attributes
    ----------
    cells : str
        Fingerprint of the cells of the cross-validation.
    cross_validation : Study
        Every patient, predicted by a network that was not trained on the patient.
    own_scores : Agreement
        Of the parasitemia that explains the distribution of a patient's own scores best, see
        :func:`malaria_detect.evaluation.run_patient_parasitemia.mixture_parasitemia`.
    shipped : Study or None
        The test patients of the shipped model; None if its logits were not at hand.
    """

    cells: str
    cross_validation: Study
    own_scores: Agreement
    shipped: Study | None
    versions: dict[str, str]
    created: str


def read_parasitemia(path: str | os.PathLike[str] = f"reports/{PARASITEMIA}") -> ParasitemiaEvaluation:
    """Read the result file; a missing or damaged one raises CrossValidationError."""
    return read_record(ParasitemiaEvaluation, Path(path), CrossValidationError, _WRITTEN_BY)
