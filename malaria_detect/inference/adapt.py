"""Adapt a model to a laboratory from a few labelled cells.

Only the last layer changes. Its new weights are the most probable ones given the cells: a logistic regression with the
parent's log-odds as offset and a normal prior on the change, so that few cells change little. Cells of the parent's own
training patients, from its references, take part in every fit with the parent's answers (rehearsal [1]_), so that these
stay.

References
----------
.. [1] Guillon et al. 2025, arXiv 2507.23648: rehearsal beats regularisation when a site is added.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from torch import nn

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import ARRAY
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.references import TAUGHT, TRAINING, VALIDATION, References

LEAST_CELLS = 10  # of each class
# Chosen on laboratories made of validation cells, see docs/methods.md.
_PENALTY, _BIAS_PENALTY = 10.0, 0.01
_REHEARSAL = 5.0  # weight of all rehearsed cells; that of the laboratory's cells is 1


class AdaptError(MalariaDetectError):
    """Cells or a model with which no adaptation is possible, or an adaptation that is not worth writing.

    ``reason`` is ``too_few`` (cells of a class), ``no_references`` or ``other_design`` (of the parent),
    ``no_fit``, ``not_better``, ``home_loss`` or ``output``.
    """


@dataclass(frozen=True, eq=False)
class SiteCells:
    """Labelled cells of a laboratory; all columns have the same length.

    Attributes
    ----------
    features : numpy.ndarray
        float32, (N, 1024), from :func:`malaria_detect.inference.network.seen_by` of the parent.
    parasitized : numpy.ndarray
        bool, (N,).
    files, groups : tuple of str
        Name of each cell, and its patient or field; cells of one group are never on both sides of a fold.
    """

    features: Annotated[NDArray[np.float32], ARRAY]
    parasitized: Annotated[NDArray[np.bool_], ARRAY]
    files: tuple[str, ...]
    groups: tuple[str, ...]

    def __getitem__(self, chosen: NDArray[np.intp]) -> "SiteCells":
        """The cells at some positions."""
        files, groups = (tuple(column[i] for i in chosen) for column in (self.files, self.groups))
        return SiteCells(self.features[chosen], self.parasitized[chosen], files, groups)

    def without_names(self) -> "SiteCells":
        """The same cells and groups under numbers, as the files of a model are passed on.

        Examples
        --------
        >>> cells = SiteCells(np.zeros((3, 1024)), np.ones(3, bool), ("a__1", "a__2", "b"), ("a", "a", "b"))
        >>> cells.without_names().groups
        ('group 1', 'group 1', 'cell 3')
        """
        files = tuple(f"cell {number}" for number in range(1, len(self.files) + 1))
        numbers = {group: f"group {number}" for number, group in enumerate(dict.fromkeys(self.groups), 1)}
        numbers |= dict(zip(self.files, files, strict=True))  # a cell that is its own group stays so
        return replace(self, files=files, groups=tuple(numbers[group] for group in self.groups))


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to a network's log-odds of ``Parasitized``: ``hidden @ weights + bias``.

    Attributes
    ----------
    weights : numpy.ndarray
        float64, (512,), for the inputs of the last layer.
    bias : float
    """

    weights: Annotated[NDArray[np.float64], ARRAY]
    bias: float


class Adaptation:
    """A model that can be adapted to laboratories.

    Parameters
    ----------
    network : torch.nn.Module
        The parent's, such as :attr:`malaria_detect.inference.detector.Detector.network`.
    metadata : ModelMetadata
    references : References or None
        From :func:`malaria_detect.inference.references.read_references`.

    Raises
    ------
    AdaptError
        ``other_design`` if the network does not end as fastai's ``vision_learner``; ``no_references``.
    """

    def __init__(self, network: nn.Module, metadata: ModelMetadata, references: References | None) -> None:
        if references is None:
            raise _no_references(metadata)
        self._hidden, self._last = last_layers(network)
        self.metadata, self.references = metadata, references
        self.home = _part(references, VALIDATION)
        training = _part(references, TRAINING, TAUGHT)
        rehearsed = self.hidden(training.features)
        self._rehearsed = rehearsed, training.parasitized
        self._mean, self._spread = rehearsed.mean(axis=0), rehearsed.std(axis=0)
        # A unit that is hardly ever active must not be blown up.
        self._spread = np.maximum(self._spread, 0.1 * self._spread.mean())

    def hidden(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Inputs of the last layer for pooled features, (N, 512)."""
        with torch.inference_mode():
            return self._hidden(torch.from_numpy(np.ascontiguousarray(features))).double().numpy()

    def log_odds(self, features: NDArray[np.float32], change: Change | None = None) -> NDArray[np.float64]:
        """Log-odds of ``Parasitized``, not calibrated, by the parent or by the network with a change, (N,)."""
        hidden = self.hidden(features)
        return self._parent_odds(hidden) + (hidden @ change.weights + change.bias if change else 0.0)

    def fit(self, cells: SiteCells) -> Change:
        """The change that is most probable after these cells.

        Both classes have the same weight, however many cells of them there are. Temperature and operating points stay
        those of the parent: the bias of the change shifts the log-odds to suit them.

        Raises
        ------
        AdaptError
            ``no_fit``, if no best change is found.
        """
        temperature = self.metadata.temperature
        local, (home, home_labels) = self.hidden(cells.features), self._rehearsed
        hidden = np.concatenate([local, home])
        odds = self._parent_odds(hidden) / temperature
        # What is rehearsed are the parent's own answers: labels that it has not learnt are no news.
        answers = np.concatenate([cells.parasitized, expit(odds[len(local) :])])
        weights = np.concatenate(
            [_balanced(cells.parasitized, len(local)), _balanced(home_labels, _REHEARSAL * len(local))]
        )
        standard = np.column_stack([(hidden - self._mean) / self._spread, np.ones(len(hidden))])
        penalty = np.append(np.full(hidden.shape[1], _PENALTY), _BIAS_PENALTY)
        slopes = _fit(standard, answers, weights, odds, penalty)
        change = temperature * slopes[:-1] / self._spread
        return Change(change, float(temperature * slopes[-1] - change @ self._mean))

    def home_auc(self, change: Change | None = None) -> float:
        """ROC AUC on validation patients of the parent."""
        return float(roc_auc_score(self.home.parasitized, self.log_odds(self.home.features, change)))

    def _parent_odds(self, hidden: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.inference_mode():
            logits = self._last(torch.from_numpy(hidden).float()).double().numpy()
        odds: NDArray[np.float64] = logits[:, 0] - logits[:, 1]
        return odds


def check_enough(parasitized: NDArray[np.bool_]) -> None:
    """Refuse labelled cells of which a class has fewer than ten.

    Raises
    ------
    AdaptError
        ``too_few``; the message says how many more are needed.
    """
    counts = dict(zip(CLASSES, (int(parasitized.sum()), int((~parasitized).sum())), strict=True))
    missing = [
        f"{LEAST_CELLS - cells} more {label} cell{'' if LEAST_CELLS - cells == 1 else 's'}"
        for label, cells in counts.items()
        if cells < LEAST_CELLS
    ]
    if missing:
        raise AdaptError(
            f"There are {' and '.join(f'{cells} {label}' for label, cells in counts.items())} cells; adapting needs at "
            f"least {LEAST_CELLS} of each class. Label {' and '.join(missing)}.",
            "too_few",
        )


def check_adaptable(network: nn.Module, metadata: ModelMetadata) -> None:
    """Refuse a model that cannot be adapted; its references are not read.

    Raises
    ------
    AdaptError
        ``no_references`` or ``other_design``.
    """
    check_described(metadata)
    last_layers(network)


def check_described(metadata: ModelMetadata) -> None:
    """Refuse a model whose metadata say that it cannot be adapted; raises AdaptError (``no_references``)."""
    if metadata.references_sha256 is None:
        raise _no_references(metadata)


def last_layers(network: nn.Module) -> tuple[nn.Sequential, nn.Linear]:
    """The layers that a network's pooled features pass, and the last one, which gives two logits.

    Raises
    ------
    AdaptError
        ``other_design`` if the network does not end as fastai's ``vision_learner``.
    """
    head = list(network.children())[-1] if isinstance(network, nn.Sequential) else None
    layers = head[2:] if isinstance(head, nn.Sequential) else nn.Sequential()
    last = layers[-1] if layers else None
    if not isinstance(last, nn.Linear) or last.out_features != len(CLASSES):
        raise AdaptError(
            "Only models of the design resnet34 can be adapted; this one ends in other layers.",
            "other_design",
        )
    return layers[:-1].eval(), last


def _no_references(metadata: ModelMetadata) -> AdaptError:
    return AdaptError(
        f"{metadata.file_name} has no references (cells of its own training and validation patients). Use a model of a "
        "release, or train one with `malaria-detect train`.",
        "no_references",
    )


def _part(references: References, *parts: str) -> SiteCells:
    every = SiteCells(references.features, references.parasitized, references.files, references.groups)
    return every[np.flatnonzero(np.isin(references.part, parts))]


def _fit(
    features: NDArray[np.float64],
    answers: NDArray[np.float64],
    weights: NDArray[np.float64],
    offset: NDArray[np.float64],
    penalty: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Slopes of a logistic regression to answers (0 to 1), with an offset, weights of cells and penalties of slopes."""

    def loss(slopes: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = offset + features @ slopes
        value = weights @ (np.logaddexp(0, odds) - answers * odds) + penalty @ slopes**2 / 2
        return float(value), features.T @ (weights * (expit(odds) - answers)) + penalty * slopes

    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B")
    if not found.success:
        raise AdaptError(f"The labelled cells could not be learnt ({found.message}).", "no_fit")
    slopes: NDArray[np.float64] = found.x
    return slopes


def _balanced(labels: NDArray[np.bool_], total: float) -> NDArray[np.float64]:
    """Weights of cells, the same for both classes together."""
    counts = np.where(labels, labels.sum(), (~labels).sum())
    return total / 2 / counts
