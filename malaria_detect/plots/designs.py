"""Scores of other published designs beside ours, on the same patients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from malaria_detect.designs import comparison
from malaria_detect.designs.comparison import OURS
from malaria_detect.metrics import Estimate
from malaria_detect.plots.rows import FILLED, HOLLOW, Row, draw_rows, height_of, key_entry
from malaria_detect.plots.style import GREEN, blend, default_style, fold, new_figure

_NAME = 145  # room for the name of a design, in points
_SCORES = {"accuracy": "accuracy", "roc_auc": "ROC AUC"}
_SHADE: dict[str, Any] = {"marker": "s", "color": blend(GREEN, 0.16), "markersize": 12}


@default_style
def design_comparison(designs: Sequence[comparison.DesignRow]) -> Figure:
    """Figure of accuracy and ROC AUC of every design that was run, with published scores as hollow marks.

    The interval of our design is shaded across all rows. Designs that were not run are left out.

    Parameters
    ----------
    designs : sequence of malaria_detect.designs.comparison.DesignRow
        Drawn in this order; ours is written in bold.

    Raises
    ------
    ValueError
        If no design was run.
    """
    ran = {row.network: row.trained.scores.estimates for row in designs if row.trained is not None}
    if not ran:
        raise ValueError("A comparison of designs needs at least one design that was run.")
    published = {row.network: row.reported.scores for row in designs if row.reported is not None}
    panels: dict[str, list[Row]] = {}
    for name in _SCORES:
        panels[name] = rows = []
        for network, estimates in ran.items():
            marks = [(estimates[name], FILLED)]
            if name in published.get(network, {}):
                marks.append((Estimate(published[network][name], np.nan, np.nan), HOLLOW))
            # Broken after hyphens only.
            folded = fold(network.replace("-", "- "), _NAME).replace("- ", "-")
            rows.append(Row(folded, marks, bold=network == OURS))
    heights = [height_of(rows) for rows in panels.values()]
    figure = new_figure(2.2 + sum(heights))
    for axes, (name, rows) in zip(figure.subplots(2, 1, height_ratios=heights), panels.items(), strict=True):
        draw_rows(axes, _SCORES[name], rows)
        if OURS in ran and not np.isnan(ran[OURS][name].low):
            low, high = ran[OURS][name].low, ran[OURS][name].high
            axes.axvspan(low, high, color=_SHADE["color"], linewidth=0, zorder=0)
    key = [key_entry("run here, with 95 % interval", FILLED)]
    if OURS in ran:
        key.append(key_entry(f"95 % interval of {OURS}", _SHADE))
    if any(len(row.marks) > 1 for rows in panels.values() for row in rows):
        key.append(key_entry("published, with another split", HOLLOW))
    figure.axes[0].legend(handles=key, loc="lower left", bbox_to_anchor=(0, 1))
    return figure
