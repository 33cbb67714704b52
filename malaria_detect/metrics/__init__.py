"""Scores, intervals, operating points, calibration and parasitemia: arrays in, numbers out; no torch.

Modules are imported when one of their names is first used, so that reading records needs neither scipy nor
scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malaria_detect.metrics.calibration import fit_temperature, scaled
    from malaria_detect.metrics.operating_points import OPERATING_RULES, choose_threshold
    from malaria_detect.metrics.patients import count_patients, share_within, worst_patients
    from malaria_detect.metrics.reliability import reliability_bins
    from malaria_detect.metrics.scores import difference, roc_points, score
    from malaria_detect.metrics.types import Estimate, MetricsError, PatientCounts, ReliabilityBin, Scores

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
    "reliability_bins",
    "roc_points",
    "scaled",
    "score",
    "share_within",
    "worst_patients",
]

_MODULE_OF = dict.fromkeys(__all__, "types") | {
    "OPERATING_RULES": "operating_points",
    "choose_threshold": "operating_points",
    "count_patients": "patients",
    "difference": "scores",
    "fit_temperature": "calibration",
    "reliability_bins": "reliability",
    "roc_points": "scores",
    "scaled": "calibration",
    "score": "scores",
    "share_within": "patients",
    "worst_patients": "patients",
}


def __getattr__(name: str) -> Any:
    """Import the module of an exported name at its first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
