"""Split cells into training, validation and test cells, or into cross-validation folds, patient by patient.

All cells of one patient look alike (same stain, same day, same blood), so that a split is only honest if no patient
appears in two of its parts; :func:`grouped_split` ensures that.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from malaria_detect.data.nlm_cells import CLASSES, Cell, CellsError, patient_group

# Of a single random cut, as most published projects make it: 80 to 20.
# How the cells are split: whole patients, or cell by cell as in most published projects.
GROUPED, RANDOM = "grouped", "random"
RANDOM_HELD_OUT = 0.2
_DRAWS = 1000
_EXCHANGES = 2000


@dataclass(frozen=True)
class Split:
    """Positions in a list of cells, as sorted tuples: every cell stands on exactly one side."""

    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]


def grouped_split(cells: Sequence[Cell], valid: float = 0.15, test: float = 0.15, seed: int = 0) -> Split:
    """Split so that no patient group stands on two sides, and the classes are even.

    Patient groups are drawn within two strata (with and without parasitized cells), so that each side gets its share
    of both; of 1,000 such draws the one is kept in which the cells of each class come nearest to the wished shares.
    Where a side's share of parasitized cells is still off by a percentage point, patients are exchanged. From about
    80 patients on all sides agree within two points.

    Parameters
    ----------
    cells : sequence of Cell
    valid, test : float
        Shares of the patient groups, each in [0, 1), together below 1.
    seed : int
        The same seed and the same cells give the same split, in whatever order the cells come.

    Raises
    ------
    CellsError
        Where the shares are impossible, or a side would stay empty.
    """
    _check_shares(valid, test)
    groups = sorted({cell.group for cell in cells})
    position = {group: index for index, group in enumerate(groups)}
    counts = np.zeros((len(groups), len(CLASSES)))
    for cell in cells:
        counts[position[cell.group], CLASSES.index(cell.label)] += 1
    strata = [np.flatnonzero(counts[:, 0] > 0), np.flatnonzero(counts[:, 0] == 0)]
    wished = np.array([[1 - valid - test], [valid], [test]])

    def unevenness(side: np.ndarray) -> float:
        shares = np.stack([counts[side == number].sum(axis=0) for number in range(3)])
        return float(np.abs(shares / np.maximum(counts.sum(axis=0), 1) - wished).max())

    random = np.random.default_rng(seed)
    draws = (_draw_sides(strata, len(groups), valid, test, random) for _ in range(_DRAWS))
    side = min(draws, key=unevenness)
    for _ in range(_EXCHANGES):
        if _within_a_point(counts, side):
            break
        stratum = strata[random.integers(2)]
        if len(stratum) > 1:
            exchanged = side.copy()
            pair = random.choice(stratum, 2, replace=False)
            exchanged[pair] = side[pair[::-1]]
            side = min(side, exchanged, key=unevenness)
    return _as_split([int(side[position[cell.group]]) for cell in cells], valid, test)


def random_split(cells: Sequence[Cell], valid: float = 0.15, test: float = 0.15, seed: int = 0) -> Split:
    """Split cell by cell, as most published projects do: **patients stand on both sides**, scores come out too high.

    Parameters and errors are those of :func:`grouped_split`; each class is cut in the wished shares exactly.
    """
    _check_shares(valid, test)
    order = sorted(range(len(cells)), key=lambda index: (cells[index].label, cells[index].path.name))
    random = np.random.default_rng(seed)
    side = [0] * len(cells)
    for label in CLASSES:
        drawn = random.permutation([index for index in order if cells[index].label == label])
        end_valid = round(valid * len(drawn))
        end_test = end_valid + round(test * len(drawn))
        for index in drawn[:end_valid]:
            side[index] = 1
        for index in drawn[end_valid:end_test]:
            side[index] = 2
    return _as_split(side, valid, test)


def fastai_splitter(
    how: Callable[..., Split], valid: float = 0.15, test: float = 0.15, seed: int = 0
) -> Callable[[Iterable[Path]], tuple[list[int], list[int]]]:
    """Turn :func:`grouped_split` or :func:`random_split` into a splitter for a fastai ``DataBlock`` of cell paths.

    Returns
    -------
    callable
        From paths in NLM's layout to the positions of the training and of the validation cells. Test cells are in
        neither.

    Examples
    --------
    >>> from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, parent_label
    >>> block = DataBlock(
    ...     (ImageBlock, CategoryBlock), get_y=parent_label, splitter=fastai_splitter(grouped_split, seed=1)
    ... )
    """

    def splitter(paths: Iterable[Path]) -> tuple[list[int], list[int]]:
        cells = [Cell(Path(path), Path(path).parent.name, patient_group(Path(path).name)) for path in paths]
        split = how(cells, valid=valid, test=test, seed=seed)
        return list(split.train), list(split.valid)

    return splitter


def folds_of(cells: Sequence[Cell], how: str, folds: int, seed: int) -> tuple[Split, ...]:
    """Cut cells into folds; each is held out once.

    Parameters
    ----------
    cells : sequence of Cell
    how : str
        ``grouped``: a patient group is held out as a whole, and the classes are kept as even as that allows.
        ``random``: cell by cell, **patients on both sides**, which makes scores come out too high.
    folds : int
        2 or more. ``random`` also takes 1: the single cut of 80 to 20 that most published projects make.
    seed : int
        The same seed and the same cells give the same folds, in whatever order the cells come.

    Returns
    -------
    tuple of Split
        One for each fold: ``train``, and the held-out cells as ``valid``; ``test`` is empty.

    Raises
    ------
    CellsError
        Where the number of folds is impossible for these cells.
    """
    if how not in (GROUPED, RANDOM) or folds < (2 if how == GROUPED else 1):
        raise CellsError(
            f"A cross-validation is grouped, with 2 folds or more, or random, with 1 or more; got {how} with {folds}."
        )
    if folds == 1:
        return (random_split(cells, valid=RANDOM_HELD_OUT, test=0.0, seed=seed),)
    order = sorted(range(len(cells)), key=lambda index: (cells[index].label, cells[index].path.name))
    labels, groups = ([getattr(cells[index], name) for index in order] for name in ("label", "group"))
    if len(set(groups if how == GROUPED else order)) < folds:
        raise CellsError(f"{len(cells)} cells of {len(set(groups))} patients are too few for {folds} folds.")
    if how == GROUPED:
        cuts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(order, labels, groups)
    else:
        cuts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(order, labels)
    return tuple(
        Split(
            tuple(sorted(order[place] for place in train)), tuple(sorted(order[place] for place in held)), ()
        )
        for train, held in cuts
    )


def _draw_sides(
    strata: Sequence[np.ndarray], groups: int, valid: float, test: float, random: np.random.Generator
) -> np.ndarray:
    """One side for each group: 0 training, 1 validation, 2 test."""
    side = np.zeros(groups, dtype=int)
    for stratum in strata:
        drawn = random.permutation(stratum)
        end_valid = round(valid * len(drawn))
        end_test = end_valid + round(test * len(drawn))
        side[drawn[:end_valid]] = 1
        side[drawn[end_valid:end_test]] = 2
    return side


def _within_a_point(counts: np.ndarray, side: np.ndarray) -> bool:
    everywhere = counts[:, 0].sum() / counts.sum()
    cells = [counts[side == number].sum(axis=0) for number in range(3)]
    return all(abs(of_class[0] / of_class.sum() - everywhere) <= 0.01 for of_class in cells if of_class.any())


def _check_shares(valid: float, test: float) -> None:
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise CellsError(
            f"The shares of validation ({valid}) and test ({test}) must lie in [0, 1) and sum to less than 1."
        )


def _as_split(side: Sequence[int], valid: float, test: float) -> Split:
    train, valid_cells, test_cells = (
        tuple(index for index, number in enumerate(side) if number == wanted) for wanted in range(3)
    )
    if not train or (valid and not valid_cells) or (test and not test_cells):
        raise CellsError(
            f"{len(side)} cells are too few patients to split: a side of the split would stay empty."
        )
    return Split(train, valid_cells, test_cells)
