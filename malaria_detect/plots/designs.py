"""Networks of others' designs beside ours: scores on the same patients, and what is in print of them."""

from collections.abc import Sequence
from math import isnan, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from malaria_detect.designs.comparison import OURS, Row, Trained
from malaria_detect.metrics.formatting import format_score
from malaria_detect.plots.cells import fold
from malaria_detect.plots.style import (
    GREEN,
    GRID,
    GROUND,
    INK,
    QUIET_INK,
    TEXT,
    blend,
    drawn,
    new_figure,
    style_axes,
)

# In points: room for a network's name, and for a line under the figure.
_NAME, _LINE = 145, 360
# In inches: a line of text within a panel and under the figure, and what a panel needs besides its rows.
_PITCH, _UNDER, _AROUND = 0.23, 0.2, 0.75
_PANELS = {"accuracy": "accuracy", "roc_auc": "ROC AUC"}
_SHADE = blend(GREEN, 0.16)
_HERE: dict[str, Any] = {"marker": "o", "color": GREEN, "markerfacecolor": GREEN}
_AUTHORS: dict[str, Any] = {"marker": "D", "color": INK, "markerfacecolor": "white"}


@drawn
def design_comparison(rows: Sequence[Row]) -> Figure:
    """Draw accuracy and ROC AUC of every network that was run, with what is in print of it as a hollow mark.

    Our interval is shaded over all rows, so that the eye finds which others overlap it. Networks that were not run are
    named below, with why.

    Parameters
    ----------
    rows : sequence of malaria_detect.designs.comparison.Row
        Of one comparison, drawn in this order; ours is written bold.

    Raises
    ------
    ValueError
        Where none of the networks was run.
    """
    ran = [(row, row.trained) for row in rows if row.trained is not None]
    if not ran:
        raise ValueError("A comparison of designs needs at least one network that was run; there is none.")
    not_run = "\n".join(fold(f"{row.network}: {row.not_run}", _LINE) for row in rows if row.trained is None)
    key = _key(
        any(row.network == OURS for row, _ in ran),
        any(_author(row, name) is not None for row, _ in ran for name in _PANELS),
    )
    lines = {name: sum(_lines(row, name) + 0.35 for row, _ in ran) for name in _PANELS}
    lines["accuracy"] += len(key) + 0.4
    panels = {name: _AROUND + _PITCH * height for name, height in lines.items()}
    below = _UNDER * (2 + not_run.count("\n")) if not_run else 0
    figure = new_figure(sum(panels.values()) + below)
    both = figure.subplots(len(panels), 1, height_ratios=list(panels.values()))
    for axes, (name, label) in zip(both, _PANELS.items(), strict=True):
        _panel(axes, name, label, ran)
    _write_key(both[0], key)
    if not_run:
        figure.supxlabel(f"Not run:\n{not_run}", x=0.01, ha="left", fontsize=TEXT, color=QUIET_INK)
    return figure


def _panel(axes: Axes, name: str, label: str, ran: Sequence[tuple[Row, Trained]]) -> None:
    style_axes(axes, label, "")
    axes.grid(visible=False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    places, height, shade = [], 0.0, (nan, nan)
    for row, trained in ran:
        estimate, author = trained.scores.estimates[name], _author(row, name)
        lines = _lines(row, name)
        middle = height + (lines - 1) / 2
        places.append(middle)
        level = middle if author is None else middle - 0.5
        weight = "bold" if row.network == OURS else "normal"
        if not isnan(estimate.low):
            if row.network == OURS:
                shade = estimate.low, estimate.high
            axes.hlines(level, estimate.low, estimate.high, color=GREEN, linewidth=2.2)
        axes.plot(estimate.value, level, markersize=8, **_HERE)
        _write(axes, 1.03, level, format_score(estimate.value), weight=weight)
        if author is not None:
            axes.plot(author, middle + 0.5, markersize=8, **_AUTHORS)
            _write(axes, 1.03, middle + 0.5, format_score(author), color=QUIET_INK)
        height += lines + 0.35
    if not isnan(shade[0]):
        axes.fill_betweenx([-0.8, height - 0.6], *shade, color=_SHADE, linewidth=0, zorder=0)
    axes.set_ylim(height - 0.6, -0.8)
    axes.set_yticks(places, [_folded(row) for row, _ in ran])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for tick, (row, _) in zip(axes.get_yticklabels(), ran, strict=True):
        tick.set_fontweight("bold" if row.network == OURS else "normal")
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _key(ours: bool, authors: bool) -> list[tuple[str, dict[str, Any]]]:
    """What each mark means, as far as it is drawn."""
    shaded = {"marker": "s", "color": _SHADE, "markersize": 12}
    key = [("run here, with its 95 % interval", _HERE)]
    if ours:
        key.append((f"the interval of {OURS}", shaded))
    return [*key, ("in print: other protocol", _AUTHORS)] if authors else key


def _write_key(axes: Axes, key: Sequence[tuple[str, dict[str, Any]]]) -> None:
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top - len(key) - 0.4)
    for line, (meaning, mark) in enumerate(key):
        height = top - len(key) + 0.1 + line
        across = axes.get_yaxis_transform()
        axes.plot(0.03, height, **({"markersize": 8} | mark), label="key", transform=across)
        _write(axes, 0.08, height, meaning, bbox=GROUND)


def _author(row: Row, name: str) -> float | None:
    return None if row.reported is None else row.reported.scores.get(name)


def _lines(row: Row, name: str) -> int:
    """Lines of text that a row takes: those of its name, or one for each of its marks."""
    return max(_folded(row).count("\n") + 1, 1 if _author(row, name) is None else 2)


def _folded(row: Row) -> str:
    """A network's name, broken after hyphens only."""
    return fold(row.network.replace("-", "- "), _NAME).replace("- ", "-")


def _write(axes: Axes, x: float, height: float, text: str, **look: Any) -> None:
    """Write text level with a mark; `x` is a fraction of the width, 1.03 right of the axes."""
    written: dict[str, Any] = {"fontsize": TEXT, "color": INK, "va": "center"} | look
    axes.text(x, height, text, transform=axes.get_yaxis_transform(), **written)
