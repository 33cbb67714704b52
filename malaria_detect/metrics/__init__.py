"""Scores, intervals, operating points, calibration and parasitemia: arrays in, numbers out; no torch.

Modules are imported when one of their names is first used, and SciPy's parts when they first compute something, so that
reading records needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malaria_detect.metrics.calibration import fit_temperature, scaled
    from malaria_detect.metrics.operating_points import OPERATING_RULES, choose_threshold
    from malaria_detect.metrics.patients import count_patients, share_within, worst_patients
    from malaria_detect.metrics.reliability import reliability_bins
    from malaria_detect.metrics.roc import roc_auc, roc_curve
    from malaria_detect.metrics.scores import difference, roc_points, score
    from malaria_detect.metrics.types import Estimate, MetricsError, PatientCounts, ReliabilityBin, Scores

__all__ = ["OPERATING_RULES", "Estimate", "MetricsError", "PatientCounts", "ReliabilityBin", "Scores"]
__all__ += ["choose_threshold", "count_patients", "difference", "fit_temperature", "reliability_bins"]
__all__ += ["roc_auc", "roc_curve", "roc_points", "scaled", "score", "share_within", "worst_patients"]

# The records first, because they need the least.
_MODULES = ("types", "patients", "calibration", "reliability", "roc", "operating_points", "scores")


def __getattr__(name: str) -> Any:
    """Import modules until one has the exported name (PEP 562)."""
    for module in _MODULES if name in __all__ else ():
        found = vars(import_module(f"{__name__}.{module}"))
        if name in found:
            return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
