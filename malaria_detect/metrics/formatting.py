"""How numbers are written on the page, in reports, figures and tables: one function for each kind of number.

Percent signs follow a no-break space. NaN is written as a dash.
"""

import math
from collections.abc import Callable, Sequence

from malaria_detect.metrics.types import Estimate

MISSING = "–"
NO_BREAK = "\N{NO-BREAK SPACE}"


def format_count(number: int, noun: str = "") -> str:
    """A number with thousands separators, followed by what is counted (given in the singular).

    Examples
    --------
    >>> format_count(22609), format_count(1, "cell"), format_count(1200, "cell")
    ('22,609', '1 cell', '1,200 cells')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if noun else f"{number:,}"


def format_score(value: float, decimals: int = 3) -> str:
    """A score.

    Examples
    --------
    >>> format_score(0.97649), format_score(0.97649, 4), format_score(math.nan)
    ('0.976', '0.9765', '–')
    """
    return MISSING if math.isnan(value) else f"{value:.{decimals}f}"


def format_percent(share: float, decimals: int = 1) -> str:
    """A share (0 to 1) as a percentage, never rounded to 0 % or 100 % unless it is exactly that.

    Examples
    --------
    >>> [format_percent(share).replace(NO_BREAK, " ") for share in (0.0213, 0.99997, 0.0001, 1.0)]
    ['2.1 %', '> 99.9 %', '< 0.1 %', '100 %']
    """
    if math.isnan(share):
        return MISSING
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}{NO_BREAK}%"
    number, least = f"{100 * share:.{decimals}f}", 10.0**-decimals
    if float(number) == 0:
        number = f"<{NO_BREAK}{least:.{decimals}f}"
    elif float(number) == 100:
        number = f">{NO_BREAK}{100 - least:.{decimals}f}"
    return f"{number}{NO_BREAK}%"


def format_probability(probability: float) -> str:
    """A predicted probability as a percentage; never "0 %" or "100 %", because a network is never certain.

    Examples
    --------
    >>> format_probability(0.9731).replace(NO_BREAK, " "), format_probability(1.0).replace(NO_BREAK, " ")
    ('97.3 %', '> 99.9 %')
    """
    return format_percent(min(max(probability, 1e-6), 1 - 1e-6))


def format_parasitemia(share: float) -> str:
    """A parasitemia as a percentage with two significant digits and at most two decimals.

    Examples
    --------
    >>> [format_parasitemia(share).replace(NO_BREAK, " ") for share in (0.0038, 0.0213, 0.123, 0)]
    ['0.38 %', '2.1 %', '12 %', '0 %']
    """
    return format_percent(share, 0 if share == 0 or share >= 0.0995 else 1 if share >= 0.00995 else 2)


def format_threshold(value: float) -> str:
    """A threshold or temperature with three significant digits; for values just below 1, three digits of 1 − value.

    Examples
    --------
    >>> [format_threshold(value) for value in (0.5, 0.41273, 0.98577018, 1.2345)]
    ['0.5', '0.413', '0.9858', '1.23']
    """
    if not 0.9 < value < 1:
        return f"{value:.3g}"
    return f"{value:.{2 - math.floor(math.log10(1 - value))}f}".rstrip("0")


def format_threshold_percent(value: float) -> str:
    """A threshold as a percentage, with as many decimals as keep it apart from 0 and 100.

    Examples
    --------
    >>> [format_threshold_percent(value).replace(NO_BREAK, " ") for value in (0.5, 0.99961, 0.0003, 0.0)]
    ['50.0 %', '99.96 %', '0.03 %', '0 %']
    """
    per_cent = 100 * value
    decimals = next((digits for digits in range(1, 6) if 0 < float(f"{per_cent:.{digits}f}") < 100), 0)
    return f"{per_cent:.{decimals}f}{NO_BREAK}%"


def format_signed(difference: float, decimals: int = 3) -> str:
    """A difference with its sign; without one if it rounds to zero.

    Examples
    --------
    >>> format_signed(0.0081), format_signed(-0.1234, 1), format_signed(-0.0001)
    ('+0.008', '−0.1', '0.000')
    """
    if math.isnan(difference):
        return MISSING
    rounded = round(difference, decimals)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"


def format_points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign, such as ``+0.8``."""
    return format_signed(100 * difference, 1)


def format_interval(estimate: Estimate, write: Callable[[float], str] = format_score) -> str:
    """The ends of an interval, such as ``0.966 to 0.985``; a dash if there is none."""
    return MISSING if math.isnan(estimate.low) else f"{write(estimate.low)} to {write(estimate.high)}"


def format_estimate(estimate: Estimate, write: Callable[[float], str] = format_score) -> str:
    """A value, followed by its interval in brackets if it has one; `write` formats a single number.

    Examples
    --------
    >>> format_estimate(Estimate(0.976, 0.966, 0.985)), format_estimate(Estimate(0.976, math.nan, math.nan))
    ('0.976 (0.966 to 0.985)', '0.976')
    >>> format_estimate(Estimate(0.0081, 0.002, 0.0141), format_points)
    '+0.8 (+0.2 to +1.4)'
    """
    value = write(estimate.value)
    return value if math.isnan(estimate.low) else f"{value} ({format_interval(estimate, write)})"


def format_megabytes(size: int) -> str:
    """A file size in megabytes (10^6 bytes), such as ``43.2 MB``."""
    return f"{size / 1e6:.1f} MB"


def format_duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours.

    Examples
    --------
    >>> format_duration(8.4), format_duration(1500), format_duration(20000)
    ('8 s', '25 min', '5 h 33 min')
    """
    if math.isnan(seconds):
        return MISSING
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{round(seconds)} s"
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if minutes < 120 else f"{hours:,} h {rest} min"


def format_rate(per_second: float) -> str:
    """A rate per second, with one decimal below 10: ``1,234`` or ``3.1``."""
    return MISSING if math.isnan(per_second) else f"{per_second:,.{0 if per_second >= 10 else 1}f}"


def format_list(items: Sequence[str]) -> str:
    """Several items as a list in a sentence.

    Examples
    --------
    >>> format_list(["64 px", "96 px", "128 px"])
    '64 px, 96 px and 128 px'
    """
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))
