"""Versions and date, for records of how a file was made."""

import datetime
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from malaria_detect import __version__

_LIBRARIES = ("openvino", "torch", "torchvision", "fastai", "pillow", "numpy", "scipy", "scikit-learn")


def library_versions() -> dict[str, str]:
    """Versions of this package, of Python, and of the installed libraries that can change a result."""
    versions = {"malaria_detect": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):  # without the extra `train`
            versions[name] = version(name)
    return versions


def today() -> str:
    """Today's date in UTC, such as 2026-01-31."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
