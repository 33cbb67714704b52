"""Intervals that hold for a new patient: whole patient groups are drawn again, with replacement.

Cells of one patient resemble each other, so an interval that takes every cell for a new case is far too narrow. Here
whole patient groups are drawn: the cluster bootstrap [1]_, [2]_.

The plain percentile interval of the resamples is too narrow where patients are few, and further so where a few of
them bring most of the cells or most of the errors. What stands here instead is the bootstrap's standard error SE, or
the jackknife's over patients where it is larger, with three corrections:

- on the logit scale, so that an interval stays within the score's range and reaches further to the side where there
  is more room: ``logit(value) ± t · SE · sqrt(1 + 1 / df) / (value · (1 - value))``;
- with the 97.5 % point t of Student's distribution instead of 1.96 [3]_. Its degrees of freedom df are about how many
  patients really bear on the score [4]_: with ``u`` the change of the score when one of n patients is left out, less
  its mean, ``df = 2 (Σu²)² / (Σu⁴ - (Σu²)² / n)``, at most one less than the patients who have such cells. For
  patients that differ like normal numbers it is n, and 2 where one patient alone makes the difference;
- with ``sqrt(1 + 1 / df)``, because the bootstrap of so many independent numbers gives a standard error that is too
  small by this factor [3]_.

Differences between two models get the same corrections on their own scale. The expected calibration error is biased,
and has an interval of its own (`interval_of_absolute`).

In simulation (500 studies each of 24, 40, 80 and 160 patients, whose error rates follow a beta distribution with a mean
of 3 % and a standard deviation of 3.5 %, with like and with very unlike numbers of cells; 300 resamples) intervals of
a nominal 95 % covered the truth in 93 to 97 % of the studies, for each of the ten scores. The percentile interval did
in 86 to 93 % of those of 24 patients and in 90 to 96 % of those of 80. What no interval can foresee is a patient unlike
all others: of studies drawn from 160 real patients, one of whom alone brought a fifth of all missed cells, 89 to 92 %
covered the sensitivity.

Where a score stands at the end of its range, because no cell is wrong, all resamples agree and tell nothing. There
the interval ends at ``0.025 ** (1 / n)``, n being the patients that bear on the score: the rule of three [5]_ over
patients. If patients differ in whatever way, and a share m of a patient's cells is wrong on average, then the chance
to meet n patients in a row without any wrong cell is at most ``(1 - m) ** n``. It takes a patient's cells for one
case, so that it is wide; a few wrong cells may give a narrower interval than none. Where a score is the same in all
resamples, but not at an end (a model that gives all cells one probability has a ROC AUC of 0.5 whoever they are), the
interval is one point.

References
----------
.. [1] B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13.
.. [2] C. A. Field and A. H. Welsh, Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007) 369-390.
.. [3] T. C. Hesterberg, What teachers should know about the bootstrap, Am. Stat. 69 (2015) 371-386: t interval with
   the bootstrap's standard error, narrowness bias.
.. [4] F. E. Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bull. 2 (1946)
   110-114: degrees of freedom from how much an estimate of variance varies.
.. [5] J. A. Hanley and A. Lippman-Hand, If nothing goes wrong, is everything all right? JAMA 249 (1983) 1743-1745.
.. [6] P. Hall, On the removal of skewness by transformation, J. R. Stat. Soc. B 54 (1992) 221-228.
"""

import numpy as np
import scipy.special
import scipy.stats

from malaria_detect.metrics.types import Floats, MetricsError

# What lies outside the interval on one side.
TAIL = 0.025
# Halvings until an end is found: to a millionth of the score.
_HALVINGS = 20
# More groups than this are not left out one by one: what it would tell is that they are many.
_ROWS = 500
NOTHING = (float("nan"), float("nan"))


def draw_groups(groups: int, resamples: int, seed: int) -> Floats:
    """Draw as many groups as there are, with replacement: how often each came, shape (resamples, groups)."""
    if resamples < 1:
        raise MetricsError(f"The interval needs at least 1 resample; {resamples} were asked for.")
    random = np.random.default_rng(seed)
    drawn = random.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    return drawn.astype(np.float64)


def leave_one_out(groups: int) -> Floats:
    """Weights that leave out each group in turn, shape (groups, groups).

    Of more than 500 groups several are left out at once, so that there are 500 rows.
    """
    rows = min(groups, _ROWS)
    return (np.arange(groups) % rows != np.arange(rows)[:, None]).astype(np.float64)


def interval(
    value: float, resampled: Floats, without: Floats, groups: int, least: float = 0.0
) -> tuple[float, float]:
    """The 95 % interval of a score that lies between ``least`` and 1, on the logit scale.

    Parameters
    ----------
    value : float
        The score of the cells as they are.
    resampled : array, shape (resamples,)
        The score of every resample; NaN where it is not defined.
    without : array, shape (patients,)
        The score without each patient in turn.
    groups : int
        Patient groups that bear on the score; from fewer than two there is no interval.

    Returns
    -------
    (float, float)
        Both NaN where there is no interval.

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
    half = half_width(resampled, without, groups) / span / (share * (1 - share))
    if half == 0:
        return value, value
    middle = scipy.special.logit(share)
    low, high = (least + span * scipy.special.expit(middle + side * half) for side in (-1, 1))
    return float(low), float(high)


def plain_interval(
    value: float, resampled: Floats, without: Floats, groups: int, reach: float
) -> tuple[float, float]:
    """The 95 % interval of a difference, on its own scale, within -``reach`` to ``reach``; see `interval`.

    Where a few patients make the difference, it is a skewed one. The interval then reaches further to their side, by
    Hall's correction for skewness [6]_: ``(2 · 1.96² + 1) / 6 · Σ(-u)³ / (Σu²)^1.5`` standard errors. The other side
    stays as it is.
    """
    if groups < 2 or np.isnan(value):
        return NOTHING
    half = half_width(resampled, without, groups)
    u = without - without.mean()
    skewness = -(u**3).sum() / (u**2).sum() ** 1.5 if u.any() else 0.0
    z = scipy.stats.norm.ppf(TAIL)
    further = (2 * z**2 + 1) / 6 * skewness / -z * half
    low, high = value - half + min(0.0, further), value + half + max(0.0, further)
    return float(max(-reach, low)), float(min(reach, high))


def half_width(resampled: Floats, without: Floats, groups: int) -> float:
    """Half of the 95 % interval of a score on its own scale: NaN where fewer than two resamples are defined."""
    defined = resampled[~np.isnan(resampled)]
    if len(defined) < 2:
        return NOTHING[0]
    rows = len(without)
    jackknife = np.sqrt((rows - 1) / rows * ((without - without.mean()) ** 2).sum())
    error = max(float(defined.std()), float(jackknife))
    return error * widening(without, groups) * -float(scipy.stats.norm.ppf(TAIL))


def widening(without: Floats, groups: int) -> float:
    """How many times 1.96 standard errors of the bootstrap an interval must reach; see the module's text.

    Parameters
    ----------
    without : array, shape (patients,)
        The score without each patient in turn.
    groups : int, >= 2
        Patients that bear on the score.

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
    return float(scipy.stats.t.ppf(TAIL, freedom) / scipy.stats.norm.ppf(TAIL) * np.sqrt(1 + 1 / freedom))


def interval_of_absolute(middle: Floats, resampled: Floats, without: Floats) -> tuple[float, float]:
    """The 95 % interval of a sum of absolute values between 0 and 1, such as the expected calibration error.

    Such a sum is biased upwards, and in every resample once more, because noise never cancels in it: a perfectly
    calibrated model scores above 0, and its resamples lie higher still.

    So the lower end asks from which true value on it is no rarity to see what was seen: it is the least ``s · value``
    for which the sum of ``|s · middle + noise|`` reaches the value in 2.5 % of the resamples, where ``noise`` is how
    they scatter about their mean, widened as all intervals are (test inversion along a least favourable family [1]_).
    It is 0 where noise alone gives as large a sum. The upper end is that of `interval` with the bootstrap's estimate of
    the bias taken off, at most half of the value; it never lies under the value.

    Parameters
    ----------
    middle : array, shape (bins,)
        The terms for the cells as they are.
    resampled : array, shape (resamples, bins)
    without : array, shape (patients,)
        The sum without each patient in turn. From fewer than two patients there is no interval.

    Returns
    -------
    (float, float)
        Both NaN where there is no interval.

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

    under, over = 0.0, 0.0 if reached(0.0) else 1.0
    for _ in range(_HALVINGS):
        between = (under + over) / 2
        under, over = (under, between) if reached(between) else (between, over)
    unbiased = max(2 * value - sums.mean(), value / 2)
    shift = scipy.special.logit(unbiased) - scipy.special.logit(value)
    return over * value, max(value, float(scipy.special.expit(scipy.special.logit(high) + shift)))
