"""Find the red cells of malaria thin smears, classify them, and estimate the parasitemia.

Names are loaded when they are first used, so that ``import malaria_detect`` costs no torch.

Examples
--------
>>> import malaria_detect
>>> malaria_detect.__version__
'0.1.0'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malaria_detect.core.errors import MalariaDetectError
    from malaria_detect.data.images import ImageRefused, read_image
    from malaria_detect.fields.analyse import FieldAnalyser, load_analyser
    from malaria_detect.fields.result import FieldResult
    from malaria_detect.fields.slide import SlideResult
    from malaria_detect.inference.detector import Detector, load_detector
    from malaria_detect.inference.metadata import ModelMetadata
    from malaria_detect.inference.model_files import read_metadata
    from malaria_detect.inference.prediction import Prediction, Refusal

__version__ = "0.1.0"

__all__ = [
    "Detector",
    "FieldAnalyser",
    "FieldResult",
    "ImageRefused",
    "MalariaDetectError",
    "ModelMetadata",
    "Prediction",
    "Refusal",
    "SlideResult",
    "__version__",
    "load_analyser",
    "load_detector",
    "read_image",
    "read_metadata",
]

_MODULE_OF = {
    "Detector": "inference.detector",
    "FieldAnalyser": "fields.analyse",
    "FieldResult": "fields.result",
    "ImageRefused": "data.images",
    "MalariaDetectError": "core.errors",
    "ModelMetadata": "inference.metadata",
    "Prediction": "inference.prediction",
    "Refusal": "inference.prediction",
    "SlideResult": "fields.slide",
    "load_analyser": "fields.analyse",
    "load_detector": "inference.detector",
    "read_image": "data.images",
    "read_metadata": "inference.model_files",
}


def __getattr__(name: str) -> Any:
    """Import an exported name's module at its first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
