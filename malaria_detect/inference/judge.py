"""Judge an adaptation by repeated cross-validation: what it gains in the laboratory and loses at home."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.model_selection import StratifiedGroupKFold

from malaria_detect.core.json_io import ARRAY
from malaria_detect.inference.adapt import Adaptation, AdaptError, Change, SiteCells, check_enough
from malaria_detect.inference.calibrate import DEFAULT_POINT, threshold_for
from malaria_detect.metrics import Estimate, Scores, difference, score

HOME_LOSS = 0.002  # of the ROC AUC on the parent's validation patients
_FOLDS, _REPEATS = 5, 10


@dataclass(frozen=True, eq=False)
class Judgement:
    """What an adaptation gains in the laboratory and loses at home.

    Attributes
    ----------
    parent, adapted : Scores
        On the laboratory's cells at the operating point ``balanced``. Probabilities are relative to the threshold of
        each model, so only ROC AUC, accuracy, sensitivity and specificity have a meaning.
    gain : dict of str to Estimate
        Adapted minus parent on the same cells, with paired intervals over patients or fields.
    home_parent, home_adapted : float
        ROC AUC on the parent's validation patients.
    change : Change
        Fitted to all of the laboratory's cells.
    log_odds : numpy.ndarray
        float64, (N,): of each of the laboratory's cells, by models that were fitted without its patient or field.
    """

    parent: Scores
    adapted: Scores
    gain: dict[str, Estimate]
    home_parent: float
    home_adapted: float
    change: Change
    log_odds: Annotated[NDArray[np.float64], ARRAY]

    def check(self) -> None:
        """Refuse an adaptation that is not better in the laboratory, or loses too much at home.

        Better means that ROC AUC and balanced accuracy (the mean of sensitivity and specificity) together rise.

        Raises
        ------
        AdaptError
            ``not_better`` or ``home_loss``.
        """
        auc, *both = (self.gain[name].value for name in ("roc_auc", "sensitivity", "specificity"))
        if auc + sum(both) / 2 <= 0:
            raise AdaptError(
                "The adapted model is not better than its parent on these cells. Label more cells, or keep the parent.",
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
    """Judge an adaptation by ten times fivefold cross-validation over patients or fields.

    The cells are held out one by one if fewer than two patients or fields have cells of a class. A cell's answer is
    the mean over the ten repeats.

    Raises
    ------
    AdaptError
        ``too_few`` if a class has fewer than ten cells.
    """
    check_enough(cells.parasitized)
    cells = _in_groups(cells)
    temperature = adaptation.metadata.temperature
    log_odds, margins = np.zeros((2, len(cells.files)))
    for repeat in range(_REPEATS):
        odds = np.empty(len(cells.files))
        changes = []
        folds = list(_folds(cells, repeat))
        for learnt, held_out in folds:
            changes.append(adaptation.fit(cells[learnt]))
            odds[held_out] = adaptation.log_odds(cells.features[held_out], changes[-1])
        for change, (others, own) in zip(changes, folds, strict=True):
            # The threshold of a fold is chosen without its own cells.
            margins[own] += odds[own] - _threshold(adaptation, cells[others], odds[others], change)
        log_odds += odds
    point = adaptation.metadata.point(DEFAULT_POINT)
    before = expit(adaptation.log_odds(cells.features) / temperature - _odds(point.threshold))
    after = expit(margins / _REPEATS / temperature)
    change = adaptation.fit(cells)
    labels, groups = cells.parasitized, cells.groups
    return Judgement(
        score(labels, before, groups),
        score(labels, after, groups),
        difference(labels, after, before, groups),
        home_parent=adaptation.home_auc(),
        home_adapted=adaptation.home_auc(change),
        change=change,
        log_odds=log_odds / _REPEATS,
    )


def _threshold(adaptation: Adaptation, cells: SiteCells, odds: NDArray[np.float64], change: Change) -> float:
    """Log-odds from which a cell is called parasitized at the operating point ``balanced``."""
    chosen_on, temperature = adaptation.chosen_on(cells, odds, change), adaptation.metadata.temperature
    probability = chosen_on.probability(temperature)
    return temperature * _odds(threshold_for(chosen_on, probability, DEFAULT_POINT)[0])


def _odds(threshold: float) -> float:
    return float(logit(np.clip(threshold, 1e-6, 1 - 1e-6)))


def _in_groups(cells: SiteCells) -> SiteCells:
    """The cells, each a group of its own if a class has too few groups to hold one out."""
    return cells if _fewest_groups(cells) > 1 else replace(cells, groups=cells.files)


def _fewest_groups(cells: SiteCells) -> int:
    groups = np.array(cells.groups)
    return min(len(set(groups[cells.parasitized == kind])) for kind in (True, False))


def _folds(cells: SiteCells, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Positions of learnt and of held-out cells in each fold."""
    folds = StratifiedGroupKFold(min(_FOLDS, _fewest_groups(cells)), shuffle=True, random_state=seed)
    yield from folds.split(cells.features, cells.parasitized, cells.groups)
