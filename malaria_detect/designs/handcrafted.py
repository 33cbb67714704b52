"""Designs that give handcrafted features of a cell to a classifier of scikit-learn."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import logit

from malaria_detect.training.described import DescribedDesign


class ProbabilisticClassifier(Protocol):
    """What is used of a classifier of scikit-learn."""

    def fit(self, features: NDArray[np.float32], labels: NDArray[np.bool_], /) -> Any:
        """Train on features, (N, F), and whether each cell is parasitized, (N,)."""

    def predict_proba(self, features: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Probabilities of uninfected and parasitized, (N, 2)."""


@dataclass(frozen=True, kw_only=True)
class FeatureDesign(DescribedDesign):
    """A design without a network.

    Attributes
    ----------
    features : callable
        From an RGB image of a cell to its features, float32, (F,).
    classifier : callable
        From a random seed to an untrained classifier.
    size : callable
        From a trained classifier to its number of parameters.
    """

    features: Callable[[Image.Image], NDArray[np.float32]]
    classifier: Callable[[int], ProbabilisticClassifier]
    size: Callable[[Any], int]


@dataclass(frozen=True, eq=False)
class TrainedFeatures:
    """A trained :class:`FeatureDesign`, and the seconds that this took."""

    design: FeatureDesign
    classifier: ProbabilisticClassifier
    seconds: float

    def log_odds(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """Log-odds of parasitized for RGB images, (N,); not calibrated."""
        found = self.classifier.predict_proba(features_of(self.design, images))[:, 1]
        # A forest is sure of many cells: all of its trees agree.
        return np.asarray(logit(np.clip(found, 1e-4, 1 - 1e-4)))


def features_of(design: FeatureDesign, images: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Features of RGB images, (N, F)."""
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(design.features, images)))


def train_features(
    design: FeatureDesign, images: Sequence[Image.Image], labels: NDArray[np.bool_], seed: int
) -> TrainedFeatures:
    """Train a design on RGB images and on whether each shows a parasitized cell."""
    began = time.monotonic()
    classifier = design.classifier(seed)
    classifier.fit(features_of(design, images), labels)
    return TrainedFeatures(design, classifier, time.monotonic() - began)
