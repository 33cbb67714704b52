"""Intervals for new patients: a bootstrap that resamples whole patient groups; `docs/methods.md` derives it.

Cells of one patient resemble each other, so an interval that treats cells as independent is far too narrow. Here whole
patient groups are drawn with replacement: the cluster bootstrap [1]_, [2]_. The percentile interval of the resamples is
too narrow with few patients. Instead, the interval uses the standard error SE of the bootstrap (or of the jackknife
over patients, if it is larger) on the logit scale, with Student's t [3]_:
``logit(value) ± t · SE · sqrt(1 + 1 / df) / (value · (1 - value))``.

The degrees of freedom df are about the number of patients that determine the score [4]_: with ``u`` the centred changes
of the score when each of n patients is left out, ``df = 2 (Σu²)² / (Σu⁴ - (Σu²)² / n)``, and at most the number of
contributing patients minus 1. If patients differ like normal numbers, df is n; if one alone makes the difference, it
is 2.

The coverage of the intervals is checked in simulations (``tests/metrics/test_intervals.py``). No interval foresees a
patient unlike all others: with few, very different patients the coverage can be lower.

If no cell is wrong, the interval ends at ``0.025 ** (1 / n)`` with n contributing patients: the rule of three [5]_ over
patients. If a share m of the cells of a patient is wrong on average, the probability of n patients without any wrong
cell is at most ``(1 - m) ** n``, however patients differ. A few wrong cells can give a narrower interval than none.

References
----------
.. [1] B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13.
.. [2] C. A. Field and A. H. Welsh, Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007) 369-390.
.. [3] T. C. Hesterberg, What teachers should know about the bootstrap, Am. Stat. 69 (2015) 371-386: t interval with
   the bootstrap's standard error, narrowness bias ``sqrt(1 + 1 / df)``.
.. [4] F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bull. 2 (1946)
   110-114.
.. [5] J. A. Hanley and A. Lippman-Hand, If nothing goes wrong, is everything all right? JAMA 249 (1983) 1743-1745.
.. [6] P. Hall, On the removal of skewness by transformation, J. R. Stat. Soc. B 54 (1992) 221-228.
.. [7] E. B. Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat. Assoc. 22
   (1927) 209-212.
"""

import bisect
from collections.abc import Callable, Sequence

import numpy as np
import scipy

from malaria_detect.metrics._vectorized import ratio
from malaria_detect.metrics.types import Floats, Integers, MetricsError

# Probability outside of the interval on each side.
TAIL = 0.025
# Of an end found by bisection: a millionth of the score.
_STEPS = 2**20
# With more groups than this, several are left out at once.
_ROWS = 500
NOTHING = (float("nan"), float("nan"))


def draw_groups(groups: int, resamples: int, seed: int) -> Floats:
    """How often each group is drawn when all are drawn with replacement, shape (resamples, groups)."""
    if resamples < 1:
        raise MetricsError(f"An interval needs at least 1 resample, not {resamples}.", reason="bad_setting")
    random = np.random.default_rng(seed)
    drawn = random.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    return drawn.astype(np.float64)


def leave_one_out(groups: int) -> Floats:
    """Weights that leave out each group in turn, shape (groups, groups).

    With more than 500 groups, several are left out at once, so that there are 500 rows.
    """
    rows = min(groups, _ROWS)
    return (np.arange(groups) % rows != np.arange(rows)[:, None]).astype(np.float64)


def lowest_share(holds: Callable[[float], bool], steps: int) -> float:
    """Lowest multiple of ``1 / steps`` for which a condition holds, by bisection from 0 to 1; 1 if it never does."""
    return bisect.bisect_left(range(steps), True, key=lambda step: holds(step / steps)) / steps


def interval(
    value: float, resampled: Floats, without: Floats, groups: int, least: float = 0.0
) -> tuple[float, float]:
    """95 % interval of a score between ``least`` and 1, on the logit scale.

    Parameters
    ----------
    value : float
        The score of all cells.
    resampled : array, shape (resamples,)
        The score of each resample; NaN if it is not defined.
    without : array, shape (patients,)
        The score without each patient in turn.
    groups : int
        Patient groups that contribute to the score; both ends are NaN with fewer than two.

    Examples
    --------
    >>> interval(1.0, np.ones(2000), np.ones(24), groups=24)
    (0.857..., 1.0)
    """
    if groups < 2 or np.isnan(value):
        return NOTHING
    span = 1 - least
    share = (value - least) / span
    rule_of_three = least + span * TAIL ** (1 / groups)
    if share > 1 - 1e-12:
        return rule_of_three, 1.0
    if share < 1e-12:
        return least, least + 1 - rule_of_three
    half = _half_width(resampled, without, groups) / span / (share * (1 - share))
    if half == 0:
        return value, value
    middle = scipy.special.logit(share)
    low, high = (least + span * scipy.special.expit(middle + side * half) for side in (-1, 1))
    return float(low), float(high)


def interval_of_share(hits: Integers, cells: Integers, weights: Sequence[Floats]) -> tuple[float, float]:
    """95 % interval of ``hits / cells``, both of shape (patients,).

    ``weights`` holds `draw_groups` and `leave_one_out` of the patients.
    """
    resampled, without = (ratio(rows @ hits, rows @ cells) for rows in weights)
    return interval(float(hits.sum() / cells.sum()), resampled, without, int(np.count_nonzero(cells)))


def wilson(share: Floats, cells: Floats) -> tuple[Floats, Floats]:
    """Wilson's 95 % intervals of shares of independent cells [7]_; the numbers of cells need not be whole."""
    z = -scipy.special.ndtri(TAIL)
    scale = 1 + z**2 / cells
    middle = (share + z**2 / (2 * cells)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / cells + z**2 / (4 * cells**2))
    return np.where(share == 0, 0.0, middle - half), np.where(share == 1, 1.0, middle + half)


def plain_interval(
    value: float, resampled: Floats, without: Floats, groups: int, reach: float
) -> tuple[float, float]:
    """95 % interval of a difference, on its own scale, within -``reach`` to ``reach``; see `interval`.

    If a few patients make the difference, its distribution is skewed. On their side the interval is extended by Hall's
    correction for skewness [6]_: ``(2 · 1.96² + 1) / 6 · Σ(-u)³ / (Σu²)^1.5`` standard errors.
    """
    if groups < 2 or np.isnan(value):
        return NOTHING
    half = _half_width(resampled, without, groups)
    u = without - without.mean()
    skewness = -(u**3).sum() / (u**2).sum() ** 1.5 if u.any() else 0.0
    z = scipy.special.ndtri(TAIL)
    further = (2 * z**2 + 1) / 6 * skewness / -z * half
    low, high = value - half + min(0.0, further), value + half + max(0.0, further)
    return float(max(-reach, low)), float(min(reach, high))


def _half_width(resampled: Floats, without: Floats, groups: int) -> float:
    """Half of the 95 % interval of a score on its own scale; NaN if fewer than two resamples are defined."""
    defined = resampled[~np.isnan(resampled)]
    if len(defined) < 2:
        return NOTHING[0]
    rows = len(without)
    jackknife = np.sqrt((rows - 1) / rows * ((without - without.mean()) ** 2).sum())
    error = max(float(defined.std()), float(jackknife))
    return error * widening(without, groups) * -float(scipy.special.ndtri(TAIL))


def widening(without: Floats, groups: int) -> float:
    """Factor by which the interval is wider than 1.96 standard errors; parameters as for `interval`.

    Examples
    --------
    >>> round(widening(np.linspace(-1, 1, 160), groups=160), 2)
    1.01
    >>> round(widening(np.array([1.0] + [0.0] * 159), groups=160), 2)  # one patient makes the difference
    2.63
    """
    squares = (without - without.mean()) ** 2
    total = squares.sum()
    spread = (squares**2).sum() - total**2 / len(without)
    freedom = groups - 1.0
    if spread > 1e-12 * total**2:
        freedom = min(freedom, 2 * total**2 / spread)
    return float(scipy.special.stdtrit(freedom, TAIL) / scipy.special.ndtri(TAIL) * np.sqrt(1 + 1 / freedom))


def interval_of_absolute(middle: Floats, resampled: Floats, without: Floats) -> tuple[float, float]:
    """95 % interval of a sum of absolute values between 0 and 1, such as the expected calibration error.

    Such a sum is biased upwards, because noise does not cancel. The lower end is found by test inversion along a least
    favourable family [1]_: the lowest ``s · value`` for which the sum of ``|s · middle + noise|`` reaches the value in
    2.5 % of the resamples. Here ``noise`` is how the resamples deviate from their mean, widened as in all intervals.
    The upper end is that of `interval` after subtracting the bias estimated by the bootstrap (at most half of the
    value); it is never below the value.

    Parameters
    ----------
    middle : array, shape (bins,)
        The terms of the sum for all cells.
    resampled : array, shape (resamples, bins)
    without : array, shape (patients,)
        The sum without each patient in turn; both ends are NaN with fewer than two patients.

    References
    ----------
    .. [1] T. J. DiCiccio and J. P. Romano, Nonparametric confidence limits by resampling methods and least favorable
       families, Int. Stat. Rev. 58 (1990) 59-76.
    """
    groups, sums = len(without), np.abs(resampled).sum(axis=1)
    value = float(np.abs(middle).sum())
    low, high = interval(value, sums, without, groups)
    if np.isnan(low) or not 1e-12 < value < 1 - 1e-12:
        return low, high
    noise = widening(without, groups) * (resampled - resampled.mean(axis=0))

    def reached(stretch: float) -> bool:
        return bool((np.abs(stretch * middle + noise).sum(axis=1) >= value).mean() >= TAIL)

    unbiased = max(2 * value - sums.mean(), value / 2)
    shift = scipy.special.logit(unbiased) - scipy.special.logit(value)
    upper = float(scipy.special.expit(scipy.special.logit(high) + shift))
    return lowest_share(reached, _STEPS) * value, max(value, upper)
