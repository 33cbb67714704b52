"""What a cell classifier means for a slide: how many parasites may stand behind the cells called parasitized.

Of a slide's red cells a share ``p`` is parasitized, the parasitemia, and a classifier calls a share ``a`` so [1]_::

    a = p · sensitivity + (1 - p) · (1 - specificity)          apparent parasitemia
    p = (a + specificity - 1) / (sensitivity + specificity - 1)          Rogan and Gladen

Both rates differ from patient to patient, and the next slide is one new patient whose own rates nobody knows. So
limits and intervals here carry not only the chance of counting (binomial) and the uncertain mean of the rates, as the
usual intervals of a corrected prevalence do [2]_, but also how much patients differ
(`malaria_detect.metrics.between_patient`). The two rates of a patient are drawn independently of each other: too few
patients have many cells of both labels to say more.

References
----------
.. [1] W. J. Rogan and B. Gladen, Estimating prevalence from the results of a screening test, Am. J. Epidemiol. 107
   (1978) 71-76.
.. [2] Z. Lang and J. Reiczigel, Confidence limits for prevalence of disease adjusted for estimated sensitivity and
   specificity, Prev. Vet. Med. 113 (2014) 13-22.
.. [3] L. A. Currie, Limits for qualitative detection and quantitative determination, Anal. Chem. 40 (1968) 586-593.
.. [4] CLSI EP17, Evaluation of detection capability for clinical laboratory measurement procedures: limit of blank,
   limit of detection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.metrics import Estimate, PatientCounts
from malaria_detect.metrics._vectorized import ratio
from malaria_detect.metrics.between_patient import NewPatients, Tried
from malaria_detect.metrics.intervals import TAIL, draw_groups, interval, leave_one_out

# Slides that stay under the limit of blank, and slides at the limit of detection that pass it.
DETECTION = 0.95
# Halvings until a parasitemia is found: to a hundred-thousandth of all cells.
_HALVINGS = 17


class SlideError(MalariaDetectError):
    """Counts or rates from which nothing can be said about a slide."""


@dataclass(frozen=True)
class SlideEstimate:
    """Parasitemia behind the cells called parasitized.

    Parameters
    ----------
    called, counted : int
        Cells called parasitized, and all cells that the classifier saw.
    estimate : float, in [0, 1]
        Rogan and Gladen's estimate of the parasitemia.
    low, high : float, in [0, 1]
        Its 95 % interval; NaN where fewer than two patients tell a rate.
    """

    called: int
    counted: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class DetectionLimit:
    """From which parasitemia on a slide is told from one without parasites.

    Parameters
    ----------
    counted : int
        Cells counted on the slide.
    blank : float, in [0, 1]
        Limit of blank: the share of cells called parasitized that 95 % of slides without parasites do not pass.
    limit : float, in [0, 1]
        Limit of detection: the lowest parasitemia at which 95 % of slides pass the limit of blank; NaN where none
        does. It may be the smaller number of the two: the cells called by mistake count on top of it.
    """

    counted: int
    blank: float
    limit: float


def apparent_parasitemia(parasitemia: float, sensitivity: float, specificity: float) -> float:
    """Share of a slide's cells that is called parasitized; all are shares from 0 to 1.

    Examples
    --------
    >>> round(apparent_parasitemia(0.0, sensitivity=0.97, specificity=0.97), 3)  # a healthy person
    0.03
    >>> round(apparent_parasitemia(0.02, sensitivity=0.97, specificity=0.97), 4)
    0.0488
    """
    _need_shares(parasitemia=parasitemia, sensitivity=sensitivity, specificity=specificity)
    return parasitemia * sensitivity + (1 - parasitemia) * (1 - specificity)


def rogan_gladen(called_share: float, sensitivity: float, specificity: float) -> float:
    """Parasitemia behind a share of cells called parasitized, held within 0 and 1.

    Raises
    ------
    SlideError
        Where a share does not lie between 0 and 1, or sensitivity and specificity add up to 1 or less: such calls say
        nothing about the cells.

    Examples
    --------
    >>> round(rogan_gladen(0.0488, sensitivity=0.97, specificity=0.97), 4)
    0.02
    >>> rogan_gladen(0.01, sensitivity=0.97, specificity=0.97)  # fewer than of a healthy person
    0.0
    """
    _need_shares(called_share=called_share, sensitivity=sensitivity, specificity=specificity)
    _need_information(sensitivity, specificity)
    return min(1.0, max(0.0, (called_share + specificity - 1) / (sensitivity + specificity - 1)))


def healthy_reading(patients: Sequence[PatientCounts], resamples: int = 2000, seed: int = 0) -> Estimate:
    """Apparent parasitemia of a person without parasites: the share of uninfected cells called parasitized.

    Parameters
    ----------
    patients : sequence of PatientCounts
        Patients on whom the classifier was tried, at the operating point in question.
    resamples, seed : int
        Of the bootstrap of the patients.

    Returns
    -------
    Estimate
        ``hits`` of ``total`` uninfected cells; 1 - specificity, and the interval over patients mirrors that of the
        specificity.

    Raises
    ------
    MetricsError
        Where the patients have no uninfected cell.

    Examples
    --------
    >>> reading = healthy_reading([PatientCounts("A", 9, 50, 9, 1), PatientCounts("B", 0, 50, 0, 3)])
    >>> reading.value, reading.hits, reading.total
    (0.04, 4, 100)
    """
    tried = Tried.uninfected(patients)
    resampled, without = (
        ratio(weights @ tried.called, weights @ tried.cells)
        for weights in (draw_groups(len(patients), resamples, seed), leave_one_out(len(patients)))
    )
    low, high = interval(tried.rate, resampled, without, tried.patients)
    return Estimate(tried.rate, low, high, int(tried.called.sum()), int(tried.cells.sum()))


def corrected_parasitemia(
    called: int, counted: int, patients: Sequence[PatientCounts], resamples: int = 2000, seed: int = 0
) -> SlideEstimate:
    """Estimate the parasitemia of a slide from how many of its cells were called parasitized.

    The interval holds every parasitemia at which it is no rarity (more than 2.5 % of slides, each of a new patient)
    to have so few cells called, and none to have so many: the exact interval of a proportion, with the classifier's
    rates of that patient as unknown as they are (see the module's text).

    In simulation of a nominal 95 % (400 slides each, with rates of wrong calls that follow beta distributions with a
    mean of 3 % and a standard deviation of 3.5 %) it covered the new patient's parasitemia in 94 to 98 % where 24
    patients had been tried, and in 94 to 99 % where 80 or 160 had: from 0 to 30 %, with 40 and 1,000 counted cells.

    Parameters
    ----------
    called, counted : int
        Cells called parasitized, of the cells that the classifier saw. All are from one slide.
    patients : sequence of PatientCounts
        Patients on whom the classifier was tried, at the same operating point.
    resamples, seed : int
        Of the bootstrap of the patients.

    Returns
    -------
    SlideEstimate

    Raises
    ------
    SlideError
        Where the counts do not fit, or sensitivity and specificity add up to 1 or less.
    MetricsError
        Where the patients have no cell of a class.

    Examples
    --------
    >>> patients = [PatientCounts(f"P{n}", 50, 50, 50 - n % 3, n % 4) for n in range(40)]
    >>> slide = corrected_parasitemia(3, 40, patients)
    >>> round(slide.estimate, 3), slide.low, round(slide.high, 2)
    (0.047, 0.0, 0.18)
    """
    if counted < 1 or not 0 <= called <= counted:
        raise SlideError(
            f"Of {counted} cells {called} cannot be called parasitized: a slide needs at least one cell, "
            "and no more of them called than there are."
        )
    estimate = rogan_gladen(called / counted, *_mean_rates(patients))
    slides = NewPatients.like(patients, resamples, seed)
    if slides is None:
        return SlideEstimate(called, counted, estimate, float("nan"), float("nan"))

    low = _first(lambda parasitemia: slides.share_upto(called - 1, counted, parasitemia) < 1 - TAIL)
    high = _first(lambda parasitemia: slides.share_upto(called, counted, parasitemia) <= TAIL)
    return SlideEstimate(called, counted, estimate, min(low, estimate), max(high, estimate))


def limit_of_detection(
    counted: int, patients: Sequence[PatientCounts], resamples: int = 2000, seed: int = 0
) -> DetectionLimit:
    """Lowest parasitemia that is told from none, when so many cells of a slide are counted [3]_, [4]_.

    95 % of slides without parasites stay at or under the limit of blank, 95 % of slides at the limit of detection
    pass it; every slide is one new patient. Counting more cells helps only until the differences between patients
    prevail.

    Parameters
    ----------
    counted : int
        Cells counted on a slide: 500, 1,000 or 5,000 are usual.
    patients, resamples, seed
        As for `corrected_parasitemia`.

    Returns
    -------
    DetectionLimit
        With NaN for both limits where fewer than two patients tell a rate.

    Raises
    ------
    SlideError, MetricsError
        As `corrected_parasitemia` does.

    Examples
    --------
    >>> patients = [PatientCounts(f"P{n}", 50, 50, 50 - n % 3, n % 4) for n in range(40)]
    >>> few, many = (limit_of_detection(counted, patients) for counted in (100, 5000))
    >>> few.limit > many.limit > 0 and few.blank > many.blank > 0
    True
    """
    if counted < 1:
        raise SlideError(f"A limit of detection needs at least one counted cell; it is {counted}.")
    _need_information(*_mean_rates(patients))
    slides = NewPatients.like(patients, resamples, seed)
    if slides is None:
        return DetectionLimit(counted, float("nan"), float("nan"))
    fewest, most = -1, counted
    while most - fewest > 1:
        middle = (fewest + most) // 2
        enough = slides.share_upto(middle, counted, 0.0) >= DETECTION
        fewest, most = (fewest, middle) if enough else (middle, most)

    def detected(parasitemia: float) -> bool:
        return 1 - slides.share_upto(most, counted, parasitemia) >= DETECTION

    return DetectionLimit(counted, most / counted, _first(detected) if detected(1.0) else float("nan"))


def _mean_rates(patients: Sequence[PatientCounts]) -> tuple[float, float]:
    """Sensitivity and specificity over all cells of all patients."""
    return Tried.parasitized(patients).rate, 1 - Tried.uninfected(patients).rate


def _need_information(sensitivity: float, specificity: float) -> None:
    if sensitivity + specificity <= 1:
        raise SlideError(
            f"A sensitivity of {sensitivity:.3f} and a specificity of {specificity:.3f} add up to no more than 1: "
            "such a classifier says nothing about a slide."
        )


def _need_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise SlideError(f"The {name.replace('_', ' ')} must lie between 0 and 1; it is {share}.")


def _first(holds: Callable[[float], bool]) -> float:
    """The least parasitemia from which on something holds; 1 where it never does."""
    if holds(0.0):
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
