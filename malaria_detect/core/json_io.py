"""Frozen dataclasses as JSON files, and back."""

import json
import math
from typing import Any, TypeVar

import cattrs

from malaria_detect.core.errors import MalariaDetectError

Record = TypeVar("Record")


class RecordError(MalariaDetectError):
    """A file's content is not the record that was wanted."""


def to_json(record: object) -> str:
    """A record as text; nested records, tuples and dictionaries included.

    Parameters
    ----------
    record : dataclass instance
        JSON knows no NaN and no infinity: a number that is not defined stands as null, and is read as NaN.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Share:
    ...     value: float
    >>> print(to_json(Share(float("nan"))), end="")
    {
     "value": null
    }
    """
    plain = _without_nan(_CONVERTER.unstructure(record))
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(kind: type[Record], content: object) -> Record:
    """A record from what ``json.loads`` gave.

    Parameters
    ----------
    kind : dataclass type
    content : object
        A dictionary with the record's fields.

    Raises
    ------
    RecordError
        Where a field is missing, unknown, or holds something else than a record of that kind can.
    """
    try:
        return _CONVERTER.structure(content, kind)
    except (cattrs.BaseValidationError, cattrs.ForbiddenExtraKeysError) as error:
        raise RecordError(f"{kind.__name__}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{kind.__name__}: {error!r}") from error


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: object, _: type) -> float:
    """A float; cattrs would also take the text "0.5" and true for one."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number was wanted, not {value!r}")
    return float(value)


def _exact(value: object, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} was wanted, not {value!r}")
    return value


# One plain error at the first fault serves a reader better than a tree of them; unknown fields are faults.
_CONVERTER = cattrs.Converter(detailed_validation=False, forbid_extra_keys=True)
_CONVERTER.register_structure_hook(float, _number)
for _kind in (int, str, bool):
    _CONVERTER.register_structure_hook(_kind, _exact)
