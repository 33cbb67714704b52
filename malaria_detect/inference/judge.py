"""Judge an adaptation by repeated cross-validation: what it gains in the laboratory and loses at home."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.json_io import ARRAY
from malaria_detect.inference.adapt import Adaptation, AdaptError, SiteCells, check_enough
from malaria_detect.inference.calibrate import DEFAULT_POINT
from malaria_detect.inference.head import Change
from malaria_detect.metrics import Estimate, Scores, difference, roc_auc, scaled, score

HOME_LOSS = 0.002  # of the ROC AUC on the first parent's validation patients
_FOLDS, _REPEATS = 5, 5


@dataclass(frozen=True, eq=False)
class Judgement:
    """What an adaptation gains in the laboratory and loses at home.

    Attributes
    ----------
    parent, adapted : Scores
        On the laboratory's cells at the operating point ``balanced``.
    gain : dict of str to Estimate
        Adapted minus parent on the same cells, with paired intervals over patients or fields.
    by_cell : bool
        Whether some cells count alone instead of with their patient or field, which flatters every score.
    home_parent, home_adapted : float
        ROC AUC on validation patients, of the model that the first adaptation began with, and of this one.
    change : Change
        Fitted to all of the laboratory's cells.
    log_odds : numpy.ndarray
        float64, (N,): of each of the laboratory's cells, by a model that was fitted without its patient or field.
    """

    parent: Scores
    adapted: Scores
    gain: dict[str, Estimate]
    by_cell: bool
    home_parent: float
    home_adapted: float
    change: Change
    log_odds: Annotated[NDArray[np.float64], ARRAY]

    def check(self) -> None:
        """Refuse an adaptation that is not clearly better in the laboratory, or loses too much at home.

        Better means that the Brier score falls with all of its 95 % interval, that the MCC rises and that the ROC AUC
        does not fall. The Brier score needs far fewer cells to tell a gain from chance than what counts calls; but it
        also falls if the model only becomes more confident.

        Raises
        ------
        AdaptError
            ``not_better`` or ``home_loss``.
        """
        gain = self.gain
        if not (gain["brier"].high < 0 < gain["mcc"].value and gain["roc_auc"].value >= 0):
            raise AdaptError(
                "The adapted model has no clear gain over its parent on these cells. Label more cells, or keep the "
                "parent.",
                "not_better",
            )
        lost = self.home_parent - self.home_adapted
        if lost > HOME_LOSS:
            raise AdaptError(
                f"The adapted model loses {lost:.4f} of the ROC AUC on its parent's validation patients; the limit is "
                f"{HOME_LOSS}. Check the labels, or label more cells.",
                "home_loss",
            )


def judge(adaptation: Adaptation, cells: SiteCells) -> Judgement:
    """Judge an adaptation by five times fivefold cross-validation over patients or fields.

    Of the five repeats, that with the median ROC AUC is scored: the mean of their answers would be that of five models,
    and better than any one of them.

    Raises
    ------
    AdaptError
        ``too_few`` if a class has fewer than ten cells.
    """
    check_enough(cells.parasitized)
    cells = in_groups(cells)
    repeats = [_held_out(adaptation, cells, seed) for seed in range(_REPEATS)]
    areas = [roc_auc(cells.parasitized, odds) for odds in repeats]
    log_odds = repeats[int(np.argsort(areas)[_REPEATS // 2])]
    metadata = adaptation.metadata
    before, after = (
        scaled(odds, metadata.temperature) for odds in (adaptation.log_odds(cells.features), log_odds)
    )
    change = adaptation.fit(cells)
    labels, groups, threshold = cells.parasitized, cells.groups, metadata.point(DEFAULT_POINT).threshold
    return Judgement(
        parent=score(labels, before, groups, threshold),
        adapted=score(labels, after, groups, threshold),
        gain=difference(labels, after, before, groups, threshold),
        by_cell=not set(groups).isdisjoint(cells.files),
        # Otherwise every further adaptation could lose as much again.
        home_parent=metadata.parent.home_roc_auc[0] if metadata.parent else adaptation.home_auc(),
        home_adapted=adaptation.home_auc(change),
        change=change,
        log_odds=log_odds,
    )


def in_groups(cells: SiteCells) -> SiteCells:
    """The cells; of a class in one patient or field, which cannot be held out, each is a group of its own."""
    groups = np.array(cells.groups, dtype=object)
    for kind in (True, False):
        of_class = cells.parasitized == kind
        if len(set(groups[of_class])) == 1:
            groups[of_class] = np.array(cells.files, dtype=object)[of_class]
    return replace(cells, groups=tuple(groups.tolist()))


def _held_out(adaptation: Adaptation, cells: SiteCells, seed: int) -> NDArray[np.float64]:
    """Log-odds of each cell by a model that was fitted without its group."""
    odds = np.empty(len(cells.files))
    for learnt, held_out in folds(cells, seed):
        odds[held_out] = adaptation.log_odds(cells.features[held_out], adaptation.fit(cells[learnt]))
    return odds


def folds(cells: SiteCells, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Positions of learnt and of held-out cells in each fold: whole groups, with similar shares of both classes.

    The largest groups are assigned first, each to the fold that has the smallest share of its classes so far.
    """
    names, group = np.unique(cells.groups, return_inverse=True)
    classes = (cells.parasitized, ~cells.parasitized)
    counts = np.stack([np.bincount(group[of_class], minlength=len(names)) for of_class in classes], axis=1)
    shares = counts / counts.sum(axis=0)
    held = np.zeros((min(_FOLDS, *np.count_nonzero(counts, axis=0)), len(classes)))
    fold = np.empty(len(names), dtype=int)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    for dealt in shuffled[np.argsort(-shares[shuffled].max(axis=1), kind="stable")]:
        fold[dealt] = np.lexsort((held.sum(axis=1), held @ shares[dealt]))[0]
        held[fold[dealt]] += shares[dealt]
    for number in range(len(held)):
        held_out = fold[group] == number
        yield np.flatnonzero(~held_out), np.flatnonzero(held_out)
