"""How good a model is: arrays in, numbers out; no torch."""

from malaria_detect.metrics.calibration import fit_temperature, scaled
from malaria_detect.metrics.estimates import Estimate, MetricsError, Scores
from malaria_detect.metrics.patients import (
    PatientCounts,
    count_patients,
    share_within,
    worst_patients,
)
from malaria_detect.metrics.reliability import ReliabilityBin, reliability
from malaria_detect.metrics.scores import difference, roc_points, score
from malaria_detect.metrics.thresholds import OPERATING_RULES, choose_threshold

__all__ = [
    "OPERATING_RULES",
    "Estimate",
    "MetricsError",
    "PatientCounts",
    "ReliabilityBin",
    "Scores",
    "choose_threshold",
    "count_patients",
    "difference",
    "fit_temperature",
    "reliability",
    "roc_points",
    "scaled",
    "score",
    "share_within",
    "worst_patients",
]
