"""How much a laboratory gains from a few labelled cells of its own: repeated draws, checked on its other fields."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from malaria_detect.evaluation.laboratories import Gain, Spread
from malaria_detect.inference.adapt import Adaptation, SiteCells
from malaria_detect.metrics import Estimate, difference, roc_auc, scaled

# Labelled cells of each draw, parasitized and uninfected.
NUMBERS = ((10, 30), (20, 60), (50, 150), (150, 450))
DRAWS = 10
SENSITIVITY = 0.93  # at which the specificity is read
# Parasitized cells that must remain in the other fields.
_LEAST_CHECKED = 20
_RESAMPLES = 500  # enough for the mean of ten intervals
_COMPARED = ("roc_auc", "sensitivity", "specificity")


def gain_curve(
    adaptation: Adaptation,
    cells: SiteCells,
    numbers: Sequence[tuple[int, int]] = NUMBERS,
    draws: int = DRAWS,
) -> tuple[Gain, ...]:
    """What adapting to some of a laboratory's cells changes, for several numbers of cells.

    In each draw, fields come in random order until they have enough cells; the cells of all other fields are scored
    without and with the change. Numbers for which fewer than 20 parasitized cells would remain are left out.

    Parameters
    ----------
    adaptation : Adaptation
    cells : SiteCells
        All labelled cells of the laboratory; ``groups`` are their fields.
    numbers : sequence of (int, int)
        Parasitized and uninfected cells to adapt to.
    draws : int

    Examples
    --------
    ::

        for gain in gain_curve(Adaptation(network, metadata, references), cells):
            print(gain.parasitized, gain.before["roc_auc"].mean, gain.after["roc_auc"].mean)
    """
    found: list[Gain] = []
    for number in numbers:
        drawn = [draw_cells(cells, number, draw) for draw in range(draws)]
        compared = [_compared(adaptation, cells, *one) for one in drawn if one is not None]
        if len(compared) == draws:
            before, after, gains, home = zip(*compared, strict=True)
            gain = {name: _mean([one[name] for one in gains]) for name in _COMPARED}
            found.append(Gain(*number, draws, _spreads(before), _spreads(after), gain, _spread(home)))
    return tuple(found)


def specificity_at(labels: NDArray[np.bool_], odds: NDArray[np.float64]) -> float:
    """Highest specificity with a sensitivity of at least 0.93.

    Examples
    --------
    >>> specificity_at(np.array([True, True, False, False]), np.array([0.9, 0.3, 0.4, 0.1]))
    0.5
    """
    false_positive_rate, sensitivity, _ = roc_curve(labels, odds)
    return float(1 - false_positive_rate[sensitivity >= SENSITIVITY].min())


def draw_cells(
    cells: SiteCells, numbers: tuple[int, int], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Positions of drawn cells, parasitized and uninfected, and of the cells in fields from which none was drawn.

    None if there are too few, or fewer than 20 parasitized cells remain. Another seed gives another draw.
    """
    random = np.random.default_rng(seed)
    groups = np.array(cells.groups)
    chosen: list[NDArray[np.intp]] = []
    for kind, number in zip((True, False), numbers, strict=True):
        # Uninfected cells come from the fields of the parasitized ones as far as there are enough.
        first = np.isin(groups, groups[chosen[0]]) if chosen else np.zeros(len(groups), bool)
        chosen.append(np.fromiter(_of_class(cells, kind, first, random), np.intp)[:number])
        if len(chosen[-1]) < number:
            return None
    learnt = np.concatenate(chosen)
    rest = np.flatnonzero(~np.isin(groups, groups[learnt]))
    left = int(cells.parasitized[rest].sum())
    return (learnt, rest) if left >= _LEAST_CHECKED and left < len(rest) else None


def _of_class(
    cells: SiteCells, kind: bool, first: NDArray[np.bool_], random: np.random.Generator
) -> Iterator[int]:
    """Positions of cells of a class, field by field in random order, those of some fields first."""
    groups = np.array(cells.groups)
    of_class = cells.parasitized == kind
    for part in (first, ~first):
        for group in random.permutation(np.unique(groups[part])):
            yield from random.permutation(np.flatnonzero(of_class & (groups == group))).tolist()


def _compared(
    adaptation: Adaptation, cells: SiteCells, learnt: NDArray[np.intp], rest: NDArray[np.intp]
) -> tuple[dict[str, float], dict[str, float], dict[str, Estimate], float]:
    """Scores of other cells before and after adapting to some, their differences, and the change at home."""
    change, others, metadata = adaptation.fit(cells[learnt]), cells[rest], adaptation.metadata
    labels, threshold = others.parasitized, metadata.point().threshold
    odds = [adaptation.log_odds(others.features, one) for one in (None, change)]
    before, after = (scaled(one, metadata.temperature) for one in odds)
    scores = [
        {
            "roc_auc": roc_auc(labels, one),
            "sensitivity": float((probability >= threshold)[labels].mean()),
            "specificity": float((probability < threshold)[~labels].mean()),
            "specificity_at": specificity_at(labels, one),
        }
        for one, probability in zip(odds, (before, after), strict=True)
    ]
    gain = difference(labels, after, before, others.groups, threshold, _RESAMPLES)
    return scores[0], scores[1], gain, adaptation.home_auc(change) - adaptation.home_auc()


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values)))


def _spreads(draws: Sequence[dict[str, float]]) -> dict[str, Spread]:
    return {name: _spread([one[name] for one in draws]) for name in draws[0]}


def _mean(draws: Sequence[Estimate]) -> Estimate:
    return Estimate(*np.mean([(one.value, one.low, one.high) for one in draws], axis=0).tolist())
