"""The formulas of all scores, for the cells as they are and for many resamples of their patient groups at once.

A resample is a row of weights: how often each patient group counts. Whatever a score sums over cells is summed once
per group, so that a resample costs a product of small matrices; only the average precision needs the cells
themselves.

References
----------
.. [1] T. Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006) 861-874: every formula of
   the confusion matrix.
.. [2] B. W. Matthews, Comparison of the predicted and observed secondary structure of T4 phage lysozyme, Biochim.
   Biophys. Acta 405 (1975) 442-451: the correlation coefficient.
.. [3] J. A. Hanley and B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 143 (1982) 29-36:
   the area is the share of (parasitized, uninfected) pairs in the right order, ties one half.
.. [4] G. W. Brier, Verification of forecasts expressed in terms of probability, Mon. Weather Rev. 78 (1950) 1-3, here
   for the one probability of parasitized, so that it lies in 0 to 1.
.. [5] J. Nixon et al., Measuring calibration in deep learning, CVPR Workshops 2019: expected calibration error with
   bins of equal mass.
"""

from dataclasses import dataclass

import numpy as np

from malaria_detect.metrics.types import Bools, Floats, Integers

ECE_BINS = 15
# Numbers held at once for one block of resamples: about 2 MB, which a core keeps near.
_BLOCK_NUMBERS = 400_000


def equal_mass_bins(probabilities: Floats, bins: int = ECE_BINS) -> Integers:
    """Bin of each cell, 0 to ``bins`` - 1, so that all hold as many cells as ties allow; equals stay together."""
    ordered = np.sort(probabilities)
    below = np.searchsorted(ordered, probabilities, side="left")
    upto = np.searchsorted(ordered, probabilities, side="right")
    # The middle of the ranks of the equals, as a share of all cells.
    return np.asarray((below + upto) * bins // (2 * len(ordered)))


@dataclass(frozen=True)
class Formulas:
    """Some cells, summed per patient group once, for the scores of any weighting of the groups."""

    counts: Integers
    squared_error: Floats
    excess: Floats
    ranked: "_Ranked"

    @classmethod
    def of(
        cls, parasitized: Bools, probabilities: Floats, group: Integers, groups: int, threshold: float
    ) -> "Formulas":
        """Sum the cells; ``group`` numbers each cell's patient group, 0 to ``groups`` - 1."""
        # A sum may differ in its last digit by the order of its terms, so the cells always stand in the same one.
        order = np.lexsort((parasitized, probabilities, group))
        parasitized, probabilities, group = parasitized[order], probabilities[order], group[order]
        # Cells per group by (label, call): true and false negatives and positives are its columns.
        outcome = 2 * parasitized + (probabilities >= threshold)
        counts = np.bincount(4 * group + outcome, minlength=4 * groups).reshape(groups, 4)
        error = probabilities - parasitized
        place = ECE_BINS * group + equal_mass_bins(probabilities)
        return cls(
            counts=counts,
            squared_error=np.asarray(np.bincount(group, error**2, groups), np.float64),
            excess=np.asarray(np.bincount(place, error, groups * ECE_BINS), np.float64).reshape(groups, -1),
            ranked=_Ranked.of(parasitized, probabilities, group),
        )

    def values(self, weights: Floats) -> dict[str, Floats]:
        """Every score of every row: from weights of shape (rows, groups) to arrays of shape (rows,).

        NaN where a score is 0 / 0.
        """
        counts = weights @ self.counts
        roc_auc, average_precision = self.ranked.areas(weights)
        return ratios(counts) | {
            "roc_auc": roc_auc,
            "average_precision": average_precision,
            "brier": ratio(weights @ self.squared_error, counts.sum(axis=1)),
            "ece": np.abs(self.miscalibration(weights)).sum(axis=1),
        }

    def miscalibration(self, weights: Floats) -> Floats:
        """Predicted less observed parasitized cells of each bin, as a share of all cells: shape (rows, bins).

        The absolute values add up to the expected calibration error [5]_. The bins stay those of the cells as they are,
        so that what is estimated is the error of all patients in these bins: bins that moved with every resample would
        let a bin on the edge between over- and underconfidence come and go.
        """
        cells = weights @ self.counts.sum(axis=1)
        return np.stack([ratio(column, cells) for column in (weights @ self.excess).T], axis=1)

    def groups_bearing(self) -> dict[str, int]:
        """Count the patient groups that bear on each score: those whose own cells alone would define it."""
        defined = {
            name: int(np.isfinite(values).sum()) for name, values in ratios(self.counts.astype(float)).items()
        }
        # What compares the classes needs one cell of each, which may come from two patients.
        both = min(defined["sensitivity"], defined["specificity"])
        whole = len(self.counts)
        return defined | {
            "mcc": both,
            "roc_auc": both,
            "average_precision": both,
            "brier": whole,
            "ece": whole,
        }


def ratios(counts: Floats) -> dict[str, Floats]:
    """Scores of confusion matrices [1]_, [2]_; ``counts`` has shape (rows, 4): TN, FP, FN, TP."""
    true_negative, false_positive, false_negative, true_positive = counts.T
    positive, negative = true_positive + false_negative, true_negative + false_positive
    called, passed = true_positive + false_positive, true_negative + false_negative
    determinant = true_positive * true_negative - false_positive * false_negative
    # Grouped so that a perfect classifier gets exactly 1: its two products are equal.
    mcc = ratio(determinant, np.sqrt((positive * negative) * (called * passed)))
    return {
        "accuracy": ratio(true_positive + true_negative, positive + negative),
        "sensitivity": ratio(true_positive, positive),
        "specificity": ratio(true_negative, negative),
        "precision": ratio(true_positive, called),
        "f1": ratio(2 * true_positive, positive + called),
        # A model that calls all cells alike tells nothing: 0, as scikit-learn has it.
        "mcc": np.where((called * passed == 0) & (positive * negative > 0), 0.0, mcc),
    }


def ratio(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


@dataclass(frozen=True)
class _Ranked:
    """The cells of both classes from the highest probability down, for the areas under the two curves.

    For each parasitized cell, ``level`` says how many parasitized cells lie above or level with it, ``above`` how
    many uninfected ones lie above it, ``upto`` how many of them above or level.
    """

    parasitized_group: Integers
    uninfected_group: Integers
    level: Integers
    above: Integers
    upto: Integers

    @classmethod
    def of(cls, parasitized: Bools, probabilities: Floats, group: Integers) -> "_Ranked":
        wanted, rivals = -probabilities[parasitized], -probabilities[~parasitized]
        order, rivals_order = np.argsort(wanted, kind="stable"), np.argsort(rivals, kind="stable")
        wanted, rivals = wanted[order], rivals[rivals_order]
        return cls(
            parasitized_group=group[parasitized][order],
            uninfected_group=group[~parasitized][rivals_order],
            level=np.searchsorted(wanted, wanted, side="right"),
            above=np.searchsorted(rivals, wanted, side="left"),
            upto=np.searchsorted(rivals, wanted, side="right"),
        )

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """ROC AUC and average precision of every row."""
        # A row needs as many numbers as there are cells, so that only some are held at once.
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
        # Pairs in the wrong order, ties one half [3]_.
        wrong = np.einsum("rc,rc->r", weight, above + upto) / 2
        # Precision of calling all cells down to this one, averaged over the parasitized ones.
        hits = found.take(self.level - 1, axis=1)
        precision = np.divide(hits, hits + upto, out=np.zeros_like(hits), where=hits > 0)
        average_precision = ratio(np.einsum("rc,rc->r", weight, precision), cells)
        return np.stack([ratio(cells * rivals - wrong, cells * rivals), average_precision])
