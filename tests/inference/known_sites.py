"""A network of one layer with references, and a laboratory where another feature tells the classes apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from malaria_detect.inference.adapt import Adaptation, SiteCells
from malaria_detect.inference.head import Head
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.inference.references import TRAINING, VALIDATION, References

FEATURES = 8
MODEL = Path(__file__).parents[2] / "export.pkl"


def cells_of(shift: np.ndarray, numbers: tuple[int, int], fields: int = 8, seed: int = 0) -> SiteCells:
    """Parasitized cells lie at +`shift`, uninfected ones at -`shift`, with noise of 1 in every feature."""
    random = np.random.default_rng(seed)
    parasitized = np.arange(sum(numbers)) < numbers[0]
    noise = random.normal(size=(len(parasitized), FEATURES))
    features = np.where(parasitized[:, None], shift, -shift) + noise
    names = tuple(f"cell {n}" for n in range(len(parasitized)))
    groups = tuple(f"field {n % fields}" for n in range(len(parasitized)))
    return SiteCells(features.astype(np.float32), parasitized, names, groups)


HOME = np.eye(FEATURES)[0] * 2
# The parent's feature says half as much here, and another one as much.
AWAY = HOME / 2 + np.eye(FEATURES)[1] * 1.5


def plain_head() -> Head:
    """A head that adds up the features of home; its hidden layer changes nothing."""
    ones, zeros, high = np.ones(FEATURES), np.zeros(FEATURES), np.full(FEATURES, 1000.0)
    return Head(ones, zeros, np.eye(FEATURES), high, ones, -high, outer=2 * HOME, outer_bias=0.0)


def adaptation() -> Adaptation:
    """The parent: its log-odds are those of its home."""
    home = cells_of(HOME, (300, 300), fields=30)
    part = tuple(TRAINING if n % 2 else VALIDATION for n in range(600))
    references = References(home.features, home.parasitized, home.files, home.groups, part)
    return Adaptation(plain_head(), replace(read_metadata(MODEL), temperature=1.0), references)
