"""The reason code of an error, which tests check instead of its wording."""

from collections.abc import Callable

import pytest

from malaria_detect.core.errors import MalariaDetectError


def refusal(
    error: type[MalariaDetectError], function: Callable[..., object], *arguments: object, **named: object
) -> str:
    """The reason code of the error of this type that a call raises."""
    with pytest.raises(error) as raised:
        function(*arguments, **named)
    return raised.value.reason
