"""Scores of other published designs beside ours, on the same patients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from malaria_detect.designs.comparison import OURS, Row
from malaria_detect.metrics import Estimate
from malaria_detect.metrics.formatting import format_score
from malaria_detect.plots.cells import fold
from malaria_detect.plots.rows import FILLED, HOLLOW, draw_mark, key_entry, style_rows, write_beside
from malaria_detect.plots.style import GREEN, QUIET_INK, TEXT, blend, default_style, legend, new_figure

# In points: room for the name of a design, and for a line under the figure.
_NAME, _LINE = 145, 360
_SCORES = {"accuracy": "accuracy", "roc_auc": "ROC AUC"}
_SHADE: dict[str, Any] = {"marker": "s", "color": blend(GREEN, 0.16), "markersize": 12}


@default_style
def design_comparison(rows: Sequence[Row]) -> Figure:
    """Figure of accuracy and ROC AUC of every design that was run, with published scores as hollow marks.

    The interval of our design is shaded across all rows. Designs that were not run are listed below, with the reason.

    Parameters
    ----------
    rows : sequence of malaria_detect.designs.comparison.Row
        Drawn in this order; ours is written in bold.

    Raises
    ------
    ValueError
        If no design was run.
    """
    ran = [row for row in rows if row.trained is not None]
    if not ran:
        raise ValueError("A comparison of designs needs at least one design that was run.")
    not_run = "\n".join(fold(f"{row.network}: {row.not_run}", _LINE) for row in rows if row.trained is None)
    lines = sum(_lines(row) + 0.35 for row in ran)
    below = 0.2 * (2 + not_run.count("\n")) if not_run else 0
    figure = new_figure(2.3 + 2 * 0.23 * lines + below)
    panels = figure.subplots(2, 1)
    for axes, (name, label) in zip(panels, _SCORES.items(), strict=True):
        _panel(axes, name, label, ran)
    key = [key_entry("run here, with 95 % interval", FILLED)]
    if any(row.network == OURS for row in ran):
        key.append(key_entry(f"95 % interval of {OURS}", _SHADE))
    if any(_published(row, name) is not None for row in ran for name in _SCORES):
        key.append(key_entry("published, with another split", HOLLOW))
    legend(panels[0], "lower left", key, bbox_to_anchor=(0, 1))
    if not_run:
        figure.supxlabel(f"Not run:\n{not_run}", x=0.01, ha="left", fontsize=TEXT, color=QUIET_INK)
    return figure


def _panel(axes: Axes, name: str, label: str, ran: Sequence[Row]) -> None:
    lines = np.array([_lines(row) + 0.35 for row in ran])
    places = (np.cumsum(lines) - lines / 2).tolist()
    style_rows(axes, label, places, [_folded(row) for row in ran], [row.network == OURS for row in ran])
    for row, place in zip(ran, places, strict=True):
        assert row.trained is not None
        estimate, published = row.trained.scores.estimates[name], _published(row, name)
        ours = row.network == OURS
        level = place if published is None else place - 0.5
        draw_mark(axes, estimate, level, FILLED)
        write_beside(axes, level, format_score(estimate.value), weight="bold" if ours else "normal")
        if published is not None:
            draw_mark(axes, Estimate(published, np.nan, np.nan), place + 0.5, HOLLOW)
            write_beside(axes, place + 0.5, format_score(published), color=QUIET_INK)
        if ours and not np.isnan(estimate.low):
            axes.axvspan(estimate.low, estimate.high, color=_SHADE["color"], linewidth=0, zorder=0)
    axes.set_ylim(lines.sum() + 0.2, -0.2)


def _published(row: Row, name: str) -> float | None:
    return None if row.reported is None else row.reported.scores.get(name)


def _lines(row: Row) -> int:
    """Lines of text that a row needs: those of its name, and one for each of its marks."""
    marks = 2 if any(_published(row, name) is not None for name in _SCORES) else 1
    return max(_folded(row).count("\n") + 1, marks)


def _folded(row: Row) -> str:
    """Name of a design, broken only after hyphens."""
    return fold(row.network.replace("-", "- "), _NAME).replace("- ", "-")
