"""The README's tables of a comparison of designs; the sentences are in :mod:`malaria_detect.designs.description`."""

from collections.abc import Sequence
from typing import Any

from malaria_detect.designs.comparison import OURS, Comparison, Row, Trained
from malaria_detect.designs.description import (
    COSTS,
    FIRST,
    IN_PRINT,
    NOT_SHIPPED,
    ON_AUTHORS_SPLITS,
    SECOND,
    as_trained,
    beside_authors,
    costs,
    differences,
    lead,
    less_ours,
    less_ours_head,
    not_run,
    overlaps,
    printed,
    ran,
    score_name,
    times,
    training,
    what_it_is,
)
from malaria_detect.metrics import Scores
from malaria_detect.metrics.formatting import (
    format_estimate,
    format_table,
)

__all__ = [
    "COSTS",
    "FIRST",
    "IN_PRINT",
    "NOT_SHIPPED",
    "ON_AUTHORS_SPLITS",
    "SECOND",
    "as_trained",
    "authors_table",
    "beside_authors",
    "cost_table",
    "costs",
    "differences",
    "first_table",
    "lead",
    "less_ours",
    "less_ours_head",
    "not_run",
    "overlaps",
    "printed",
    "ran",
    "said",
    "score_name",
    "second_table",
    "times",
    "training",
    "what_it_is",
]


def said(
    comparison: Comparison | None, by_author: Comparison | None, shipped: Scores
) -> dict[str, Any] | None:
    """All that README's block needs; None where no network was run. ``shipped`` are the model's scores."""
    if comparison is None or not comparison.trained:
        return None
    authors = beside_authors(by_author)
    return {
        "lead": lead(comparison, shipped),
        "differences": differences(comparison),
        "training": training(comparison),
        "in_print": IN_PRINT,
        "on_authors_splits": ON_AUTHORS_SPLITS,
        "ran": ran(comparison),
        "not_run": not_run(comparison),
        "beside_authors": authors,
        "times": times(comparison),
        "tables": {
            "first": first_table(comparison),
            "second": second_table(comparison),
            "costs": cost_table(comparison),
            "authors": authors_table(authors),
        },
    }


def first_table(comparison: Comparison) -> str:
    """Accuracy and ROC AUC, less ours, and what is in print, as Markdown."""
    heads = [head for name in FIRST for head in (score_name(name), less_ours_head(name))]
    rows = []
    for row, trained in ran(comparison):
        cells = [
            cell
            for name in FIRST
            for cell in (format_estimate(trained.scores.estimates[name]), less_ours(trained, name))
        ]
        rows.append(_row(row, [*cells, printed(row)], trained.cut_short))
    return format_table(("network", *heads, "in print, by **another protocol**"), rows)


def second_table(comparison: Comparison) -> str:
    """The scores at the threshold, as Markdown."""
    rows = [
        _row(row, [format_estimate(trained.scores.estimates[name]) for name in SECOND])
        for row, trained in ran(comparison)
    ]
    return format_table(("network", *map(score_name, SECOND)), rows)


def cost_table(comparison: Comparison) -> str:
    """What the networks cost, as Markdown."""
    rows = [_row(row, costs(trained)) for row, trained in ran(comparison)]
    return format_table(("network", *COSTS), rows)


def authors_table(found: Sequence[tuple[Row, Trained]]) -> str:
    """By the authors' own splits, what came out here and what is in print, as Markdown."""
    rows = [
        (
            f"`{row.network}`",
            *(format_estimate(trained.scores.estimates[name]) for name in FIRST),
            printed(row),
        )
        for row, trained in found
    ]
    return format_table(("network", *(f"{score_name(name)} here" for name in FIRST), "in print"), rows)


def _row(row: Row, cells: Sequence[str], cut_short: str = "") -> list[str]:
    """A row of a table; ours is written bold."""
    name = f"**`{row.network}`, ours**" if row.network == OURS else f"`{row.network}`"
    return [f"{name} ({cut_short})" if cut_short else name, *cells]
