"""Differences between patients: the rates of a classifier on one new patient.

A rate such as the sensitivity differs from patient to patient (stain, focus, blood). The rate of a new patient is drawn
from a beta distribution with the mean and the spread of the held-out patients, without the part of the spread that
comes from counting few cells [1]_. Mean and spread are uncertain too, so each resample of the patients has its own
distribution and gives one draw. As in `malaria_detect.metrics.intervals`, the spread is widened, because few patients
show too little of it.

References
----------
.. [1] J. C. Kleinman, Proportions with extraneous variance: single and independent samples, J. Am. Stat. Assoc. 68
   (1973) 46-54: the moments of the beta-binomial distribution.
.. [2] E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small expected number of positive
   counts estimated from survey data, Surv. Methodol. 24 (1998) 193-201.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from malaria_detect.metrics._vectorized import ratio
from malaria_detect.metrics.intervals import draw_groups, leave_one_out, widening
from malaria_detect.metrics.types import Floats, Integers, MetricsError, PatientCounts


@dataclass(frozen=True)
class Tried:
    """Cells of one class of the held-out patients, and how many of them were called parasitized.

    ``cells`` and ``called`` have shape (patients,), sorted by patient group.
    """

    cells: Integers
    called: Integers

    @classmethod
    def of(cls, patients: Sequence[PatientCounts], parasitized: bool) -> "Tried":
        """Parasitized cells, whose rate is the sensitivity, or uninfected ones, whose rate is 1 - specificity."""
        counts = [
            (one.parasitized, one.true_positive) if parasitized else (one.uninfected, one.false_positive)
            for one in sorted(patients, key=lambda one: one.group)
        ]
        cells, called = np.array(counts, np.int64).reshape(-1, 2).T
        if not cells.any():
            label = "parasitized" if parasitized else "uninfected"
            raise MetricsError(f"The held-out patients have no {label} cell.", reason="one_class")
        return cls(cells, called)

    @property
    def rate(self) -> float:
        """Share of all cells called parasitized."""
        return float(self.called.sum() / self.cells.sum())


@dataclass(frozen=True)
class NewPatients:
    """Rates of new patients, one draw per resample; arrays of shape (resamples,)."""

    sensitivity: Floats
    false_positive_rate: Floats

    @classmethod
    def like(cls, patients: Sequence[PatientCounts], resamples: int, seed: int) -> "NewPatients | None":
        """Rates of patients like the held-out ones; None if fewer than two of them have cells of each class."""
        tried = [Tried.of(patients, parasitized) for parasitized in (True, False)]
        if min(np.count_nonzero(one.cells) for one in tried) < 2:
            return None
        drawn, random = draw_groups(len(patients), resamples, seed), np.random.default_rng([seed, 1])
        return cls(*(draw_rates(one.called, one.cells, drawn, random) for one in tried))

    def reviewed(self, called: float, uncalled: float) -> "NewPatients":
        """The rates if a person has corrected these shares (0 to 1) of the cells called parasitized, and of the others.

        Review removes the mistakes among the cells called parasitized and finds the missed ones among the others.
        """
        return NewPatients(
            self.sensitivity + uncalled * (1 - self.sensitivity), self.false_positive_rate * (1 - called)
        )

    def share_upto(self, most: float, counted: float, parasitemia: float) -> float:
        """Share of their slides with at most this many of the counted cells called parasitized.

        The numbers need not be whole: the binomial distribution is continued by the beta function, as in [2]_.
        """
        if most >= counted:
            return 1.0
        apparent = parasitemia * self.sensitivity + (1 - parasitemia) * self.false_positive_rate
        return (
            float(scipy.special.betainc(counted - most, most + 1, 1 - apparent).mean()) if most > -1 else 0.0
        )


def draw_rates(hits: Integers, cells: Integers, drawn: Floats, random: np.random.Generator) -> Floats:
    """Rate of one new patient for each resample of the patients, shape (resamples,).

    Parameters
    ----------
    hits, cells : array of int, shape (patients,)
        Cells of one class called parasitized, and all cells of that class. At least two patients have cells.
    drawn : array, shape (resamples, patients)
        How often each patient was drawn in each resample.
    random : numpy.random.Generator
    """
    total, found = drawn @ cells, drawn @ hits
    # Half a cell is added on each side, so that a resample without a wrong call does not imply a rate of zero.
    mean = (found + 0.5) / (total + 1)
    share = hits / np.maximum(cells, 1)
    squares = drawn @ (cells * share**2) - 2 * mean * found + mean**2 * total
    without = leave_one_out(len(cells))
    squares *= widening(ratio(without @ hits, without @ cells), int(np.count_nonzero(cells))) ** 2
    # [1]_: squares / (mean (1 - mean)) = patients - 1 + correlation * (weight - patients + 1) on average.
    free, weight = drawn @ (cells > 0) - 1, total - ratio(drawn @ cells**2, total)
    correlation = ratio(squares / (mean * (1 - mean)) - free, weight - free)
    # A resample of one patient, or of one cell per patient, has no spread.
    correlation = np.clip(np.nan_to_num(correlation), 1e-9, 1 - 1e-9)
    strength = (1 - correlation) / correlation
    return random.beta(mean * strength, (1 - mean) * strength)
