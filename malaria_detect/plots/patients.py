"""The figure in which every patient is a dot."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from malaria_detect.metrics import PatientCounts
from malaria_detect.metrics.formatting import format_percent
from malaria_detect.plots.style import BAND, CLASS_COLORS, INK, QUIET_INK, TEXT, WIDTH, drawn, note
from malaria_detect.plots.swarm import heights, rows

Floats = NDArray[np.float64]

# All lengths are points, so that dots are laid side by side before anything is drawn.
_MARGIN = 10.0
_LINE = 17.0
_ROOM = 72 * WIDTH - 2 * _MARGIN
# Patients without a single mistake stand in a band of their own: no scale has room for that many in one place.
_FAULTLESS = 76.0
_SCALE = (_FAULTLESS + 10, _ROOM - 14)
_LARGEST, _SMALLEST = 9.0, 1.6
_TALLEST = 130.0
_WHITE = 0.7
_TICKS = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
# Ticks, and patients in the key, are those of these that fit.
_APART = 40.0
_KEY = (1, 5, 20, 100, 500)


@dataclass(frozen=True)
class _Lane:
    """The patients of one kind: of each the cells with one label, and how many of them are called wrongly."""

    kind: str
    cells: Floats
    wrong: Floats

    @property
    def name(self) -> str:
        return f"{len(self.cells):,} {self.kind} patient{'s' if len(self.cells) > 1 else ''}"

    @property
    def color(self) -> str:
        return CLASS_COLORS["Parasitized" if self.kind == "infected" else "Uninfected"]


@dataclass(frozen=True)
class _Swarm:
    """Where the dots of a lane lie: middles and radii."""

    x: Floats
    y: Floats
    radius: Floats

    @property
    def height(self) -> float:
        return 2 * float((abs(self.y) + self.radius).max())


@dataclass(frozen=True)
class _Panel:
    title: str
    faultless: str
    lanes: tuple[_Lane, ...]
    # Sensitivity grows to the right, so that its mistakes grow to the left.
    mirrored: bool

    @property
    def reach(self) -> float:
        """The share of mistakes at which the scale ends."""
        worst = max(float((lane.wrong / lane.cells).max()) for lane in self.lanes)
        return next(tick for tick in _TICKS[1:] if tick >= worst)

    @property
    def pooled(self) -> float:
        """The share of mistakes among the cells of all patients together."""
        return float(
            sum(lane.wrong.sum() for lane in self.lanes) / sum(lane.cells.sum() for lane in self.lanes)
        )

    def along(self, errors: Floats) -> Floats:
        """Where on the scale a share of mistakes lies."""
        start, end = _SCALE
        return self.side(start + (end - start) * np.sqrt(errors / self.reach))

    def side(self, x: Floats) -> Floats:
        return _ROOM - x if self.mirrored else x


@drawn
def patient_dots(patients: Sequence[PatientCounts], point: str = "") -> Figure:
    """Draw each patient's false-positive rate and sensitivity as a dot, larger for more cells.

    Patients without a mistake stand in a band of their own. The scale is the square root of the share of mistakes,
    on which a small share is about as uncertain as a large one [1]_: the many good patients do not hide each other,
    and the few bad ones stay in the picture. Up and down has no meaning; dots only make room for each other.

    Parameters
    ----------
    patients : sequence of PatientCounts, not empty
        Of `malaria_detect.metrics.count_patients`. A patient with parasitized cells is an infected one.
    point : str
        The operating point in words, written below: ``"balanced: called parasitized from 0.43 on"``.

    Raises
    ------
    ValueError
        Where no patient has cells of one of the two labels.

    References
    ----------
    .. [1] M. S. Bartlett, The square root transformation in analysis of variance, Suppl. J. R. Stat. Soc. 3 (1936)
       68-78.
    """
    panels = _panels(patients)
    area, swarms = _fitting_swarms(panels)
    tall = [sum(_LINE + swarm.height + 6 for swarm in found) for found in swarms]
    below = (2.6 if point else 1.6) * _LINE
    total = sum(tall) + len(panels) * 4.2 * _LINE + below
    figure = Figure(figsize=(WIDTH, total / 72), facecolor="white")
    top = total
    for panel, found, height in zip(panels, swarms, tall, strict=True):
        top -= 2.4 * _LINE
        axes = _points_axes(figure, top - height, height)
        _draw_panel(axes, panel, found)
        top -= height + 1.8 * _LINE
    _draw_key(_points_axes(figure, 0, below), area, point, panels)
    return figure


def _panels(patients: Sequence[PatientCounts]) -> tuple[_Panel, _Panel]:
    healthy = [patient for patient in patients if patient.uninfected and not patient.parasitized]
    infected = [patient for patient in patients if patient.parasitized]
    mixed = [patient for patient in infected if patient.uninfected]
    if not healthy + mixed or not infected:
        raise ValueError(
            "The patients' dots need patients with uninfected cells and patients with parasitized ones; "
            f"there are {len(healthy + mixed)} and {len(infected)}."
        )
    alarms = [
        _Lane(kind, *np.array([(one.uninfected, one.false_positive) for one in group], dtype=np.float64).T)
        for kind, group in (("healthy", healthy), ("infected", mixed))
        if group
    ]
    counts = [(one.parasitized, one.parasitized - one.true_positive) for one in infected]
    missed = _Lane("infected", *np.array(counts, dtype=np.float64).T)
    return (
        _Panel("false-positive rate of each patient", "none", tuple(alarms), mirrored=False),
        _Panel("sensitivity of each patient", "all found", (missed,), mirrored=True),
    )


def _fitting_swarms(panels: Sequence[_Panel]) -> tuple[float, list[list[_Swarm]]]:
    """Square points for one cell, the same in all lanes, and the swarms of each panel's lanes.

    Many patients have one mistake among about as many cells: their pile rules how large dots may be.
    """
    most = max(float(lane.cells.max()) for panel in panels for lane in panel.lanes)
    area = pi * _LARGEST**2 / most
    while True:
        swarms = [[_swarm(lane, panel, area) for lane in panel.lanes] for panel in panels]
        tallest = max(swarm.height for found in swarms for swarm in found)
        if tallest <= _TALLEST or area * most <= pi * _SMALLEST**2:
            return area, swarms
        area *= 0.8


def _radius(cells: Floats, area: float) -> Floats:
    """Radii in steps of a fifth of a point."""
    return (5 * np.sqrt(area * cells / pi).clip(_SMALLEST, None)).round() / 5


def _swarm(lane: _Lane, panel: _Panel, area: float) -> _Swarm:
    """Lay the dots of a lane side by side: the faultless in rows, the others each at its place on the scale."""
    # More than is drawn: the white between dots.
    radius = _radius(lane.cells, area) + _WHITE / 2
    errors = lane.wrong / lane.cells
    x, y = panel.along(errors), np.zeros_like(errors)
    faultless = errors == 0
    laid = rows(radius[faultless], _FAULTLESS - 4)
    x[faultless], y[faultless] = panel.side(laid[0] + 2), laid[1]
    y[~faultless] = heights(x[~faultless], radius[~faultless])
    return _Swarm(x, y, radius - _WHITE / 2)


def _points_axes(figure: Figure, bottom: float, height: float) -> Axes:
    """Axes whose data are points, y downwards."""
    width, total = 72 * np.asarray(figure.get_size_inches())
    axes = figure.add_axes((_MARGIN / width, bottom / total, _ROOM / width, height / total))
    axes.set(xlim=(0, _ROOM), ylim=(height, 0))
    axes.axis("off")
    return axes


def _draw_panel(axes: Axes, panel: _Panel, swarms: Sequence[_Swarm]) -> None:
    bottom, _ = axes.get_ylim()
    side = "left" if panel.mirrored else "right"
    away = 0.0 if panel.mirrored else _ROOM
    band = panel.side(np.array([0, _FAULTLESS]))
    axes.axvspan(band.min(), band.max(), color=BAND, zorder=0, linewidth=0)
    axes.set_title(panel.title, loc="left", fontsize=TEXT, color=INK, pad=1.2 * _LINE)
    x = float(panel.along(np.array(panel.pooled)))
    axes.plot([x, x], [0, bottom], color=INK, linewidth=1.2, label="pooled", zorder=1)
    value = 1 - panel.pooled if panel.mirrored else panel.pooled
    beside = (-2, "right") if x > _ROOM / 2 else (2, "left")
    note(axes, f"all cells: {format_percent(value)}", (x, 0), (beside[0], 4), beside[1])
    top = 0.0
    for lane, swarm in zip(panel.lanes, swarms, strict=True):
        line = top + 0.75 * _LINE
        axes.text(away, line, lane.name, ha=side, fontsize=TEXT, color=INK)
        faultless = np.count_nonzero(lane.wrong == 0)
        axes.text(band.mean(), line, f"{panel.faultless}: {faultless}", ha="center", fontsize=TEXT, color=INK)
        middle = top + _LINE + swarm.height / 2
        # One line object for each size: an SVG then holds each size once.
        for radius in np.unique(swarm.radius):
            same = swarm.radius == radius
            _dots(axes, swarm.x[same], swarm.y[same] + middle, radius, lane.color, lane.kind)
        top += _LINE + swarm.height + 6
    axes.plot([0, _ROOM], [bottom, bottom], color=QUIET_INK, linewidth=0.8, clip_on=False)
    for share, place in [(0.0, float(band.mean())), *_ticks(panel)]:
        text = format_percent(1 - share if panel.mirrored else share, 0)
        axes.plot([place, place], [bottom, bottom + 4], color=QUIET_INK, linewidth=0.8, clip_on=False)
        axes.text(place, bottom + _LINE, text, ha="center", fontsize=TEXT, color=QUIET_INK)


def _dots(axes: Axes, x: ArrayLike, y: ArrayLike, radius: float, color: str, label: str) -> None:
    axes.plot(
        x,
        y,
        linestyle="none",
        marker="o",
        markersize=2 * radius,
        markeredgewidth=0,
        color=color,
        label=label,
        clip_on=False,
    )


def _ticks(panel: _Panel) -> list[tuple[float, float]]:
    """Shares of mistakes and their places on the scale; from its end on, as many as can be written side by side."""
    found: list[tuple[float, float]] = []
    for share in reversed([tick for tick in _TICKS if tick <= panel.reach]):
        place = float(panel.along(np.array(share)))
        if not found or abs(place - found[-1][1]) >= _APART:
            found.append((share, place))
    return found


def _draw_key(axes: Axes, area: float, point: str, panels: Sequence[_Panel]) -> None:
    """What the size of a dot means, and which operating point this is."""
    most = max(float(lane.cells.max()) for panel in panels for lane in panel.lanes)
    axes.text(0, 16, "dots: patients of", fontsize=TEXT, color=QUIET_INK)
    x = 112.0
    for cells in [cells for cells in _KEY if cells <= most][-3:]:
        radius = float(_radius(np.array(cells), area))
        _dots(axes, [x + radius], [12], radius, QUIET_INK, "key")
        axes.text(x + 2 * radius + 3, 16, f"{cells}", fontsize=TEXT, color=QUIET_INK)
        x += 2 * radius + 12 + 8 * len(str(cells))
    axes.text(x, 16, "cells; line: all cells", fontsize=TEXT, color=QUIET_INK)
    if point:
        axes.text(0, 18 + _LINE, point, fontsize=TEXT, color=QUIET_INK)
