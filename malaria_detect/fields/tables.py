"""Results of fields as tables: a record for each red cell, field and slide, the same in CSV, JSON and HTTP."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from malaria_detect import __version__
from malaria_detect.core.csv_io import write_rows
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.result import FieldResult
from malaria_detect.fields.slide import SlideResult
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.metrics.intervals import wilson
from malaria_detect.metrics.types import Estimate


@dataclass(frozen=True)
class CellRecord:
    """A red cell of a field.

    Attributes
    ----------
    image : str
        Name of the field.
    cell : int
        Number in the field.
    x, y, width, height : int
        Box in px of the raster as stored, from the top left corner.
    area : float
        Square px.
    on_edge : bool
        Whether it touches the edge and is therefore not counted.
    kind : str
        ``red cell``.
    decision : str or None
        Class of the cell, by a person's verdict or else by the model; None if it could not be classified.
    probability_parasitized : float or None
        By the model, 0 to 1.
    uncertain : bool
        Whether a person should look at it.
    """

    image: str
    cell: int
    x: int
    y: int
    width: int
    height: int
    area: float
    on_edge: bool
    kind: str
    decision: str | None
    probability_parasitized: float | None
    uncertain: bool


@dataclass(frozen=True)
class FieldRecord:
    """A field.

    Attributes
    ----------
    image : str
    cells, parasitized, uncertain : int or None
        Of the red cells that count; None, as all numbers here, if the field was refused.
    parasitemia, parasitemia_low, parasitemia_high : float or None
        Apparent parasitemia, 0 to 1, with Wilson's 95 % interval.
    seconds : float
        Time of the analysis.
    refusal : str or None
        Why the field cannot be used.
    """

    image: str
    cells: int | None
    parasitized: int | None
    uncertain: int | None
    parasitemia: float | None
    parasitemia_low: float | None
    parasitemia_high: float | None
    seconds: float
    refusal: str | None


@dataclass(frozen=True)
class SlideRecord:
    """A slide; numbers that are not defined are None.

    Attributes
    ----------
    slide : str
    fields, refused : int
        Number of fields, and how many of them cannot be used.
    cells, parasitized, uncertain : int
        Of the red cells that count.
    verified, verified_parasitized : int
        How many of these cells and of the parasitized ones have a person's verdict; the other ones are predicted.
    parasitemia, parasitemia_low, parasitemia_high : float or None
        Apparent parasitemia, 0 to 1, with its 95 % interval.
    corrected, corrected_low, corrected_high : float or None
        Corrected for the model's mistakes on the cells that are predicted.
    design_effect : float
        Variance between the fields over that of chance.
    limit_of_detection : float or None
        Lowest parasitemia that the model distinguishes from zero with so many cells.
    parasites_per_microlitre, parasites_per_microlitre_low, parasites_per_microlitre_high : float or None
        Of blood; None without a red-cell count.
    cdc_missing, bsh_missing, who_missing : int
        How many more cells the guidelines ask for.
    """

    slide: str
    fields: int
    refused: int
    cells: int
    parasitized: int
    uncertain: int
    verified: int
    verified_parasitized: int
    parasitemia: float | None
    parasitemia_low: float | None
    parasitemia_high: float | None
    corrected: float | None
    corrected_low: float | None
    corrected_high: float | None
    design_effect: float
    limit_of_detection: float | None
    parasites_per_microlitre: float | None
    parasites_per_microlitre_low: float | None
    parasites_per_microlitre_high: float | None
    cdc_missing: int
    bsh_missing: int
    who_missing: int


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
            probability_parasitized=prediction and round(prediction.probability_parasitized, 6),
            uncertain=cell.uncertain,
        )


def field_record(result: FieldResult) -> FieldRecord:
    """Record of a field."""
    seconds = round(result.seconds, 3)
    if result.refusal is not None:
        return FieldRecord(result.name, *[None] * 6, seconds=seconds, refusal=result.refusal.message)
    counted = len(result.counted)
    low, high = (
        wilson(np.float64(result.parasitemia), np.float64(counted)) if counted else (math.nan, math.nan)
    )
    return FieldRecord(
        result.name,
        counted,
        result.parasitized,
        result.uncertain,
        *_numbers(Estimate(result.parasitemia, float(low), float(high))),
        seconds=seconds,
        refusal=None,
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


@dataclass(frozen=True)
class Summary:
    """Content of ``summary.json``: the slides, and what they were analysed with."""

    slides: tuple[SlideRecord, ...]
    operating_point: str
    threshold: float
    model_sha256: str
    version: str
    research_use: str = RESEARCH_USE


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
