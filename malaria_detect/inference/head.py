"""The head of fastai's ``vision_learner`` in NumPy: from pooled features to log-odds, and back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.json_io import ARRAY
from malaria_detect.inference.graph import Graph, GraphError

_EPSILON = 1e-5  # of torch's batch norms


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


@dataclass(frozen=True, eq=False)
class Head:
    """Batch norm, linear layer, ReLU, batch norm, linear layer; norms are ``x * scale + shift``.

    Attributes
    ----------
    scale, shift : numpy.ndarray, float64, (1024,)
    inner, inner_bias : numpy.ndarray, float64, (512, 1024) and (512,)
    hidden_scale, hidden_shift : numpy.ndarray, float64, (512,)
    outer : numpy.ndarray, float64, (512,)
        Difference of the two rows of the last layer: Parasitized minus Uninfected.
    outer_bias : float
    """

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    inner: NDArray[np.float64]
    inner_bias: NDArray[np.float64]
    hidden_scale: NDArray[np.float64]
    hidden_shift: NDArray[np.float64]
    outer: NDArray[np.float64]
    outer_bias: float

    @classmethod
    def of(cls, graph: Graph, weights: Mapping[str, bytes]) -> "Head | None":
        """The head of a network, None if it has another one; parameters and errors are those of :meth:`Graph.model`."""
        if not graph.head:
            return None
        try:
            first, inner, second, outer = (graph.layer(weights, name) for name in graph.head)
            (scale, shift), (hidden_scale, hidden_shift) = _norm(first), _norm(second)
        except (KeyError, ValueError) as error:
            raise GraphError(f"its head lacks {error}") from error
        rows = outer["weight"].reshape(2, -1)
        bias = outer.get("bias", np.zeros(2))
        return cls(
            scale=scale,
            shift=shift,
            inner=inner["weight"].reshape(-1, len(scale)),
            inner_bias=inner.get("bias", np.zeros(len(hidden_scale))),
            hidden_scale=hidden_scale,
            hidden_shift=hidden_shift,
            outer=rows[0] - rows[1],
            outer_bias=float(bias[0] - bias[1]),
        )

    def changed(self, change: Change) -> "Head":
        """The head with a change of its last layer."""
        return replace(self, outer=self.outer + change.weights, outer_bias=self.outer_bias + change.bias)

    def hidden(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Inputs of the last layer for pooled features, (N, 1024): (N, 512)."""
        return np.maximum(self._inner(features), 0) * self.hidden_scale + self.hidden_shift

    def log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds of ``Parasitized``, not calibrated, (N,)."""
        return self.of_hidden(self.hidden(features))

    def of_hidden(self, hidden: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds for inputs of the last layer, (N, 512)."""
        odds: NDArray[np.float64] = hidden @ self.outer + self.outer_bias
        return odds

    def gradient(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Derivative of the log-odds by each pooled feature, (N, 1024)."""
        active = self._inner(features) > 0
        slopes: NDArray[np.float64] = (active * (self.outer * self.hidden_scale)) @ self.inner * self.scale
        return slopes

    def _inner(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        inner: NDArray[np.float64] = (features * self.scale + self.shift) @ self.inner.T + self.inner_bias
        return inner


def _norm(layer: Mapping[str, NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scale = layer["weight"] / np.sqrt(layer["running_var"] + _EPSILON)
    return scale, layer["bias"] - layer["running_mean"] * scale
