"""Errors that a test expects, by their class and their code."""

import pytest

from malaria_detect.core.errors import MalariaDetectError


def refused(kind: type[MalariaDetectError], reason: str) -> pytest.RaisesExc[MalariaDetectError]:
    """The block must raise an error of this class with this reason."""
    return pytest.raises(kind, check=lambda error: error.reason == reason)
