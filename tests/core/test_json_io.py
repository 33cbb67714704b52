import json
from dataclasses import dataclass
from typing import Any

import pytest

from malaria_detect.core.json_io import RecordError, from_json, to_json


@dataclass(frozen=True)
class Inner:
    value: float
    pairs: tuple[tuple[float, float], ...]
    count: int | None
    anything: dict[str, Any]


@dataclass(frozen=True)
class Outer:
    parts: tuple[Inner, ...]
    name: str


RECORD = Outer((Inner(0.5, ((0.0, 1.0),), None, {"sizes": [1, 2]}),), "é")


def test_a_record_comes_back_as_it_was() -> None:
    assert from_json(Outer, json.loads(to_json(RECORD))) == RECORD


def test_an_undefined_number_stands_as_null() -> None:
    text = to_json(Outer((Inner(float("nan"), (), 1, {}),), ""))
    assert json.loads(text)["parts"][0]["value"] is None
    value = from_json(Outer, json.loads(text)).parts[0].value
    assert value != value


@pytest.mark.parametrize(
    "change",
    [
        {"name": 1},
        {"name": None},
        {"parts": 3},
        {"parts": [3]},
        {"more": 1},
        {"parts": [{"value": "0.5", "pairs": [], "count": 1, "anything": {}}]},
        {"parts": [{"value": True, "pairs": [], "count": 1, "anything": {}}]},
        {"parts": [{"value": 1, "pairs": [[1, 2, 3]], "count": 1, "anything": {}}]},
        {"parts": [{"value": 1, "pairs": [], "count": 1.5, "anything": {}}]},
        {"parts": [{"value": 1, "pairs": [], "count": 1}]},
    ],
)
def test_what_is_no_such_record_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="Outer: "):
        from_json(Outer, json.loads(to_json(RECORD)) | change)


@pytest.mark.parametrize("content", [None, [], "text", {}])
def test_what_is_no_record_at_all_is_refused(content: object) -> None:
    with pytest.raises(RecordError):
        from_json(Outer, content)
