"""How much a laboratory gains from a few labelled cells of its own: repeated draws, checked on its other fields."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from malaria_detect.inference.adapt import Adaptation, Change, SiteCells

# Labelled cells of each draw, parasitized and uninfected.
NUMBERS = ((10, 30), (20, 60), (50, 150), (150, 450))
DRAWS = 10
SENSITIVITY = 0.93  # at which the specificity is read
# Parasitized cells that must remain in the other fields.
_LEAST_CHECKED = 20


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over draws."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Gain:
    """Scores in a laboratory after adapting to a number of its cells.

    Attributes
    ----------
    parasitized, uninfected : int
        Labelled cells; 0 and 0 for the model as it is.
    draws : int
    roc_auc, specificity : Spread
        On cells of fields from which none was drawn; the specificity where the sensitivity is at least 0.93.
    home : Spread
        Change of the ROC AUC on validation patients of the parent.
    """

    parasitized: int
    uninfected: int
    draws: int
    roc_auc: Spread
    specificity: Spread
    home: Spread


def gain_curve(
    adaptation: Adaptation,
    cells: SiteCells,
    numbers: Sequence[tuple[int, int]] = NUMBERS,
    draws: int = DRAWS,
) -> tuple[Gain, ...]:
    """Scores in a laboratory without and after adapting to some of its cells.

    In each draw, fields come in random order until they have enough cells; the cells of all other fields are scored.
    The first result is that of the model as it is, on the fields that remain in the draws of the second. Numbers for
    which fewer than 20 parasitized cells would remain are left out.

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
            print(gain.parasitized, gain.roc_auc.mean, gain.specificity.mean)
    """
    found: list[Gain] = []
    for parasitized, uninfected in numbers:
        drawn = [
            one
            for draw in range(draws)
            if (one := draw_cells(cells, (parasitized, uninfected), draw)) is not None
        ]
        if len(drawn) < draws:
            continue
        if not found:
            rows = [_scored(adaptation, cells[rest], None) for _, rest in drawn]
            found.append(_gain((0, 0), rows))
        rows = [_scored(adaptation, cells[rest], adaptation.fit(cells[learnt])) for learnt, rest in drawn]
        found.append(_gain((parasitized, uninfected), rows))
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


def _scored(adaptation: Adaptation, cells: SiteCells, change: Change | None) -> tuple[float, float, float]:
    odds = adaptation.log_odds(cells.features, change)
    auc = float(roc_auc_score(cells.parasitized, odds))
    home = adaptation.home_auc(change) - adaptation.home_auc()
    return auc, specificity_at(cells.parasitized, odds), home


def _gain(numbers: tuple[int, int], rows: Sequence[tuple[float, float, float]]) -> Gain:
    columns = np.array(rows).T
    return Gain(*numbers, len(rows), *(Spread(float(one.mean()), float(one.std())) for one in columns))
