import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest

from malaria_detect.core.json_io import ARRAY, RecordError, from_json, to_json
from tests.refused import refused


@dataclass(frozen=True)
class Inner:
    value: float
    pairs: tuple[tuple[float, float], ...]
    count: int | None
    anything: dict[str, Any]

    def __post_init__(self) -> None:
        if self.value > 1:
            raise ValueError("value is more than 1")


@dataclass(frozen=True)
class Outer:
    parts: tuple[Inner, ...]
    name: str
    scores: dict[str, float]
    optional: float | None = None


RECORD = Outer((Inner(0.5, ((0.0, 1.0),), None, {"sizes": [1, None]}),), "é", {"a": 1e-9})


def test_a_record_comes_back_as_it_was_with_nan_and_infinity_as_nan() -> None:
    assert from_json(Outer, json.loads(to_json(RECORD))) == RECORD
    nan = float("nan")
    content = json.loads(to_json(Outer((Inner(nan, ((nan, 1.0),), 1, {}),), "", {"b": float("inf")})))
    assert (content["parts"][0]["value"], content["scores"]) == (None, {"b": None})
    read = from_json(Outer, content)
    assert repr(read.parts[0]) == "Inner(value=nan, pairs=((nan, 1.0),), count=1, anything={})"
    assert repr(read.scores) == "{'b': nan}"
    assert read.optional is None


INNER = {"value": 1, "pairs": [], "count": 1, "anything": {}}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": 1}, "name"),
        ({"name": None}, "name"),
        ({"parts": 3}, "parts"),
        ({"parts": [3]}, "parts.0"),
        ({"more": 1}, "more"),
        ({"scores": {"a": "0.5"}}, "scores.a"),
        ({"parts": [INNER | {"value": "0.5"}]}, "parts.0.value"),
        ({"parts": [INNER | {"value": True}]}, "parts.0.value"),
        ({"parts": [INNER | {"value": 2}]}, "parts.0"),
        ({"parts": [INNER | {"pairs": [[1, 2, 3]]}]}, "parts.0.pairs.0"),
        ({"parts": [INNER | {"count": 1.5}]}, "parts.0.count"),
        ({"parts": [INNER, {"value": None, "pairs": []}]}, "parts.1.count"),
    ],
)
def test_another_record_is_refused_by_field(change: dict[str, Any], place: str) -> None:
    content = json.loads(to_json(RECORD)) | change
    with refused(RecordError, "bad_record", naming=f"Outer: {place}: "):
        from_json(Outer, content)


@pytest.mark.parametrize("content", [None, [], "text", {}])
def test_what_is_not_a_record_is_refused(content: object) -> None:
    with refused(RecordError, "bad_record"):
        from_json(Outer, content)


@dataclass(frozen=True, eq=False)
class _Measured:
    values: Annotated[np.ndarray, ARRAY]


@pytest.mark.parametrize(
    "values", [np.eye(3, dtype=np.float32), np.array([math.nan, -0.0]), np.zeros((0, 2), bool)]
)
def test_arrays_come_back_as_they_were(values: np.ndarray) -> None:
    again = from_json(_Measured, json.loads(to_json(_Measured(values)))).values
    assert (again.dtype, again.shape, again.tobytes()) == (values.dtype, values.shape, values.tobytes())
    again += again  # torch expects arrays that can be changed


@pytest.mark.parametrize(
    "content", [None, [[0, 1]], {"dtype": "<f4"}, {"dtype": "<f4", "shape": [2], "base64": ""}]
)
def test_what_is_not_an_array_is_refused(content: object) -> None:
    with refused(RecordError, "bad_record", naming="values"):
        from_json(_Measured, {"values": content})
