"""Log-odds moved so that 0 is an even chance, which a temperature alone cannot do."""

import numpy as np
import scipy.optimize
import torch
from numpy.typing import ArrayLike
from torch import nn


def even_chance(log_odds: ArrayLike, parasitized: ArrayLike) -> float:
    """The log-odds at which a cell is as likely parasitized as not.

    It is that of a logistic regression on the log-odds (Platt 1999, Probabilistic outputs for support vector machines;
    without his softened targets).

    Parameters
    ----------
    log_odds : array of float, shape (N,)
        A network's log-odds (natural logarithm) of parasitized.
    parasitized : array of bool, shape (N,)

    Returns
    -------
    float
        Within the range of the log-odds; 0 if higher log-odds do not mean more parasitized cells.

    Examples
    --------
    >>> round(even_chance([1.0, 2.0, 2.0, 3.0], [False, False, True, True]), 3)
    2.0
    >>> even_chance([1.0, -1.0], [False, True])
    0.0
    """
    odds, sign = np.asarray(log_odds, dtype=np.float64), np.where(parasitized, 1.0, -1.0)
    # The small penalty keeps the line finite where the log-odds separate the classes completely.
    steepness, offset = scipy.optimize.minimize(
        lambda line: np.logaddexp(0, -sign * (line[0] * odds + line[1])).mean() + 1e-6 * line @ line,
        (1.0, 0.0),
    ).x
    if steepness <= 0:
        return 0.0
    # For a network that hardly separates the classes the quotient has no bounds.
    return float(np.clip(-offset / steepness, odds.min(), odds.max()))


@torch.no_grad()
def lower_log_odds(head: nn.Module, shift: float) -> None:
    """Subtract a number from the log-odds of a fastai head, by the bias of its last batch norm.

    The last layer has no bias. With the difference ``d`` of its two rows of weights, ``shift * d / |d|**2`` is the
    smallest change of its inputs that does it.

    Parameters
    ----------
    head : nn.Module
        Ends in a batch norm, a dropout and a linear layer with two outputs; it is changed.
    shift : float
        In the unit of the log-odds.

    Examples
    --------
    >>> head = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2, bias=False)).eval()
    >>> before = head(torch.zeros(1, 3)).detach()
    >>> lower_log_odds(head, 0.5)
    >>> moved = head(torch.zeros(1, 3)).detach() - before
    >>> round(float(moved[0, 0] - moved[0, 1]), 3)
    -0.5
    """
    *_, norm, _, last = head.children()
    bias, weight = norm.get_parameter("bias"), last.get_parameter("weight")
    direction = weight[0] - weight[1]
    bias.sub_(shift * direction / direction.square().sum())
