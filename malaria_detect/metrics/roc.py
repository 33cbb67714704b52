"""The ROC curve and the area under it.

References
----------
.. [1] T. Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27 (2006) 861-874.
.. [2] J. A. Hanley and B. J. McNeil, Radiology 143 (1982) 29-36.
"""

import numpy as np
from numpy.typing import ArrayLike

from malaria_detect.metrics.types import Floats


def roc_auc(parasitized: ArrayLike, score: ArrayLike) -> float:
    """Share of (parasitized, uninfected) pairs of cells in the right order, with ties as one half [2]_.

    Parameters
    ----------
    parasitized : array of bool, shape (N,)
        With at least one cell of each class.
    score : array of float, shape (N,)
        Higher for Parasitized, such as probabilities or log-odds.

    Examples
    --------
    >>> roc_auc([True, True, False, False], [3.0, 1.0, 1.0, -2.0])
    0.875
    """
    labels, scores = np.asarray(parasitized, dtype=bool), np.asarray(score, dtype=np.float64)
    rivals = np.sort(scores[~labels])
    below, upto = (np.searchsorted(rivals, scores[labels], side=side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(rivals))


def roc_curve(parasitized: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    """Corners of the ROC curve from (0, 0) to (1, 1): false and true positive rates [1]_; parameters as in `roc_auc`.

    As in scikit-learn, the point of the highest score is kept even if it is no corner.

    Examples
    --------
    >>> [rates.tolist() for rates in roc_curve([True, True, False, False], [0.9, 0.8, 0.7, 0.2])]
    [[0.0, 0.0, 0.0, 1.0], [0.0, 0.5, 1.0, 1.0]]
    """
    labels, scores = np.asarray(parasitized, dtype=bool), np.asarray(score, dtype=np.float64)
    order = np.argsort(-scores, kind="stable")
    # One point for each distinct score.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    true = np.cumsum(labels[order])[last]
    false = 1 + last - true
    corner = (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0)
    kept = np.concatenate([[True], corner, [True]])[: len(last)]  # a single point is first and last
    false_rates, true_rates = (np.append(0, count[kept]) / count[-1] for count in (false, true))
    return false_rates, true_rates
