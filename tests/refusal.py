"""The reason code of an error, which tests check instead of its wording."""

from collections.abc import Callable

import pytest

from malaria_detect.core.errors import MalariaDetectError


def refusal(
    error: type[MalariaDetectError],
    function: Callable[..., object],
    *arguments: object,
    naming: object = "",
    **named: object,
) -> str:
    """The reason code of the error of this type that a call raises; its message must contain `naming`."""
    with pytest.raises(error) as raised:
        function(*arguments, **named)
    assert str(naming) in str(raised.value)
    return raised.value.reason
