"""A network that classifies cells, compiled by the engine: log-odds, and what it sees on the way."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from malaria_detect.inference.engine import Engine
from malaria_detect.inference.graph import Graph, members
from malaria_detect.inference.head import Change, Head

LOG_ODDS, FEATURES, LAYERS, MAP = OUTPUTS = "log_odds", "features", "layers", "map"


@dataclass(frozen=True, eq=False)
class Seen:
    """Outputs of one forward pass for N pictures, of a network with fastai's head.

    Attributes
    ----------
    odds : numpy.ndarray
        float64, (N,): log-odds of ``Parasitized``, not calibrated. Their logistic function is the softmax of
        ``learn.predict``.
    features : numpy.ndarray
        float32, (N, 1024): what the head gets from the trunk, fastai's ``AdaptiveConcatPool2d`` flattened.
    layers : numpy.ndarray
        float32, (N, 1920) for a resnet34: variances and means of each channel of the trunk's four stages.
    map : numpy.ndarray
        float32, (N, 512, rows, columns): output of the trunk.
    """

    odds: NDArray[np.float64]
    features: NDArray[np.float32]
    layers: NDArray[np.float32]
    map: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A compiled network with its head.

    Attributes
    ----------
    engine : Engine
    head : Head or None
        None for networks without fastai's head. They give log-odds and nothing else.
    change : Change or None
        Added to the log-odds, for a model that is adapted to a laboratory and not written to files.
    """

    engine: Engine
    head: Head | None = None
    change: Change | None = None

    @classmethod
    def open(cls, graph: Graph, archive: bytes, exact: bool = False) -> "Classifier":
        """The classifier of a graph and the archive with its weights; see :class:`Engine` for `exact`.

        Raises
        ------
        GraphError
        """
        weights = members(archive)
        return cls(Engine(graph.model(weights), exact), Head.of(graph, weights))

    def changed(self, change: Change) -> "Classifier":
        """The same network with a change of its last layer."""
        assert self.head is not None  # a change was fitted to this head
        return Classifier(self.engine, self.head.changed(change), change)

    def log_odds(self, pictures: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds of ``Parasitized``, not calibrated, (N,), for network input, float32, (N, 3, size, size).

        The input comes from :class:`malaria_detect.inference.input.InputTransform`.
        """
        return self._odds(self.engine(pictures))

    def see(self, pictures: NDArray[np.float32]) -> Seen | None:
        """Outputs of one forward pass, for input as above; None for a network without fastai's head."""
        if self.head is None:
            return None
        found = self.engine(pictures)
        return Seen(self._odds(found), found[FEATURES], found[LAYERS], found[MAP])

    def _odds(self, found: dict[str, NDArray[np.float32]]) -> NDArray[np.float64]:
        odds = found[LOG_ODDS].astype(np.float64)
        if self.change is None or self.head is None:
            return odds
        return odds + self.head.hidden(found[FEATURES]) @ self.change.weights + self.change.bias
