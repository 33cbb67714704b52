"""Results of fields as records, and as CSV tables of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from malaria_detect import __version__
from malaria_detect.core.csv_io import write_rows
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.records import CellRecord, FieldRecord, OutlinedCell, SlideRecord, Summary
from malaria_detect.fields.result import FieldResult
from malaria_detect.fields.slide import SlideResult, share_of
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.types import Estimate


def cell_records(result: FieldResult) -> Iterator[CellRecord]:
    """Records of the red cells of a field, also of those on the edge."""
    for cell in result.cells:
        if not cell.is_red:
            continue
        prediction = cell.prediction
        yield CellRecord(
            result.name,
            cell.number,
            *cell.found.box,
            area=round(cell.found.area, 1),
            on_edge=cell.found.on_edge,
            kind=RED_CELL,
            decision=cell.decision,
            probability_parasitized=round(prediction.probability_parasitized, 6) if prediction else None,
            uncertain=cell.uncertain,
            refusal=cell.refusal.reason if cell.refusal else None,
            site_warning=prediction.site_warning if prediction else None,
        )


def outlined_cells(result: FieldResult) -> Iterator[OutlinedCell]:
    """The same records with the outlines, rounded to a hundredth of a pixel."""
    outlines = {cell.number: cell.found.outline for cell in result.cells}
    for record in cell_records(result):
        corners = np.round(outlines[record.cell].astype(np.float64), 2).tolist()
        yield OutlinedCell(**vars(record), outline=corners)


def field_record(result: FieldResult) -> FieldRecord:
    """Record of a field."""
    usable = result.refusal is None
    shares = _numbers(share_of(result.parasitized, len(result.counted)))
    return FieldRecord(
        image=result.name,
        cells=len(result.counted) if usable else None,
        parasitized=result.parasitized if usable else None,
        uncertain=result.uncertain if usable else None,
        parasitemia=shares[0],
        parasitemia_low=shares[1],
        parasitemia_high=shares[2],
        seconds=round(result.seconds, 3),
        warnings=result.warnings,
        error=result.refusal.message if result.refusal else None,
        refusal=result.refusal.reason if result.refusal else None,
        site_warning=result.site_warning if usable else None,
    )


def slide_record(result: SlideResult) -> SlideRecord:
    """Record of a slide."""
    limit = result.limit
    return SlideRecord(
        result.name,
        len(result.fields),
        result.refused,
        result.cells,
        result.parasitized,
        result.uncertain,
        result.verified,
        result.verified_parasitized,
        *_numbers(result.apparent),
        *_numbers(result.corrected),
        round(result.counting.design_effect, 3),
        _number(limit.limit) if limit else None,
        *_numbers(result.per_microlitre, decimals=0),
        *(guideline.missing for guideline in result.guidelines),
    )


def write_tables(folder: Path, slides: Sequence[SlideResult]) -> None:
    """Write ``cells.csv``, ``fields.csv`` and ``slides.csv`` into a folder.

    Raises
    ------
    malaria_detect.core.atomic.WriteError
        If a file cannot be written.
    """
    results = [field for slide in slides for field in slide.fields]
    for name, kind, records in (
        ("cells.csv", CellRecord, (cell for field in results for cell in cell_records(field))),
        ("fields.csv", FieldRecord, map(field_record, results)),
        ("slides.csv", SlideRecord, map(slide_record, slides)),
    ):
        columns = [one.name for one in fields(kind)]
        write_rows(folder / name, columns, map(astuple, records))


def summary(slides: Sequence[SlideResult], metadata: ModelMetadata) -> Summary:
    """Summary of slides that were analysed with one model at one operating point."""
    point = slides[0].point
    records = tuple(map(slide_record, slides))
    return Summary(records, point.name, point.threshold, metadata.sha256, __version__)


def _numbers(estimate: Estimate | None, decimals: int = 6) -> tuple[float | None, float | None, float | None]:
    if estimate is None:
        return None, None, None
    return (
        _number(estimate.value, decimals),
        _number(estimate.low, decimals),
        _number(estimate.high, decimals),
    )


def _number(value: float, decimals: int = 6) -> float | None:
    return None if math.isnan(value) else round(value, decimals)
