"""The fields of a slide with their cells: look, correct, read the counts, download."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import traitlets
from PIL import Image

from malaria_detect.app.field_report import field_report, look_at_first
from malaria_detect.app.slide_wording import slide_notes, slide_summary, warnings_of
from malaria_detect.app.widgets.base import STYLE, Part, script
from malaria_detect.app.widgets.slide_downloads import DOWNLOADS, SlideFile, slide_file
from malaria_detect.app.wording import TAB, caution
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.fields.review import Review, ReviewError
from malaria_detect.fields.slide import SlideResult
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata, OperatingPoint
from malaria_detect.metrics.formatting import format_count, format_parasitemia, format_probability

# px: a parasite can be recognised in a cell of this diameter, and a field of 16 megapixels takes about a megabyte.
SHOWN_DIAMETER = 80
MAX_SHOWN_SIDE = 4096
_SLIP = 6  # px
COLUMNS = ("Field", "Red cells", "Parasitized", "Uncertain", "Verified", "Apparent parasitemia")


@dataclass(frozen=True)
class ShownField:
    """A field under review and its picture.

    Attributes
    ----------
    review : Review
    picture : bytes
        JPEG file, scaled down; empty if the field was refused.
    original : bytes
        The photograph as uploaded; empty if the field was refused or there is no room for it.
    """

    review: Review
    picture: bytes = b""
    original: bytes = b""


class FieldReview(Part):
    """Review of the fields of a slide.

    Pictures, names and cells go to the browser as messages and never become widget state. Every correction is answered
    with the cells that changed and with the counts of the slide.

    Parameters
    ----------
    metadata : ModelMetadata
    point : OperatingPoint
        At which the cells are decided.
    clear : callable
        Called before the fields are removed.
    """

    _esm = script("grid.js", "viewer.js", "field_review.js")
    # A text, because it combines files.
    _css = "\n".join((STYLE / name).read_text(encoding="utf-8") for name in ("page.css", "review.css"))  # type: ignore[assignment]
    research_use = traitlets.Unicode(RESEARCH_USE).tag(sync=True)
    downloads = traitlets.Dict(DOWNLOADS).tag(sync=True)
    columns = traitlets.List(list(COLUMNS)).tag(sync=True)

    def __init__(
        self, metadata: ModelMetadata, point: OperatingPoint, clear: Callable[[], None], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.fields: list[ShownField] = []
        self.point = point
        self._metadata = metadata
        self._on_clear = clear
        self._progress = (0, 0, "")
        self.on_msg(self._hear)

    @property
    def results(self) -> list[FieldResult]:
        """The fields as corrected so far."""
        return [field.review.result for field in self.fields]

    @property
    def slide(self) -> SlideResult:
        """All fields together."""
        return SlideResult("slide", tuple(self.results), self.point)

    def add(self, field: ShownField) -> None:
        """Show one more field, decided at `point`."""
        self.fields.append(field)
        field.review.change(lambda result: decided_at(result, self.point))
        self._send_state()

    def decide(self, point: OperatingPoint) -> None:
        """Decide all cells at another operating point; verdicts stay."""
        self.point = point
        for position, field in enumerate(self.fields):
            field.review.change(lambda result: decided_at(result, point))
            self._send_cells(position, field.review.result.cells)
        self._send_state()

    def progress(self, done: int, total: int, problem: str = "") -> None:
        """Show how many fields are analysed, or a problem."""
        self._progress = (done, total, problem)
        self._send_state()

    def clear(self) -> None:
        """Remove all fields, here and in the browser."""
        self._on_clear()
        self.fields.clear()
        self.send({"type": "clear"})
        self.progress(0, 0)

    def show(self, position: int) -> None:
        """Send a field to the browser, with its picture."""
        field = self.fields[position]
        result = field.review.result
        cells = [shown_cell(cell) for cell in result.cells]
        self.send(
            {"type": "field", "field": position, "name": result.name, "size": result.size, "cells": cells}
            | {"first": [cell.number for cell in look_at_first(result)]}
            | {"diameter": result.cell_diameter, "undo": field.review.can_undo},
            buffers=[field.picture],
        )

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        match content:
            case {"type": "hello"}:
                self._send_state()
            case {"type": "clear"}:
                self.clear()
            case {"type": "download", "kind": str(kind)} if kind in DOWNLOADS and any(
                field.picture for field in self.fields
            ):
                file = self._file(kind)
                self.send({"type": "file", "name": file.name, "media": file.media}, buffers=[file.content])
            case {"type": str(kind), "field": int(at)} if (
                0 <= at < len(self.fields) and self.fields[at].picture
            ):
                if kind == "show":
                    self.show(at)
                else:
                    self._correct(at, content)

    def _correct(self, position: int, content: dict[str, Any]) -> None:
        """Apply a correction, and tell the browser what changed or why nothing did."""
        review = self.fields[position].review
        before = {cell.number: cell for cell in review.result.cells}
        try:
            chosen = _apply(review, content)
        except ReviewError as error:
            self.send({"type": "problem", "message": str(error)})
            return
        after = review.result.cells
        self._send_cells(
            position,
            [cell for cell in after if before.get(cell.number) is not cell],
            gone=list(before.keys() - {cell.number for cell in after}),
            chosen=chosen,
        )
        self._send_state()

    def _send_cells(
        self,
        position: int,
        cells: Sequence[AnalysedCell],
        gone: Sequence[int] = (),
        chosen: int | None = None,
    ) -> None:
        self.send(
            {
                "type": "cells",
                "field": position,
                "cells": [shown_cell(cell) for cell in cells],
                "gone": list(gone),
                "chosen": chosen,
                "undo": self.fields[position].review.can_undo,
            }
        )

    def _send_state(self) -> None:
        done, total, problem = self._progress
        slide = self.slide
        self.send(
            {
                "type": "state",
                "done": done,
                "total": total,
                "problem": problem,
                "fields": [_row(result) for result in slide.fields],
                "sentence": slide_summary(slide),
                "notes": [*slide_notes(slide), *warnings_of(slide.fields, TAB)],
                "caution": caution(self.point) if slide.cells else "",
            }
        )

    def _file(self, kind: str) -> SlideFile:
        if kind != "report":
            return slide_file(kind, [result for result in self.results if result.refusal is None])
        # Outlines have the coordinates of the photograph, which is no longer in memory.
        pictures = (
            Image.open(io.BytesIO(field.picture)).resize(field.review.result.size) if field.picture else None
            for field in self.fields
        )
        summary = [slide_summary(self.slide), *slide_notes(self.slide)]
        pieces = field_report(self.results, pictures, summary, self._metadata, self.point)
        report = "".join(pieces).encode("utf-8", "backslashreplace")
        return SlideFile("malaria_detect_slide.html", "text/html;charset=utf-8", report)


def _apply(review: Review, content: dict[str, Any]) -> int | None:
    """Make the correction that a message asks for; the number of the cell to select next, if it is a new one."""
    match content:
        case {"type": "judge", "cell": int(cell), "verdict": str(verdict)}:
            review.judge(cell, verdict)
        case {"type": "split", "cell": int(cell), "line": [*line]} if _are_corners(line):
            return review.split(cell, (line[0], line[1]), (line[2], line[3]))[0]
        case {"type": "add", "box": [*box]} if _are_corners(box):
            left, top, right, bottom = box
            size = (abs(right - left), abs(bottom - top))
            # A click adds a cell of the usual size, a drag one of the size drawn.
            return review.add((left + right) / 2, (top + bottom) / 2, *(size if max(size) >= _SLIP else ()))
        case {"type": "accept"}:
            review.accept_rest()
        case {"type": "undo"}:
            review.undo()
    return None


def _are_corners(numbers: list[object]) -> bool:
    return len(numbers) == 4 and all(isinstance(one, int | float) for one in numbers)


def _row(result: FieldResult) -> dict[str, Any]:
    """A field in the table, or why it was refused."""
    values = (len(result.counted), result.parasitized, result.uncertain, result.verified)
    return {
        "name": result.name,
        "size": result.size,
        "refusal": result.refusal.message if result.refusal else "",
        "values": [*map(format_count, values), format_parasitemia(result.parasitemia)],
    }


def decided_at(result: FieldResult, point: OperatingPoint) -> FieldResult:
    """The same field at another operating point; the network does not run again."""
    cells = tuple(
        replace(cell, prediction=cell.prediction.at(point)) if cell.prediction else cell
        for cell in result.cells
    )
    return replace(result, cells=cells)


def shown_picture(image: Image.Image, cell_diameter: float) -> bytes:
    """A field as JPEG file for the browser, with cells of at most `SHOWN_DIAMETER` px."""
    scale = min(1.0, SHOWN_DIAMETER / max(1.0, cell_diameter), MAX_SHOWN_SIDE / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    file = io.BytesIO()
    image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0).save(file, "JPEG", quality=88)
    return file.getvalue()


def shown_cell(cell: AnalysedCell) -> dict[str, Any]:
    """A cell as the browser draws it.

    Returns
    -------
    dict
        ``look`` is parasitized, uninfected, none (a red cell without a decision) or other (not a red cell).
    """
    name = cell.decision or cell.verified or ("No verdict yet" if cell.is_red else cell.found.kind)
    parts = [name.lower()]
    if cell.verified or cell.prediction is not None:
        parts.append("verified" if cell.verified else "predicted")
    probability = ""
    if cell.prediction is not None:
        probability = format_probability(cell.prediction.probability_parasitized)
        parts.append(f"probability of parasitized {probability}")
    if cell.uncertain:
        parts.append("uncertain")
    if cell.found.on_edge:
        parts.append("on the edge, not counted")
    # The first sentence of each: the others give advice about images of single cells.
    reasons = [cell.refusal.message] if cell.refusal else cell.prediction.warnings if cell.prediction else []
    parts += [one.partition(". ")[0].rstrip(".") for one in reasons if cell.verified is None]
    return {
        "id": cell.number,
        "outline": cell.found.outline.round(1).ravel().tolist(),
        "look": "other" if not cell.is_red else (cell.decision or "none").lower(),
        "verdict": cell.verified or "",
        "edge": cell.found.on_edge,
        "uncertain": cell.uncertain,
        "short": probability or name.lower(),
        "says": f"Cell {cell.number}: {', '.join(parts)}",
    }
