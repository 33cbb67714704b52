"""Cross-validation folds: with every patient on one side, or at random as most published projects cut."""

from collections.abc import Sequence

from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from malaria_detect.cells import Cell, CellsError, Split, random_split

GROUPED, RANDOM = "grouped", "random"
# Of a single random cut, as most published projects make it: 80 to 20.
RANDOM_HELD_OUT = 0.2


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
