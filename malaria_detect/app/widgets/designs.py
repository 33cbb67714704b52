"""Other people's designs as HTML: their scores on our test patients, what they cost, what is in print of them."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from malaria_detect import plots
from malaria_detect.app.widgets.base import figure
from malaria_detect.app.widgets.scores import NAMES, SHARES, interval, value
from malaria_detect.designs import description as designs
from malaria_detect.designs.comparison import (
    BY_AUTHOR,
    OURS,
    Comparison,
    ComparisonError,
    Row,
    Trained,
    read_comparison,
)
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics import Estimate


@dataclass(frozen=True)
class Cell:
    """What a row of a table says under a head, as HTML; prose may be broken into lines on a wide page, too."""

    head: str
    text: str
    prose: bool = False


def designs_view(path: str | os.PathLike[str], metadata: ModelMetadata) -> str:
    """The part "Against other designs"; one sentence where its file is not there.

    Parameters
    ----------
    path : path
        ``reports/compare.json``; what came out on the authors' own splits is looked for beside it.
    metadata : ModelMetadata
        Of the shipped model.
    """
    title = "<h2 class='md-section'>Against other designs</h2>"
    try:
        found = _read(Path(path))
        by_author = _read(Path(path).with_name(BY_AUTHOR))
    except ComparisonError as error:
        return f"{title}<p class='md-aside'>{escape(str(error))}</p>"
    if found is None or not found.trained:
        return (
            f"{title}<p class='md-aside'>No other design was trained here yet: <code>malaria-detect compare</code> "
            "trains them on the same patients and writes down what came out.</p>"
        )
    return (
        f"{title}<p class='md-lead'>{escape(designs.lead(found, metadata.point().test))}</p>"
        + _scores(found)
        + _aside(designs.differences(found))
        + _aside(designs.training(found))
        + _figure(found)
        + _more("Sensitivity, specificity, precision and F1", _at_threshold(found))
        + _more(
            "Parameters, size, training time and speed",
            _costs(found) + _aside(designs.times(found)),
        )
        + _more("What each is, and how it was trained here", _how_trained(found))
        + _on_authors_splits(designs.beside_authors(by_author))
    )


def _read(path: Path) -> Comparison | None:
    return read_comparison(path) if path.is_file() else None


def _scores(comparison: Comparison) -> str:
    rows = [
        (
            _name(row) + _cut_short(trained),
            [
                *(Cell(NAMES[name], _against_ours(name, trained)) for name in designs.FIRST),
                Cell("By another protocol", _author(row), prose=True),
            ],
        )
        for row, trained in designs.ran(comparison)
    ]
    return _table("Scores of other designs", rows)


def _against_ours(name: str, trained: Trained) -> str:
    """A score, and in a line of its own how far it lies from ours."""
    here = _with_interval(name, trained.scores.estimates[name])
    if name not in trained.minus_ours:
        return here
    unit = " points" if name in SHARES else ""
    return (
        f"{here}<div class='md-interval'>{escape(designs.less_ours(trained, name))}{unit} against ours</div>"
    )


def _at_threshold(comparison: Comparison) -> str:
    rows = [
        (
            _name(row),
            [
                Cell(NAMES[name], _with_interval(name, trained.scores.estimates[name]))
                for name in designs.SECOND
            ],
        )
        for row, trained in designs.ran(comparison)
    ]
    return _table("Calls of other designs", rows)


def _costs(comparison: Comparison) -> str:
    rows = [
        (
            _name(row),
            [
                Cell(_capitalized(head), escape(cost))
                for head, cost in zip(designs.COSTS, designs.costs(trained), strict=True)
            ],
        )
        for row, trained in designs.ran(comparison)
    ]
    return _table("What the designs cost", rows)


def _figure(comparison: Comparison) -> str:
    return (
        "<div class='md-figures'>"
        + figure("Designs side by side", plots.design_comparison(comparison.rows), designs.IN_PRINT)
        + "</div>"
    )


def _how_trained(comparison: Comparison) -> str:
    """What each network is and how it was trained; those that were not run, with why."""
    items = [
        (row, f"{designs.what_it_is(row)}. Here: {designs.as_trained(trained)}.")
        for row, trained in designs.ran(comparison)
    ]
    items += [
        (row, f"{designs.what_it_is(row)}. Not run: {row.not_run} In print: {designs.printed(row)}.")
        for row in designs.not_run(comparison)
    ]
    entries = "".join(f"<li><b>{escape(row.network)}</b>: {escape(text)}</li>" for row, text in items)
    return f"<ul class='md-cannot'>{entries}</ul>" if items else ""


def _on_authors_splits(found: Sequence[tuple[Row, Trained]]) -> str:
    if not found:
        return ""
    rows = [
        (
            escape(row.network),
            [
                *(
                    Cell(f"{NAMES[name]} here", _with_interval(name, trained.scores.estimates[name]))
                    for name in designs.FIRST
                ),
                Cell("By its author", _author(row), prose=True),
            ],
        )
        for row, trained in found
    ]
    return (
        "<p class='md-lead'>By each author’s own split <span class='md-stamp'>patients on both sides</span></p>"
        + _table("Designs on their authors' splits", rows)
        + _aside(designs.ON_AUTHORS_SPLITS)
    )


def _table(caption: str, rows: Sequence[tuple[str, Sequence[Cell]]]) -> str:
    """A row for each network; narrow pages show no head, so that its names stand in the cells too."""
    heads = "".join(f"<th scope='col'>{cell.head}</th>" for cell in rows[0][1])
    body = "".join(
        f"<tr role='row'><th scope='row' role='rowheader'>{name}</th>{''.join(map(_cell, cells))}</tr>"
        for name, cells in rows
    )
    return (
        f"<table class='md-table' role='table'><caption class='md-hidden'>{escape(caption)}</caption><thead><tr>"
        f"<th scope='col'>Network</th>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(cell: Cell) -> str:
    if cell.prose:
        return f"<td role='cell' class='md-reading'>{cell.text}</td>"
    return f"<td role='cell' data-name='{cell.head}'>{cell.text}</td>"


def _author(row: Row) -> str:
    return escape(f"In print: {designs.printed(row)}") if row.reported else ""


def _with_interval(name: str, estimate: Estimate) -> str:
    number = value(name, estimate.value)
    if math.isnan(estimate.low):
        return number
    return f"{number} <span class='md-interval'>({interval(name, estimate)})</span>"


def _name(row: Row) -> str:
    ours = row.network == OURS
    return f"{escape(row.network)}, ours" if ours else escape(row.network)


def _cut_short(trained: Trained) -> str:
    return f"<div class='md-interval'>{escape(trained.cut_short)}</div>" if trained.cut_short else ""


def _more(summary: str, text: str) -> str:
    """What a reader asks for: the page is long on a telephone."""
    inside = f"<summary>{escape(summary)}</summary><div class='md-text'>{text}</div>"
    return f"<details>{inside}</details>" if text else ""


def _aside(text: str) -> str:
    return f"<p class='md-aside'>{escape(text)}</p>" if text else ""


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
