"""Versions and date, for records of how a file was made."""

import datetime
import platform
from importlib.metadata import version

from malaria_detect import __version__

_LIBRARIES = ("torch", "torchvision", "fastai", "pillow", "numpy", "scikit-learn")


def library_versions() -> dict[str, str]:
    """Versions of this package, of Python, and of the libraries that can change a result."""
    return {
        "malaria_detect": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def today() -> str:
    """Today's date in UTC, such as 2026-01-31."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
