"""Whether a picture looks like a stained red cell, and like those of the sites that a model knows.

Both answers come from what the network computes anyway. Foreign is what a linear discriminant of its layers' channels
puts on the side of pictures of other things: the last layer alone knows parasites, and little else. Another site is a
cell far from the known ones, by the cosine distance of pooled features to the k-th nearest neighbour [1]_.

References
----------
.. [1] Y. Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022 (arXiv 2204.06507).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from malaria_detect.inference.network import Seen

ORDINARY, OTHER_SITE, FOREIGN = OUTCOMES = ("ordinary", "other site", "foreign")
NOT_A_CELL = (
    "This does not look like a single stained red cell. Use an image of one red cell of a thin smear."
)
_NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class Screen:
    """What tells the three outcomes apart; fitted by :func:`malaria_detect.training.screen.fit_screen`.

    Attributes
    ----------
    weights : numpy.ndarray
        float32, (L,), of the roots of the layers' statistics.
    offset : float
        Foreign is a picture whose weighted statistics and offset sum to more than 0.
    distance : float
        Of another site is a cell farther from the known cells, 0 to 1.
    """

    weights: NDArray[np.float32]
    offset: float
    distance: float


@dataclass(frozen=True, eq=False)
class KnownCells:
    """The cells that a model knows, for comparison with others; `features` are normalised, float32, (N, F)."""

    features: NDArray[np.float32]
    screen: Screen

    def outcomes(self, seen: Seen) -> list[str]:
        """One of `OUTCOMES` for each picture."""
        foreign = np.sqrt(seen.layers) @ self.screen.weights + self.screen.offset > 0
        elsewhere = distances(normalised(seen.features), self.features) > self.screen.distance
        return [
            FOREIGN if is_foreign else OTHER_SITE if is_elsewhere else ORDINARY
            for is_foreign, is_elsewhere in zip(foreign, elsewhere, strict=True)
        ]


def normalised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Roots of pooled features at length 1, float32, (N, F), so that no few large activations rule the distance."""
    roots = np.sqrt(np.maximum(features, 0))
    scaled: NDArray[np.float32] = roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-6)
    return scaled


def distances(seen: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine distance of normalised features to their 10th nearest known neighbour, 0 to 1, (N,)."""
    rank = min(_NEIGHBOURS, len(known))
    near: NDArray[np.float32] = 1 - np.partition(seen @ known.T, -rank, axis=1)[:, -rank]
    return near
