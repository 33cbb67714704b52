"""Whether a picture looks like a stained red cell, and like those of the sites that a model knows.

Both answers come from what the network computes anyway. Foreign is what a linear discriminant of its layers' channels
puts on the side of pictures of other things: the last layer alone knows parasites, and little else. Another site is a
cell far from the known ones, by the cosine distance of pooled features to the k-th nearest neighbour [1]_.

References
----------
.. [1] Y. Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022 (arXiv 2204.06507).
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from malaria_detect.inference.classifier import Seen

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
        float32, (L,), of the roots of the layers' statistics; their sum has a standard deviation of 1 over own cells.
    offset : float
        Foreign is a picture whose weighted statistics and offset sum to more than 0.
    distance : float
        Of another site is a cell farther from the known cells, 0 to 1.
    tolerance : float
        Foreign is a picture as near as that to cells which a person has taught only if the sum is more than this.
    """

    weights: NDArray[np.float32]
    offset: float
    distance: float
    tolerance: float = 0.0


@dataclass(frozen=True, eq=False)
class KnownCells:
    """The cells that a model knows, for comparison with others.

    Attributes
    ----------
    features : numpy.ndarray
        Normalised, float32, (N, F).
    screen : Screen
    taught : numpy.ndarray
        The same of cells of a laboratory to which the model was adapted.
    """

    features: NDArray[np.float32]
    screen: Screen
    taught: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def outcomes(self, seen: Seen) -> list[str]:
        """One of `OUTCOMES` for each picture."""
        foreign, elsewhere = self._excesses(seen)
        return [
            FOREIGN if is_foreign > 0 else OTHER_SITE if is_elsewhere > 0 else ORDINARY
            for is_foreign, is_elsewhere in zip(foreign, elsewhere, strict=True)
        ]

    def _excesses(self, seen: Seen) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """By how much each picture is beyond the limits to what is foreign, and to another site."""
        screen, features = self.screen, normalised(seen.features)
        taught = distances(features, self.taught) - screen.distance
        foreign = _product(np.sqrt(seen.layers), screen.weights) + screen.offset
        own = distances(features, self.features) - screen.distance
        return foreign - np.where(taught > 0, 0, screen.tolerance), np.minimum(own, taught)


def normalised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Roots of pooled features at length 1, float32, (N, F), so that no few large activations rule the distance."""
    roots = np.sqrt(np.maximum(features, 0))
    scaled: NDArray[np.float32] = roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-6)
    return scaled


def distances(seen: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine distance of normalised features to their 10th nearest known neighbour, 0 to 1, (N,).

    Of fewer than 200 known cells, a nearer neighbour stands for these; without any, the distance is infinite.
    """
    if not len(known):
        return np.full(len(seen), np.inf, np.float32)
    rank = min(_NEIGHBOURS, 1 + len(known) // 20)
    near: NDArray[np.float32] = 1 - np.partition(_product(seen, known.T), -rank, axis=1)[:, -rank]
    return near


def _product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """``a @ b`` in one thread: those of NumPy's BLAS keep the processors busy for a while after each product."""
    with _blas().limit(limits=1):
        product: NDArray[np.float32] = a @ b
    return product


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
