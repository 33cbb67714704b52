"""Log-odds moved so that 0 is an even chance, which a temperature alone cannot do."""

import numpy as np
import scipy.optimize
import torch
from numpy.typing import ArrayLike
from torch import nn


def even_chance(log_odds: ArrayLike, parasitized: ArrayLike) -> float:
    """The log-odds at which a cell is as likely parasitized as not.

    It is that of a logistic regression on the log-odds (Platt 1999, Probabilistic outputs for support vector machines).

    Parameters
    ----------
    log_odds : array of float, shape (N,)
        A network's log-odds of parasitized.
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
    # Of a network that hardly separates the classes, the steepness is near 0, and its quotient says nothing.
    steepness, offset = scipy.optimize.minimize(
        lambda line: np.logaddexp(0, -sign * (line[0] * odds + line[1])).mean() + 1e-6 * line @ line,
        (1.0, 0.0),
    ).x
    if steepness <= 0:
        return 0.0
    return float(np.clip(-offset / steepness, odds.min(), odds.max()))


@torch.no_grad()
def lower_log_odds(head: nn.Sequential, fall: float) -> None:
    """Lower the log-odds of a fastai head, whose last layer has no bias, by the bias of the batch norm before it.

    Parameters
    ----------
    head : nn.Sequential
        Ends in a batch norm, a dropout and a linear layer with two outputs; it is changed.
    fall : float
        What is subtracted from the log-odds of all cells.
    """
    bias, weight = head[-3].get_parameter("bias"), head[-1].get_parameter("weight")
    direction = weight[0] - weight[1]
    bias.sub_(fall * direction / direction.square().sum())
