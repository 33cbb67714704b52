"""Parasitemia: what the calls of a cell classifier mean for a slide.

Sensitivity and specificity differ from patient to patient, and a slide comes from a new patient whose rates nobody
knows. So limits and intervals here include three uncertainties: counting (binomial) and the mean rates, as usual for a
corrected prevalence [2]_, and the differences between patients (`malaria_detect.metrics.between_patient`). The two
rates of a patient are drawn independently: too few patients have many cells of both labels to estimate their
correlation.

Fields of one slide differ by more than chance: cells are counted as if they were fewer by the design effect [5]_, see
`malaria_detect.metrics.between_field`.

References
----------
.. [1] W. J. Rogan and B. Gladen, Estimating prevalence from the results of a screening test, Am. J. Epidemiol. 107
   (1978) 71-76.
.. [2] Z. Lang and J. Reiczigel, Confidence limits for prevalence of disease adjusted for estimated sensitivity and
   specificity, Prev. Vet. Med. 113 (2014) 13-22.
.. [3] L. A. Currie, Limits for qualitative detection and quantitative determination, Anal. Chem. 40 (1968) 586-593.
.. [4] CLSI EP17, Evaluation of detection capability for clinical laboratory measurement procedures: limit of blank,
   limit of detection.
.. [5] E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small expected number of positive
   counts estimated from survey data, Surv. Methodol. 24 (1998) 193-201: the exact interval with an effective number.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.metrics.between_patient import NewPatients, Tried
from malaria_detect.metrics.intervals import TAIL, draw_groups, interval_of_share, leave_one_out, lowest_share
from malaria_detect.metrics.types import Estimate, PatientCounts

# Share of blank slides at or under the limit of blank, and of slides at the limit of detection above it.
DETECTION = 0.95
# Of a parasitemia found by bisection: a hundred-thousandth.
_STEPS = 2**17


class ParasitemiaError(MalariaDetectError):
    """Counts or rates that allow no estimate; ``reason`` is ``bad_counts``, ``bad_rate`` or ``no_information``."""


@dataclass(frozen=True)
class Counting:
    """How the cells of a slide were counted.

    Attributes
    ----------
    called_reviewed, uncalled_reviewed : float, in [0, 1]
        Share of the wrong calls among the cells called parasitized by the classifier, and among the others, that a
        person has corrected: the share of these cells if the reviewed ones are a random sample.
    design_effect : float, >= 1
        From `malaria_detect.metrics.between_field.design_effect`.
    """

    called_reviewed: float = 0.0
    uncalled_reviewed: float = 0.0
    design_effect: float = 1.0


@dataclass(frozen=True)
class ParasitemiaEstimate:
    """Parasitemia (0 to 1) from ``called`` of ``counted`` cells, with its 95 % interval.

    The interval is NaN if fewer than two patients have cells of each label.
    """

    called: int
    counted: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class DetectionLimit:
    """Lowest parasitemia that can be distinguished from zero if a number of cells is counted on a slide.

    Both limits are NaN if fewer than two patients have cells of each label.

    Attributes
    ----------
    counted : int
    blank : float, in [0, 1]
        Limit of blank: 95 % of slides without parasites have at most this share of cells called parasitized.
    limit : float, in [0, 1]
        Limit of detection: the lowest parasitemia at which 95 % of slides exceed the limit of blank; NaN if there is
        none. It can be below the limit of blank, because cells called by mistake add to it.
    """

    counted: int
    blank: float
    limit: float


def apparent_parasitemia(parasitemia: float, sensitivity: float, specificity: float) -> float:
    """Share of the cells of a slide that is called parasitized [1]_; all values are in [0, 1].

    Examples
    --------
    >>> round(apparent_parasitemia(0.02, sensitivity=0.97, specificity=0.97), 4)
    0.0488
    """
    _need_shares(parasitemia=parasitemia, sensitivity=sensitivity, specificity=specificity)
    return parasitemia * sensitivity + (1 - parasitemia) * (1 - specificity)


def rogan_gladen(called_share: float, sensitivity: float, specificity: float) -> float:
    """Parasitemia from the share of cells called parasitized [1]_, clipped to [0, 1].

    Raises
    ------
    ParasitemiaError
        If a value is not in [0, 1], or sensitivity and specificity add up to 1 or less.

    Examples
    --------
    >>> round(rogan_gladen(0.0488, sensitivity=0.97, specificity=0.97), 4)
    0.02
    """
    _need_shares(called_share=called_share, sensitivity=sensitivity, specificity=specificity)
    _need_information(sensitivity, specificity)
    return min(1.0, max(0.0, (called_share + specificity - 1) / (sensitivity + specificity - 1)))


def healthy_reading(patients: Sequence[PatientCounts], resamples: int = 2000, seed: int = 0) -> Estimate:
    """Apparent parasitemia of a person without parasites: 1 - specificity, with its interval over patients.

    Parameters are those of `corrected_parasitemia`.

    Raises
    ------
    MetricsError
        If the patients have no uninfected cell.

    Examples
    --------
    >>> reading = healthy_reading([PatientCounts("A", 9, 50, 9, 1), PatientCounts("B", 0, 50, 0, 3)])
    >>> reading.value, reading.hits, reading.total
    (0.04, 4, 100)
    """
    tried = Tried.of(patients, parasitized=False)
    weights = draw_groups(len(patients), resamples, seed), leave_one_out(len(patients))
    ends = interval_of_share(tried.called, tried.cells, weights)
    return Estimate(tried.rate, *ends, int(tried.called.sum()), int(tried.cells.sum()))


def corrected_parasitemia(
    called: int,
    counted: int,
    patients: Sequence[PatientCounts],
    resamples: int = 2000,
    seed: int = 0,
    counting: Counting = Counting(),
) -> ParasitemiaEstimate:
    """Parasitemia of a slide from the number of its cells called parasitized.

    The 95 % interval contains every parasitemia at which more than 2.5 % of slides have at most this number of calls,
    and more than 2.5 % at least this number: the exact interval of a proportion, averaged over new patients.

    Its coverage for new patients is checked in simulations (``tests/metrics/test_parasitemia.py``).

    Parameters
    ----------
    called, counted : int
        Cells called parasitized, and all cells that were classified, from one slide; of reviewed cells, a person's
        call counts.
    patients : sequence of PatientCounts
        Held-out patients, with the calls at the same operating point.
    resamples, seed : int
        Number and seed of the bootstrap resamples of the patients.
    counting : Counting
        What a person has reviewed, which leaves less to correct, and the design effect of the fields.

    Raises
    ------
    ParasitemiaError
        If the counts are impossible, or sensitivity and specificity add up to 1 or less.
    MetricsError
        If the patients have no cell of one of the classes.

    Examples
    --------
    >>> patients = [PatientCounts(f"P{n}", 50, 50, 50 - n % 3, n % 4) for n in range(40)]
    >>> slide = corrected_parasitemia(3, 40, patients)
    >>> round(slide.estimate, 3), slide.low, round(slide.high, 2)
    (0.047, 0.0, 0.18)
    """
    if counted < 1 or not 0 <= called <= counted:
        raise ParasitemiaError(
            f"{called} of {counted} cells cannot be called parasitized. Count at least one cell.",
            reason="bad_counts",
        )
    estimate = rogan_gladen(called / counted, *_mean_rates(patients, counting))
    slides = _new_patients(tuple(patients), resamples, seed)
    if slides is None:
        return ParasitemiaEstimate(called, counted, estimate, float("nan"), float("nan"))
    rates = slides.reviewed(counting.called_reviewed, counting.uncalled_reviewed)
    hits, cells = called / counting.design_effect, counted / counting.design_effect
    low = lowest_share(lambda share: rates.share_upto(hits - 1, cells, share) < 1 - TAIL, _STEPS)
    high = lowest_share(lambda share: rates.share_upto(hits, cells, share) <= TAIL, _STEPS)
    return ParasitemiaEstimate(called, counted, estimate, min(low, estimate), max(high, estimate))


def limit_of_detection(
    counted: int, patients: Sequence[PatientCounts], resamples: int = 2000, seed: int = 0
) -> DetectionLimit:
    """Lowest parasitemia distinguishable from zero on 95 % of slides [3]_, [4]_.

    Every slide comes from a new patient, so counting more cells only helps until the differences between patients
    dominate.

    Parameters
    ----------
    counted : int
        Cells counted on a slide; 500, 1,000 or 5,000 are usual.
    patients, resamples, seed
        As in `corrected_parasitemia`, with the same errors.

    Examples
    --------
    >>> patients = [PatientCounts(f"P{n}", 50, 50, 50 - n % 3, n % 4) for n in range(40)]
    >>> few, many = (limit_of_detection(counted, patients) for counted in (100, 5000))
    >>> few.limit > many.limit > 0 and few.blank > many.blank > 0
    True
    """
    if counted < 1:
        raise ParasitemiaError(f"Cannot count {counted} cells. Count at least one cell.", reason="bad_counts")
    _need_information(*_mean_rates(patients))
    slides = _new_patients(tuple(patients), resamples, seed)
    if slides is None:
        return DetectionLimit(counted, float("nan"), float("nan"))
    blank = bisect.bisect_left(
        range(counted), DETECTION, key=lambda most: slides.share_upto(most, counted, 0.0)
    )

    def detected(parasitemia: float) -> bool:
        return 1 - slides.share_upto(blank, counted, parasitemia) >= DETECTION

    limit = lowest_share(detected, _STEPS) if detected(1.0) else float("nan")
    return DetectionLimit(counted, blank / counted, limit)


# The draws take longer than everything that is computed from them, and a review of a slide needs them at each step.
@lru_cache(maxsize=4)
def _new_patients(patients: tuple[PatientCounts, ...], resamples: int, seed: int) -> NewPatients | None:
    return NewPatients.like(patients, resamples, seed)


def _mean_rates(patients: Sequence[PatientCounts], counting: Counting = Counting()) -> tuple[float, float]:
    """Sensitivity and specificity over all cells of all patients, after a review."""
    sensitivity, mistaken = Tried.of(patients, True).rate, Tried.of(patients, False).rate
    return (
        sensitivity + counting.uncalled_reviewed * (1 - sensitivity),
        1 - mistaken * (1 - counting.called_reviewed),
    )


def _need_information(sensitivity: float, specificity: float) -> None:
    if sensitivity + specificity <= 1:
        raise ParasitemiaError(
            f"The sensitivity {sensitivity:.3f} and the specificity {specificity:.3f} add up to 1 or less, so the "
            "calls contain no information about the parasitemia.",
            reason="no_information",
        )


def _need_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ParasitemiaError(
                f"The {name.replace('_', ' ')} must be between 0 and 1, not {share}.", reason="bad_rate"
            )
