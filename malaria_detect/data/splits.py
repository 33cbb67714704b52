"""Splits of cells into training, validation and test cells, and into cross-validation folds.

Cells of one patient look alike (same stain, same day, same blood). If a patient is in two parts of a split, scores are
too high: patient-level leakage. :func:`grouped_split` prevents it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from malaria_detect.core.extras import from_extra
from malaria_detect.data.cell_table import PARTS
from malaria_detect.data.nlm_cells import CLASSES, Cell, CellsError, patient_group

# By whole patients, or by single cells as in most published projects.
GROUPED, RANDOM = "grouped", "random"
# Held-out share of a single random split, as in most published projects.
RANDOM_HELD_OUT = 0.2
_DRAWS = 1000
_EXCHANGES = 2000


@dataclass(frozen=True)
class Split:
    """Indices into a sequence of cells, sorted; every cell is in exactly one part."""

    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]


def grouped_split(cells: Sequence[Cell], valid: float = 0.15, test: float = 0.15, seed: int = 0) -> Split:
    """Split by patient group, with a similar share of parasitized cells in all parts.

    Patient groups are drawn within two strata (with and without parasitized cells). Of 1,000 draws, the one is used in
    which the cells of each class are closest to the requested shares. If the share of parasitized cells in a part still
    differs by more than a percentage point from all cells, patients are exchanged. With 80 patients or more, all parts
    agree within two points.

    Parameters
    ----------
    cells : sequence of Cell
    valid, test : float
        Shares of the patient groups, each in [0, 1), with a sum below 1.
    seed : int
        The same seed and cells give the same split, in any order of the cells.

    Raises
    ------
    CellsError
        If the shares are impossible, or a part would be empty.
    """
    _check_shares(valid, test)
    groups = sorted({cell.group for cell in cells})
    position = {group: index for index, group in enumerate(groups)}
    counts = np.zeros((len(groups), len(CLASSES)))
    for cell in cells:
        counts[position[cell.group], CLASSES.index(cell.label)] += 1
    strata = [np.flatnonzero(counts[:, 0] > 0), np.flatnonzero(counts[:, 0] == 0)]
    requested = np.array([[1 - valid - test], [valid], [test]])

    def unevenness(part: np.ndarray) -> float:
        shares = np.stack([counts[part == number].sum(axis=0) for number in range(3)])
        return float(np.abs(shares / np.maximum(counts.sum(axis=0), 1) - requested).max())

    def draw() -> np.ndarray:
        part = np.zeros(len(groups), dtype=int)
        for stratum in strata:
            _assign(part, random.permutation(stratum), valid, test)
        return part

    random = np.random.default_rng(seed)
    part = min((draw() for _ in range(_DRAWS)), key=unevenness)
    for _ in range(_EXCHANGES):
        if _within_a_point(counts, part):
            break
        stratum = strata[random.integers(2)]
        if len(stratum) > 1:
            exchanged = part.copy()
            pair = random.choice(stratum, 2, replace=False)
            exchanged[pair] = part[pair[::-1]]
            part = min(part, exchanged, key=unevenness)
    return _as_split(part[[position[cell.group] for cell in cells]], valid, test, f"{len(groups)} patients")


def random_split(cells: Sequence[Cell], valid: float = 0.15, test: float = 0.15, seed: int = 0) -> Split:
    """Split by single cells, as in most published projects: **patients are in several parts**, and scores too high.

    Parameters and errors are those of :func:`grouped_split`; each class is divided exactly by the shares. Identical
    images count as one cell.
    """
    _check_shares(valid, test)
    order = _in_order(cells)
    first = _first_copies(cells, order)
    random = np.random.default_rng(seed)
    part = np.zeros(len(cells), dtype=int)
    for label in CLASSES:
        of_class = [index for index in order if cells[index].label == label and first[index] == index]
        _assign(part, random.permutation(np.array(of_class, dtype=int)), valid, test)
    return _as_split(part[first], valid, test, f"{len(cells)} cells")


def given_split(cells: Sequence[Cell]) -> Split | None:
    """The split that a CSV file gives; None if it gives none.

    Raises
    ------
    CellsError
        If one of the parts has no cells.
    """
    if not any(cell.part for cell in cells):
        return None
    parts = [tuple(index for index, cell in enumerate(cells) if cell.part == part) for part in PARTS]
    for name, part in zip(PARTS, parts, strict=True):
        if not part:
            raise CellsError(
                f"No cells have the split {name!r}. Give {', '.join(PARTS)} in the column split, or remove the column.",
                reason="bad_split",
            )
    return Split(*parts)


def fastai_splitter(
    how: Callable[..., Split], valid: float = 0.15, test: float = 0.15, seed: int = 0
) -> Callable[[Iterable[Path]], tuple[list[int], list[int]]]:
    """Splitter for a fastai ``DataBlock`` of cell paths, from :func:`grouped_split` or :func:`random_split`.

    It takes paths in NLM's layout and returns the indices of the training and of the validation cells.

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
    """Cross-validation folds: each cell is once in ``valid``, none is in ``test``.

    Parameters
    ----------
    how : str
        ``grouped``: patient groups are held out as a whole, with similar shares of both classes.
        ``random``: single cells are held out, with **patients in several folds**, which makes scores too high.
    folds : int
        At least 2. ``random`` also allows 1: the single 80:20 split of most published projects.
    seed : int
        The same seed and cells give the same folds, in any order of the cells.

    Raises
    ------
    CellsError
        If the number of folds is impossible for these cells.
    MissingExtra
        If scikit-learn is not installed, which the extra ``train`` installs.
    """
    with from_extra("train"):
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    if how not in (GROUPED, RANDOM) or folds < (2 if how == GROUPED else 1):
        raise CellsError(
            f"Cannot make {folds} {how} folds. Use grouped with 2 or more, or random with 1 or more.",
            reason="bad_split",
        )
    if folds == 1:
        return (random_split(cells, valid=RANDOM_HELD_OUT, test=0.0, seed=seed),)
    order = _in_order(cells)
    # Patients with identical images are one group already, see check_cells.
    first = range(len(cells)) if how == GROUPED else _first_copies(cells, order)
    drawn = [index for index in order if first[index] == index]
    labels, groups = ([getattr(cells[index], name) for index in drawn] for name in ("label", "group"))
    if len(set(groups if how == GROUPED else drawn)) < folds:
        raise CellsError(
            f"{len(cells)} cells of {len(set(groups))} patients are too few for {folds} folds.",
            reason="too_few_patients",
        )
    fewest = min(CLASSES, key=labels.count)
    if labels.count(fewest) < folds:
        raise CellsError(
            f"{labels.count(fewest)} cells of the class {fewest} are too few for {folds} folds.",
            reason="too_few_cells",
        )
    if how == GROUPED:
        splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(drawn, labels, groups)
    else:
        splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(drawn, labels)
    held_out = ({drawn[index] for index in valid} for _, valid in splits)
    return tuple(
        _fold(len(cells), [first[index] in fold for index in range(len(cells))]) for fold in held_out
    )


def _fold(cells: int, held_out: Sequence[bool]) -> Split:
    train, valid = (
        tuple(index for index in range(cells) if held_out[index] is side) for side in (False, True)
    )
    return Split(train, valid, ())


def _in_order(cells: Sequence[Cell]) -> list[int]:
    """Positions of the cells in an order that does not depend on that of the cells."""
    return sorted(range(len(cells)), key=lambda index: (cells[index].label, cells[index].name))


def _first_copies(cells: Sequence[Cell], order: Sequence[int]) -> list[int]:
    """For each cell, the position of the first one with identical pixels: of itself if there is no other."""
    seen: dict[str | int, int] = {}
    first = list(range(len(cells)))
    for index in order:
        first[index] = seen.setdefault(cells[index].pixels or index, index)
    return first


def _assign(part: np.ndarray, drawn: np.ndarray, valid: float, test: float) -> None:
    """Mark the first of the drawn indices as validation (1), the next ones as test (2)."""
    end_valid = round(valid * len(drawn))
    end_test = end_valid + round(test * len(drawn))
    part[drawn[:end_valid]] = 1
    part[drawn[end_valid:end_test]] = 2


def _within_a_point(counts: np.ndarray, part: np.ndarray) -> bool:
    everywhere = counts[:, 0].sum() / counts.sum()
    cells = [counts[part == number].sum(axis=0) for number in range(3)]
    return all(abs(of_class[0] / of_class.sum() - everywhere) <= 0.01 for of_class in cells if of_class.any())


def _check_shares(valid: float, test: float) -> None:
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise CellsError(
            f"The shares of validation ({valid}) and test ({test}) must be in [0, 1) with a sum below 1.",
            reason="bad_split",
        )


def _as_split(part: np.ndarray, valid: float, test: float, what: str) -> Split:
    split = Split(*(tuple(np.flatnonzero(part == number).tolist()) for number in range(3)))
    if not split.train or (valid and not split.valid) or (test and not split.test):
        raise CellsError(
            f"{what} are too few: training, validation or test cells would be empty. Use cells of more patients, 10 "
            "or more, or split them yourself with the column split of a CSV file.",
            reason="too_few_patients",
        )
    return split
