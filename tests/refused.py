"""Errors that a test expects, by their class and their code."""

import pytest

from malaria_detect.core.errors import MalariaDetectError


def refused(
    kind: type[MalariaDetectError], reason: str, naming: object = ""
) -> pytest.RaisesExc[MalariaDetectError]:
    """The block must raise an error of this class with this reason, whose message contains `naming`."""
    return pytest.raises(kind, check=lambda error: error.reason == reason and str(naming) in str(error))
