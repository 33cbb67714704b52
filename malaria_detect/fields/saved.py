"""Results of fields as plain objects for JSON, and back: between processes, and to continue after an interruption."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pydantic_core

from malaria_detect.core.json_io import from_json
from malaria_detect.fields.cell import FoundCell
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.inference.prediction import Prediction, Refusal


@dataclass(frozen=True)
class _SavedCell:
    number: int
    outline: tuple[tuple[float, float], ...]
    score: float
    kind: str
    on_edge: bool
    prediction: Prediction | None
    verified: str | None
    refusal: Refusal | None


@dataclass(frozen=True)
class _SavedField:
    name: str
    size: tuple[int, int]
    cells: tuple[_SavedCell, ...]
    cell_diameter: float
    seconds: float
    refusal: Refusal | None


def to_plain(result: FieldResult) -> dict[str, Any]:
    """A result as an object for ``json.dumps``."""
    cells = [
        _SavedCell(
            cell.number,
            cell.found.outline.tolist(),
            cell.found.score,
            cell.found.kind,
            cell.found.on_edge,
            cell.prediction,
            cell.verified,
            cell.refusal,
        )
        for cell in result.cells
    ]
    plain: dict[str, Any] = pydantic_core.to_jsonable_python(
        {one.name: getattr(result, one.name) for one in fields(_SavedField)} | {"cells": cells}
    )
    return plain


def from_plain(content: object) -> FieldResult:
    """The result in an object, the inverse of :func:`to_plain`.

    Raises
    ------
    RecordError
        If the object is something else.
    """
    saved = from_json(_SavedField, content)
    cells = tuple(
        AnalysedCell(
            one.number,
            FoundCell(np.array(one.outline, np.float32), one.score, one.kind, one.on_edge),
            one.prediction,
            one.verified,
            one.refusal,
        )
        for one in saved.cells
    )
    values = {one.name: getattr(saved, one.name) for one in fields(_SavedField)}
    return FieldResult(**values | {"cells": cells})
