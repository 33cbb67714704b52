"""Frozen dataclasses as JSON, and back."""

import base64
import json
import math
import os
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pydantic
import pydantic_core

from malaria_detect.core.errors import MalariaDetectError

_Kind = TypeVar("_Kind")


class RecordError(MalariaDetectError):
    """JSON that does not hold the expected record; ``reason`` is ``bad_record``."""


def to_json(record: object) -> str:
    """Dataclass instance as JSON text.

    It may hold other records, tuples and dictionaries. JSON has no NaN and no infinity: they are written as null, and
    :func:`from_json` reads null as NaN.
    """
    return json.dumps(to_plain(record), indent=1, ensure_ascii=False) + "\n"


def to_plain(record: object) -> Any:
    """Dataclass instance as an object for ``json.dumps``; it may also hold arrays, annotated with `ARRAY`."""
    return pydantic_core.to_jsonable_python(record, inf_nan_mode="null", fallback=_written)


def _written(value: Any) -> dict[str, Any]:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value)} has no form in JSON.")
    content = base64.b64encode(value.tobytes()).decode()
    return {"dtype": value.dtype.str, "shape": value.shape, "base64": content}


def _array(plain: Any) -> np.ndarray:
    try:
        # Not bytes: torch expects arrays that can be changed.
        content = bytearray(base64.b64decode(plain["base64"]))
        return np.frombuffer(content, plain["dtype"]).reshape(plain["shape"])
    except (KeyError, TypeError) as error:
        raise ValueError("an array has a dtype, a shape and its content in base64") from error


# Of an array in a dataclass: ``Annotated[NDArray[np.float32], ARRAY]``.
ARRAY = pydantic.PlainValidator(_array)


def from_json(kind: type[_Kind], content: object) -> _Kind:
    """Record of a dataclass from the result of ``json.loads``: a dictionary with its fields, and no others.

    Types are checked strictly: a float may be written as a whole number or null, but not as text or true.

    Raises
    ------
    RecordError
        If a field is missing, unknown or of another type. The message names the field.
    """
    # Only in JSON does strict validation take a list for a tuple.
    text, adapter = json.dumps([content]), _adapter(kind)  # type: ignore[arg-type]
    try:
        try:
            (record,) = adapter.validate_json(text)
        except pydantic.ValidationError as error:
            # A null is NaN wherever a number is required.
            nulls = [
                one["loc"] for one in error.errors() if (one["type"], one["input"]) == ("float_type", None)
            ]
            wrapped = json.loads(text)
            for *path, last in nulls:
                reduce(getitem, path, wrapped)[last] = math.nan
            (record,) = adapter.validate_json(json.dumps(wrapped))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"][1:]) or "record"
        raise RecordError(f"{kind.__name__}: {place}: {first['msg']}.", reason="bad_record") from error
    return cast("_Kind", record)


def read_record(
    kind: type[_Kind], path: str | os.PathLike[str], refused: type[MalariaDetectError], advice: str
) -> _Kind:
    """Record of a dataclass from a JSON file.

    Parameters
    ----------
    kind : dataclass type
        As in :func:`from_json`.
    path : path
    refused : type
        The error that is raised, with the reason ``missing`` or ``damaged``.
    advice : str
        A sentence for the error: what to do.
    """
    try:
        return from_json(kind, json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise refused(f"{path} cannot be read ({error.strerror}). {advice}", "missing") from error
    except (ValueError, RecordError) as error:
        raise refused(f"{path} is damaged ({error}). {advice}", "damaged") from error


@cache
def _adapter(kind: type) -> "pydantic.TypeAdapter[list[Any]]":
    # A list around the record, because an adapter of a plain dataclass accepts no configuration of its own.
    return pydantic.TypeAdapter(list[kind], config=pydantic.ConfigDict(strict=True, extra="forbid"))  # type: ignore[valid-type]
