"""Made-up studies whose truth is known: patients who differ strongly, many cells, and a few for properties."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.special
import sklearn.metrics
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from malaria_detect.metrics._vectorized import equal_mass_bins

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]

# Beta distribution of a patient's share of cells that look like the other class: mean 0.03, standard deviation 0.035,
# so that half of the patients have less than 0.016 and one in twenty more than 0.1.
RATES = (0.65, 22.0)
UNINFECTED = 68
# A cell's logit of parasitized: 3 ± 1.5 where it looks so, -3 ± 1.5 where it does not.
DISTANCE, SCATTER = 3.0, 1.5


@dataclass(frozen=True)
class Studies:
    """Studies of so many patients, drawn one after another."""

    patients: int
    # Parasitized cells of a patient: all 40, or from 1 to 500 with a median of 33, as those of the NLM cells.
    uneven: bool = False

    def draw(self, rng: np.random.Generator) -> Cells:
        """Labels, probabilities and patient groups of the cells of one study."""
        parasitized = np.full(self.patients, 40)
        if self.uneven:
            parasitized = np.clip(np.exp(3.5 + 1.4 * rng.normal(size=self.patients)), 1, 500).astype(int)
        sizes = np.column_stack([parasitized, np.full(self.patients, UNINFECTED)])
        group, labels = np.repeat(np.indices(sizes.shape).reshape(2, -1), sizes.ravel(), axis=1)
        infected = labels == 0
        mistaken = rng.random(len(group)) < rng.beta(*RATES, sizes.shape)[group, labels]
        probability = scipy.special.expit(
            rng.normal(np.where(infected != mistaken, DISTANCE, -DISTANCE), SCATTER)
        )
        return infected, probability, np.char.add("P", group.astype(str))

    def population(self) -> "Population":
        """Half a million cells, each of a patient of its own, and how often the study meets such a cell."""
        rng = np.random.default_rng(123)
        share = 40 / (40 + UNINFECTED)
        if self.uneven:
            sizes = np.clip(np.exp(3.5 + 1.4 * rng.normal(size=1_000_000)), 1, 500).astype(int)
            share = float(sizes.mean() / (sizes.mean() + UNINFECTED))
        labels = np.arange(500_000) % 2 == 0
        mistaken = rng.random(len(labels)) < RATES[0] / sum(RATES)
        logit = rng.normal(np.where(labels != mistaken, DISTANCE, -DISTANCE), SCATTER)
        order = np.argsort(logit)
        weight = np.where(labels, share, 1 - share)
        return Population(labels[order], scipy.special.expit(logit[order]), weight[order] / weight.sum())


@dataclass(frozen=True)
class Population:
    """All cells, in order of their probability; the weights add up to 1."""

    labels: np.ndarray
    probability: np.ndarray
    weight: np.ndarray

    def truth(self) -> dict[str, float]:
        """All scores but the calibration error, at the threshold 0.5."""
        labels, probability, called = self.labels, self.probability, self.probability >= 0.5
        known = {"sample_weight": self.weight}
        return {
            "accuracy": sklearn.metrics.accuracy_score(labels, called, **known),
            "sensitivity": float(called[labels].mean()),
            "specificity": float((~called)[~labels].mean()),
            "precision": sklearn.metrics.precision_score(labels, called, **known),
            "f1": sklearn.metrics.f1_score(labels, called, **known),
            "mcc": sklearn.metrics.matthews_corrcoef(labels, called, **known),
            "roc_auc": sklearn.metrics.roc_auc_score(labels, probability),
            "average_precision": sklearn.metrics.average_precision_score(labels, probability, **known),
            "brier": float(self.weight @ (probability - labels) ** 2),
        }

    @cached_property
    def _excess(self) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(self.weight * (self.probability - self.labels))])

    def calibration_error(self, probability: np.ndarray) -> float:
        """The true calibration error in the 15 bins that these probabilities, without ties, are cut into."""
        ordered = np.sort(probability)
        bins = equal_mass_bins(ordered)
        first = np.flatnonzero(np.diff(bins)) + 1
        edges = np.searchsorted(self.probability, (ordered[first - 1] + ordered[first]) / 2)
        return float(np.abs(np.diff(self._excess[[0, *edges, -1]])).sum())


@st.composite
def some_cells(draw: DrawFn) -> Cells:
    """A few cells of both classes from up to five patients; probabilities are sixteenths: many are tied."""
    size = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    assume(labels.any() and not labels.all())
    sixteenths = draw(st.lists(st.integers(0, 16), min_size=size, max_size=size))
    patients = draw(st.lists(st.sampled_from("ABCDE"), min_size=size, max_size=size))
    return labels, np.array(sixteenths) / 16, np.array(patients)
