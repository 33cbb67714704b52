"""Made-up studies whose truth is known: patients who differ strongly, many cells, and a few for properties."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.special
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from malaria_detect.metrics._vectorized import Formulas, equal_mass_bins

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
        """The cells of 5,000 patients."""
        return Population(*replace(self, patients=5_000).draw(np.random.default_rng(123)))


@dataclass(frozen=True)
class Population:
    """Cells of so many patients that their scores are the truth."""

    labels: np.ndarray
    probability: np.ndarray
    groups: np.ndarray

    def scores(self) -> dict[str, float]:
        """All scores at the threshold 0.5."""
        names, group = np.unique(self.groups, return_inverse=True)
        formulas = Formulas.of(self.labels, self.probability, group, len(names), 0.5)
        return {name: float(value[0]) for name, value in formulas.values(np.ones((1, len(names)))).items()}

    def calibration_error(self, probability: np.ndarray) -> float:
        """The true calibration error in the 15 bins that these probabilities, without ties, are cut into."""
        ordered = np.sort(probability)
        first = np.flatnonzero(np.diff(equal_mass_bins(ordered))) + 1
        bins = np.searchsorted((ordered[first - 1] + ordered[first]) / 2, self.probability)
        return float(np.abs(np.bincount(bins, self.probability - self.labels)).sum() / len(bins))


@st.composite
def some_cells(draw: DrawFn) -> Cells:
    """A few cells of both classes from up to five patients; probabilities are sixteenths: many are tied."""
    size = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    assume(labels.any() and not labels.all())
    sixteenths = draw(st.lists(st.integers(0, 16), min_size=size, max_size=size))
    patients = draw(st.lists(st.sampled_from("ABCDE"), min_size=size, max_size=size))
    return labels, np.array(sixteenths) / 16, np.array(patients)
