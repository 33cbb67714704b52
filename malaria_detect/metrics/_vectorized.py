"""Formulas of all scores, for many resamples of the patient groups at once.

A resample is a row of weights: how often each patient group was drawn. Sums over cells are computed once per group, so
that a resample costs a product of small matrices; only the areas under the curves need the single cells.

References
----------
.. [1] T. Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006) 861-874: every formula of
   the confusion matrix.
.. [2] B. W. Matthews, Biochim. Biophys. Acta 405 (1975) 442-451: the correlation coefficient (MCC).
.. [3] J. A. Hanley and B. J. McNeil, Radiology 143 (1982) 29-36: the ROC area is the share of (parasitized, uninfected)
   pairs in the right order, with ties as one half.
.. [4] G. W. Brier, Mon. Weather Rev. 78 (1950) 1-3, here for the probability of parasitized, so that it is in [0, 1].
.. [5] J. Nixon et al., CVPR Workshops 2019: expected calibration error with bins of equal mass.
"""

from dataclasses import dataclass

import numpy as np
import scipy

from malaria_detect.metrics.types import Bools, Floats, Integers

ECE_BINS = 15
# Numbers in memory for one block of resamples: about 2 MB, which fits the cache of a core.
_BLOCK_NUMBERS = 400_000


def equal_mass_bins(probabilities: Floats, bins: int = ECE_BINS) -> Integers:
    """Bin of each cell, 0 to ``bins`` - 1, with equal numbers of cells; tied probabilities share a bin."""
    # The mean rank of tied cells, as a share of all cells.
    return ((2 * scipy.stats.rankdata(probabilities) - 1) * bins // (2 * len(probabilities))).astype(np.int64)


@dataclass(frozen=True)
class Formulas:
    """Cells summed per patient group, for the scores of any weights of the groups."""

    counts: Integers
    squared_error: Floats
    excess: Floats
    ranked: "_Ranked"

    @classmethod
    def of(
        cls, parasitized: Bools, probabilities: Floats, group: Integers, groups: int, threshold: float
    ) -> "Formulas":
        """Sums over cells; ``group`` is the number of each cell's patient group, 0 to ``groups`` - 1."""
        # Sorted, because the last digit of a sum depends on the order of its terms.
        order = np.lexsort((parasitized, probabilities, group))
        parasitized, probabilities, group = parasitized[order], probabilities[order], group[order]
        # Columns: true negatives, false positives, false negatives, true positives.
        outcome = 4 * group + 2 * parasitized + (probabilities >= threshold)
        error = probabilities - parasitized
        place = ECE_BINS * group + equal_mass_bins(probabilities)
        return cls(
            counts=np.bincount(outcome, minlength=4 * groups).reshape(groups, 4),
            squared_error=np.bincount(group, error**2, groups).astype(np.float64),
            excess=np.bincount(place, error, groups * ECE_BINS).reshape(groups, -1).astype(np.float64),
            ranked=_Ranked.of(parasitized, probabilities, group),
        )

    def values(self, weights: Floats) -> dict[str, Floats]:
        """All scores, shape (rows,) each, for weights of shape (rows, groups); NaN if a score is 0 / 0."""
        counts = weights @ self.counts
        roc_auc, average_precision = self.ranked.areas(weights)
        return ratios(counts) | {
            "roc_auc": roc_auc,
            "average_precision": average_precision,
            "brier": ratio(weights @ self.squared_error, counts.sum(axis=1)),
            "ece": np.abs(self.miscalibration(weights)).sum(axis=1),
        }

    def miscalibration(self, weights: Floats) -> Floats:
        """Predicted minus observed parasitized cells of each bin, as a share of all cells: shape (rows, bins).

        The absolute values sum to the expected calibration error [5]_. Resamples use the bins of the original cells:
        bins that moved with every resample would add noise at the border between over- and underconfidence.
        """
        cells = weights @ self.counts.sum(axis=1)
        return np.stack([ratio(column, cells) for column in (weights @ self.excess).T], axis=1)

    def contributing_groups(self) -> dict[str, int]:
        """Number of patient groups that contribute to each score: those whose cells alone would define it."""
        alone = ratios(self.counts.astype(float))
        defined = {name: int(np.isfinite(values).sum()) for name, values in alone.items()}
        # Scores that compare the classes need one cell of each, possibly from two patients.
        both = min(defined["sensitivity"], defined["specificity"])
        defined |= dict.fromkeys(("mcc", "roc_auc", "average_precision"), both)
        return defined | dict.fromkeys(("brier", "ece"), len(self.counts))


def ratios(counts: Floats) -> dict[str, Floats]:
    """Scores of confusion matrices [1]_, [2]_; ``counts`` has shape (rows, 4) with TN, FP, FN, TP."""
    true_negative, false_positive, false_negative, true_positive = counts.T
    positive, negative = true_positive + false_negative, true_negative + false_positive
    called, passed = true_positive + false_positive, true_negative + false_negative
    determinant = true_positive * true_negative - false_positive * false_negative
    # In this order of operations a perfect classifier gets exactly 1.
    mcc = ratio(determinant, np.sqrt((positive * negative) * (called * passed)))
    return {
        "accuracy": ratio(true_positive + true_negative, positive + negative),
        "sensitivity": ratio(true_positive, positive),
        "specificity": ratio(true_negative, negative),
        "precision": ratio(true_positive, called),
        "f1": ratio(2 * true_positive, positive + called),
        # As in scikit-learn, 0 for a model that gives all cells the same call.
        "mcc": np.where((called * passed == 0) & (positive * negative > 0), 0.0, mcc),
    }


def ratio(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, NaN if the whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


@dataclass(frozen=True)
class _Ranked:
    """Cells of both classes by falling probability, for the areas under the two curves.

    For each parasitized cell: ``level`` is the number of parasitized cells with at least its probability, ``above`` the
    number of uninfected cells with a higher one, and ``upto`` of those with at least its probability.
    """

    parasitized_group: Integers
    uninfected_group: Integers
    level: Integers
    above: Integers
    upto: Integers

    @classmethod
    def of(cls, parasitized: Bools, probabilities: Floats, group: Integers) -> "_Ranked":
        order = np.argsort(-probabilities, kind="stable")
        falling, parasitized, group = -probabilities[order], parasitized[order], group[order]
        sought, rivals = falling[parasitized], falling[~parasitized]
        return cls(
            parasitized_group=group[parasitized],
            uninfected_group=group[~parasitized],
            level=np.searchsorted(sought, sought, side="right"),
            above=np.searchsorted(rivals, sought, side="left"),
            upto=np.searchsorted(rivals, sought, side="right"),
        )

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """ROC AUC and average precision of every row."""
        # A row needs as many numbers as there are cells, so rows are computed in blocks.
        rows = max(1, _BLOCK_NUMBERS // (len(self.parasitized_group) + len(self.uninfected_group)))
        blocks = [self._block(weights[start : start + rows]) for start in range(0, len(weights), rows)]
        roc_auc, average_precision = np.concatenate(blocks, axis=1)
        return roc_auc, average_precision

    def _block(self, weights: Floats) -> Floats:
        weight = weights.take(self.parasitized_group, axis=1)
        found = np.cumsum(weight, axis=1)
        passed = np.zeros((len(weights), len(self.uninfected_group) + 1))
        np.cumsum(weights.take(self.uninfected_group, axis=1), axis=1, out=passed[:, 1:])
        above, upto = passed.take(self.above, axis=1), passed.take(self.upto, axis=1)
        cells, rivals = found[:, -1], passed[:, -1]
        # Pairs in the wrong order, with ties as one half [3]_.
        wrong = np.einsum("rc,rc->r", weight, above + upto) / 2
        # Precision at the threshold of each parasitized cell, averaged over them.
        hits = found.take(self.level - 1, axis=1)
        precision = np.divide(hits, hits + upto, out=np.zeros_like(hits), where=hits > 0)
        average_precision = ratio(np.einsum("rc,rc->r", weight, precision), cells)
        return np.stack([ratio(cells * rivals - wrong, cells * rivals), average_precision])
