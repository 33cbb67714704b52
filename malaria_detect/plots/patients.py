"""Figure in which every patient is a dot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from malaria_detect.metrics import PatientCounts
from malaria_detect.metrics.formatting import NO_BREAK, format_count, format_percent
from malaria_detect.plots.style import (
    CLASS_COLORS,
    GROUND,
    INK,
    QUIET_INK,
    default_style,
    new_figure,
    note,
    style_axes,
)

_Floats = NDArray[np.float64]
# Left out where they would touch the one before.
_TICKS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
# Area in square points of the dot of the patient with most cells.
_LARGEST = 160.0


@dataclass(frozen=True)
class _Lane:
    """Patients of one kind: cells with one label, and how many of them are called wrongly."""

    kind: str
    cells: _Floats
    wrong: _Floats


@default_style
def patient_dots(patients: Sequence[PatientCounts], point: str = "") -> Figure:
    """Figure of the false positive rate and the sensitivity of each patient, as strips of jittered dots.

    The area of a dot is proportional to the number of cells. The axes show the square root of the share of errors,
    whose sampling error is about the same for small and large shares [1]_. The vertical position within a strip is
    random (fixed seed) and has no meaning.

    Parameters
    ----------
    patients : sequence of PatientCounts
        See `malaria_detect.metrics.count_patients`. A patient with parasitized cells is called infected.
    point : str
        Text below the figure, such as the operating point.

    Raises
    ------
    ValueError
        If no patient has uninfected cells, or none has parasitized cells.

    References
    ----------
    .. [1] M. S. Bartlett, The square root transformation in analysis of variance, Suppl. J. R. Stat. Soc. 3 (1936)
       68-78.
    """
    alarms = [
        _lane("healthy", [(one.uninfected, one.false_positive) for one in patients if not one.parasitized]),
        _lane("infected", [(one.uninfected, one.false_positive) for one in patients if one.parasitized]),
    ]
    missed = _lane("infected", [(one.parasitized, one.parasitized - one.true_positive) for one in patients])
    alarms = [lane for lane in alarms if lane.cells.size]
    if not alarms or not missed.cells.size:
        raise ValueError(
            "The figure needs patients with uninfected cells and patients with parasitized cells."
        )
    figure = new_figure(1.9 + 1.15 * (len(alarms) + 1))
    upper, lower = figure.subplots(2, 1, height_ratios=(len(alarms), 1))
    style_axes(upper, "", "false positive rate of each patient", grid="x")
    style_axes(lower, "", "sensitivity of each patient", grid="x")
    most = max(float(lane.cells.max()) for lane in (*alarms, missed))
    _draw_strips(upper, alarms, most)
    _draw_strips(lower, [missed], most, as_sensitivity=True)
    key = f"area: cells of the patient (at most {most:,.0f}); line: all cells"
    figure.supxlabel("\n".join(filter(None, (key, point))), x=0.01, ha="left", color=QUIET_INK)
    return figure


def _lane(kind: str, counts: Sequence[tuple[int, int]]) -> _Lane:
    known = np.array([pair for pair in counts if pair[0]], dtype=np.float64).reshape(-1, 2)
    return _Lane(kind, known[:, 0], known[:, 1])


def _draw_strips(axes: Axes, lanes: Sequence[_Lane], most: float, as_sensitivity: bool = False) -> None:
    """Draw a strip for each lane by its share of errors; as sensitivity, the axis runs backwards from 100 %."""
    axes.set_xscale("function", functions=(_signed_root, lambda root: np.sign(root) * np.square(root)))
    worst = max(float((lane.wrong / lane.cells).max()) for lane in lanes)
    reach = max(1.15 * worst, 0.012)
    axes.set(xlim=(-0.002 * reach, reach), yticks=[], ylim=(len(lanes) - 0.45, -0.75))
    ticks = [0.0]
    for tick in _TICKS:
        if tick <= reach and np.sqrt(tick) - np.sqrt(ticks[-1]) > 0.12 * np.sqrt(reach):
            ticks.append(tick)
    axes.set_xticks(ticks)
    axes.spines["left"].set_visible(False)

    def shown(errors: float) -> float:
        return 1 - errors if as_sensitivity else errors

    axes.xaxis.set_major_formatter(FuncFormatter(lambda errors, _: f"{100 * shown(errors):.0f}{NO_BREAK}%"))
    pooled = float(sum(lane.wrong.sum() for lane in lanes) / sum(lane.cells.sum() for lane in lanes))
    axes.axvline(pooled, color=INK, linewidth=1.2, label="pooled", zorder=1)
    offset, side = ((-4, 4), "right") if as_sensitivity else ((4, 4), "left")
    note(axes, f"all cells: {format_percent(shown(pooled))}", (pooled, len(lanes) - 0.45), offset, side)
    if as_sensitivity:
        axes.invert_xaxis()
    jitter = np.random.default_rng(0)
    for row, lane in enumerate(lanes):
        axes.scatter(
            lane.wrong / lane.cells,
            row + jitter.uniform(-0.28, 0.28, len(lane.cells)),
            s=np.maximum(_LARGEST * lane.cells / most, 8),
            color=CLASS_COLORS["Parasitized" if lane.kind == "infected" else "Uninfected"],
            alpha=0.6,
            edgecolors="white",
            linewidths=0.5,
            label=lane.kind,
            clip_on=False,
        )
        faultless = np.count_nonzero(lane.wrong == 0)
        text = f"{format_count(len(lane.cells), f'{lane.kind} patient')}, {faultless:,} without errors"
        place, side = (0.01, "left") if as_sensitivity else (0.99, "right")
        beside = axes.get_yaxis_transform()
        axes.text(place, row - 0.42, text, ha=side, transform=beside, bbox=GROUND | {"alpha": 1})


def _signed_root(errors: _Floats) -> _Floats:
    """Square root that also holds for the margin below 0."""
    return np.sign(errors) * np.sqrt(np.abs(errors))
