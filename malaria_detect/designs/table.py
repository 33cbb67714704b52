"""The table of a comparison: one row for each design, the same on the page and in the documentation; no torch."""

from collections.abc import Callable

from malaria_detect.designs.comparison import (
    DesignRow,
    Trained,
    on_authors_split,
    printed,
    score_name,
)
from malaria_detect.evaluation.laboratories import OUTLINE
from malaria_detect.metrics.formatting import (
    MISSING,
    format_count,
    format_duration,
    format_estimate,
    format_rate,
    format_score,
)

SCORES = ("accuracy", "roc_auc", "sensitivity", "specificity")
HEADS = (
    *(score_name(name).capitalize() if name != "roc_auc" else score_name(name) for name in SCORES),
    *("Parameters", "Cells/s", "Trained for"),
    *("Other laboratories: sensitivity, specificity", "Author’s own result (split)"),
)


def table_row(row: DesignRow, trained: Trained, write: Callable[[float], str] = format_score) -> list[str]:
    """Cells of a row, in the order of :data:`HEADS`; `write` formats shares of cells, such as the accuracy."""
    return [
        *(
            format_estimate(trained.scores.estimates[name], format_score if name == "roc_auc" else write)
            for name in SCORES
        ),
        format_count(trained.parameters),
        format_rate(trained.cells_per_second),
        format_duration(trained.training_seconds),
        elsewhere(trained, write),
        authors_result(row),
    ]


def elsewhere(trained: Trained, write: Callable[[float], str] = format_score) -> str:
    """Sensitivity and specificity in other laboratories, for cells that are cut out by outline.

    ``fields_iml 0.966, 0.983; fields_bccd –, 0.960``: without parasitized cells there is no sensitivity.
    """
    parts = []
    for one in trained.laboratories:
        if one.cut == OUTLINE:
            shares = [
                write(one.called[name].value) if name in one.called else MISSING
                for name in ("sensitivity", "specificity")
            ]
            parts.append(f"{one.name.removeprefix('fields_')} {', '.join(shares)}")
    return "; ".join(parts) or MISSING


def authors_result(row: DesignRow) -> str:
    """What the author of a design published, with the author's split, and our scores on such a split."""
    ours = on_authors_split(row)
    return printed(row) if ours == MISSING else f"{printed(row)}; here, on such a split: {ours}"
