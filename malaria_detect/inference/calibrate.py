"""Temperature, operating points and scores of a trained network, from its logits on held-out patients.

Everything is chosen on validation patients and only scored on test patients. No torch.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.csv_io import CsvError, read_rows, write_rows
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.metadata import OperatingPoint, Uncertainty
from malaria_detect.metrics import (
    OPERATING_RULES,
    MetricsError,
    ReliabilityBin,
    Scores,
    choose_threshold,
    count_patients,
    fit_temperature,
    reliability_bins,
    roc_points,
    scaled,
    score,
)

VALIDATION, TEST = "validation", "test"
_COLUMNS = ("file", "patient_group", "side", "label", "corrected", "logit")
DEFAULT_POINT = "balanced"
# Share of cells that a person should review.
UNCERTAIN_SHARE = 0.1


@dataclass(frozen=True)
class Logits:
    """Logits and labels of the validation or test cells; all columns have the same length.

    Attributes
    ----------
    labels, corrected : tuple of str
        Published labels, and corrected ones: the same if nobody disagreed, empty if an expert was unsure.
    values : tuple of float
        Log-odds of ``Parasitized``, not calibrated.
    """

    files: tuple[str, ...]
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    corrected: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def parasitized(self) -> NDArray[np.bool_]:
        """Whether the published label is ``Parasitized``."""
        return np.array(self.labels) == CLASSES[0]

    def probability(self, temperature: float) -> NDArray[np.float64]:
        """Probability of ``Parasitized`` at a temperature."""
        return scaled(self.values, temperature)


def write_logits(validation: Logits, test: Logits, path: Path) -> None:
    """Write the logits of both sides as CSV, sorted by file name."""
    rows = [
        (file, group, side, label, corrected, float(f"{value:.7g}"))
        for side, logits in ((VALIDATION, validation), (TEST, test))
        for file, group, label, corrected, value in sorted(zip(*vars(logits).values(), strict=True))
    ]
    write_rows(path, _COLUMNS, rows)


def read_logits(path: str | os.PathLike[str]) -> tuple[Logits, Logits]:
    """Logits of validation and of test patients, from a file of :func:`write_logits`.

    Raises
    ------
    CsvError
        If the file is missing or a row is invalid (``reason`` is ``bad_row`` or ``no_cells``).
    """
    sides: dict[str, list[tuple[str, str, str, str, float]]] = {VALIDATION: [], TEST: []}
    for place, (file, group, side, label, corrected, logit) in read_rows(Path(path), _COLUMNS):
        try:
            value = float(logit)
        except ValueError:
            value = np.nan
        if side not in sides or {label, corrected} - {*CLASSES, ""} or not label or not np.isfinite(value):
            raise CsvError(f"{place} has an unknown side, class or number.", reason="bad_row")
        sides[side].append((file, group, label, corrected, value))
    for side, rows in sides.items():
        if not rows:
            raise CsvError(f"{path} has no cells of {side} patients.", reason="no_cells")
    validation, test = (Logits(*zip(*rows, strict=True)) for rows in sides.values())
    return validation, test


@dataclass(frozen=True)
class Assessment:
    """The part of the metadata that is computed from logits; fields as in ModelMetadata."""

    temperature: float
    operating_points: tuple[OperatingPoint, ...]
    default_point: str
    uncertainty: Uncertainty
    roc: tuple[tuple[float, float], ...]
    reliability_raw: tuple[ReliabilityBin, ...]
    reliability: tuple[ReliabilityBin, ...]
    ece_raw: float
    corrected_test: Scores | None


def assess(validation: Logits, test: Logits) -> Assessment:
    """Choose temperature, operating points and limit of uncertainty on validation patients; score on test patients.

    A network that hardly separates the classes is assessed too, so that no training is lost: without a fit the
    temperature is 1, and an operating point whose rule no threshold keeps gets 0.5, which its rule then mentions.

    Raises
    ------
    MetricsError
        If a side lacks a class.
    """
    try:
        temperature = fit_temperature(validation.values, validation.parasitized)
    except MetricsError:
        temperature = 1.0
    probability = validation.probability(temperature)
    chosen = {name: _threshold(validation, probability, name) for name in OPERATING_RULES}
    return assess_at(validation, test, temperature, chosen)


def assess_at(
    validation: Logits, test: Logits, temperature: float, thresholds: dict[str, tuple[float, str]]
) -> Assessment:
    """Assessment of a network whose temperature and thresholds are known; raises as :func:`assess`.

    `thresholds` holds the threshold of each operating point, and how it was chosen, for readers.
    """
    chosen_on, probability = validation.probability(temperature), test.probability(temperature)
    points = [
        OperatingPoint(
            name=name,
            rule=rule,
            threshold=threshold,
            validation=score(validation.parasitized, chosen_on, validation.groups, threshold),
            test=score(test.parasitized, probability, test.groups, threshold),
            patients=count_patients(test.parasitized, probability >= threshold, test.groups),
        )
        for name, (threshold, rule) in thresholds.items()
    ]
    raw = reliability_bins(test.parasitized, test.probability(1.0), test.groups)
    default = next(point.threshold for point in points if point.name == DEFAULT_POINT)
    return Assessment(
        temperature=temperature,
        operating_points=tuple(points),
        default_point=DEFAULT_POINT,
        uncertainty=_uncertainty(
            (validation.parasitized, chosen_on), (test.parasitized, probability), default
        ),
        roc=roc_points(test.parasitized, probability),
        reliability_raw=raw,
        reliability=reliability_bins(test.parasitized, probability, test.groups),
        ece_raw=sum(one.cells * abs(one.mean_probability - one.share) for one in raw) / len(test.files),
        corrected_test=_corrected_scores(test, probability, default),
    )


def _threshold(validation: Logits, probability: NDArray[np.float64], name: str) -> tuple[float, str]:
    """Threshold of an operating point, and its rule in words; 0.5 if no threshold keeps the rule."""
    rule = OPERATING_RULES[name]
    try:
        return choose_threshold(validation.parasitized, probability, validation.groups, name), rule
    except MetricsError:
        return 0.5, f"{rule} No threshold satisfied this rule, so 0.5 is used."


def _corrected_scores(test: Logits, probability: NDArray[np.float64], threshold: float) -> Scores | None:
    if test.corrected == test.labels:
        return None
    corrected, groups = np.array(test.corrected), np.array(test.groups)
    kept = corrected != ""
    parasitized = corrected[kept] == CLASSES[0]
    if len(set(parasitized.tolist())) < 2:
        return None
    return score(parasitized, probability[kept], groups[kept], threshold)


_Cells = tuple[NDArray[np.bool_], NDArray[np.float64]]


def _uncertainty(validation: _Cells, test: _Cells, threshold: float) -> Uncertainty:
    below = float(np.quantile(_confidence(validation[1], threshold), UNCERTAIN_SHARE))
    shares: list[float] = []
    for parasitized, probability in (validation, test):
        uncertain = _confidence(probability, threshold) < below
        wrong = (probability >= threshold) != parasitized
        shares += [float(uncertain.mean()), float(uncertain[wrong].mean()) if wrong.any() else np.nan]
    return Uncertainty(below, *shares)


def _confidence(probability: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Calibrated probability of the decision about each cell."""
    return np.where(probability >= threshold, probability, 1 - probability)
