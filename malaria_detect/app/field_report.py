"""The fields of a slide as one self-contained HTML file: counts, outlines, and the cells to look at first."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from PIL import Image

from malaria_detect.app.html_report import report_pieces
from malaria_detect.app.slide_wording import warnings_of
from malaria_detect.app.wording import COMMAND
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.classes import COLOURS, class_of
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint

# Longest side in px of a field and of a single cell as they are shown.
_FIELD_SIDE, _CELL_SIDE = 1400, 120
# Single cells of a field at most.
_FIRST = 12


def field_report(
    results: Sequence[FieldResult],
    pictures: Iterable[Image.Image | None],
    summary: Sequence[str],
    metadata: ModelMetadata,
    point: OperatingPoint,
) -> Iterator[str]:
    """Pieces of an HTML file about the fields of a slide.

    Parameters
    ----------
    results : sequence of FieldResult
        Decided at `point`.
    pictures : iterable of PIL.Image.Image or None
        The photograph of each field as it was analysed, RGB. Taken one by one, so that only one is in memory; None if
        it cannot be shown.
    summary : sequence of str
        What the counts say about the slide: a sentence, and notes.
    metadata : ModelMetadata
        Of the classifier.
    point : OperatingPoint

    Returns
    -------
    iterator of str
        Encode with ``errors="backslashreplace"``, because file names may hold what UTF-8 cannot.
    """
    return report_pieces(
        "field_report.html.j2",
        metadata,
        point,
        summary=summary,
        results=results,
        counts=[_counts(result) for result in results],
        remarks=[" ".join(warnings_of([result], COMMAND)) for result in results],
        colours=COLOURS,
        shown=(_shown(result, picture) for result, picture in zip(results, pictures, strict=True)),
    )


def _counts(result: FieldResult) -> dict[str, int]:
    """Numbers of counted cells: in all and parasitized ones, verified and predicted."""
    verified = [cell for cell in result.counted if cell.verified is not None]
    parasitized = sum(cell.decision == CLASSES[0] for cell in verified)
    return {
        "verified": len(verified),
        "verified_parasitized": parasitized,
        "predicted": len(result.counted) - len(verified),
        "predicted_parasitized": result.parasitized - parasitized,
    }


def look_at_first(result: FieldResult) -> list[AnalysedCell]:
    """Cells that a person should look at, most important first: uncertain ones, then those called parasitized.

    A cell without an answer is uncertain.
    """
    cells = [
        cell
        for cell in result.cells
        if cell.counted and cell.verified is None and (cell.uncertain or cell.decision == CLASSES[0])
    ]
    return sorted(cells, key=lambda cell: (not cell.uncertain, -_probability(cell)))


def _probability(cell: AnalysedCell) -> float:
    return cell.prediction.probability_parasitized if cell.prediction else 0.0


def _shown(result: FieldResult, picture: Image.Image | None) -> dict[str, Any]:
    """What the template shows of a field."""
    first = look_at_first(result) if picture else []
    return {
        "result": result,
        "picture": _jpeg(picture, _FIELD_SIDE) if picture else "",
        "cells": [
            {
                "cell": cell,
                "class": class_of(cell),
                "path": "M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in cell.found.outline) + "Z",
                "probability": _probability(cell) if cell.prediction else None,
            }
            for cell in result.cells
        ],
        "first": [
            {
                "cell": cell,
                "class": class_of(cell),
                "probability": _probability(cell) if cell.prediction else None,
                "picture": _jpeg(_surroundings(picture, cell), _CELL_SIDE),
            }
            for cell in first[:_FIRST]
            if picture
        ],
        "others": max(0, len(first) - _FIRST),
    }


def _surroundings(picture: Image.Image, cell: AnalysedCell) -> Image.Image:
    """A cell with a margin of a fifth of its size."""
    left, top, width, height = cell.found.box
    margin = max(width, height) // 5
    right, bottom = min(picture.width, left + width + margin), min(picture.height, top + height + margin)
    return picture.crop((max(0, left - margin), max(0, top - margin), right, bottom))


def _jpeg(picture: Image.Image, side: int) -> str:
    """A JPEG file in base64, scaled down to a longest side of ``side`` px."""
    shown = picture.copy()
    shown.thumbnail((side, side))
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
