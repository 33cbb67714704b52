"""How numbers and tables are written."""

import math
from collections.abc import Sequence

from malaria_detect.metrics import Estimate

MISSING = "–"
# What a healthy person's cells and a patient's missed ones are told of.
PER = 1000


def count(number: int) -> str:
    """A number of cells or patients, with commas.

    Examples
    --------
    >>> count(22609)
    '22,609'
    """
    return f"{number:,}"


def score(value: float | Estimate) -> str:
    """A score with three decimals; the dash of the tables where it is not defined.

    Examples
    --------
    >>> score(0.97649), score(float("nan"))
    ('0.976', '–')
    """
    number = value.value if isinstance(value, Estimate) else value
    return MISSING if math.isnan(number) else f"{number:.3f}"


def threshold(value: float) -> str:
    """A threshold or a temperature: three digits, and near 1 three of what is missing to it, so that it decides alike.

    Examples
    --------
    >>> threshold(0.5), threshold(0.41273), threshold(0.98577018), threshold(0.99987), threshold(1.2345)
    ('0.5', '0.413', '0.9858', '0.99987', '1.23')
    """
    if not 0.9 < value < 1:
        return f"{value:.3g}"
    return f"{value:.{2 - math.floor(math.log10(1 - value))}f}".rstrip("0")


def interval(estimate: Estimate) -> str:
    """The interval of a score.

    Examples
    --------
    >>> interval(Estimate(0.976, 0.966, 0.985))
    '0.966 to 0.985'
    """
    return MISSING if math.isnan(estimate.low) else f"{score(estimate.low)} to {score(estimate.high)}"


def with_interval(estimate: Estimate) -> str:
    """A score and, in brackets, its interval.

    Examples
    --------
    >>> with_interval(Estimate(0.976, 0.966, 0.985)), with_interval(Estimate(0.976, math.nan, math.nan))
    ('0.976 (0.966 to 0.985)', '0.976')
    """
    return score(estimate) if math.isnan(estimate.low) else f"{score(estimate)} ({interval(estimate)})"


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage; never "0.0 %" or "100.0 %" for what is not quite that.

    Parameters
    ----------
    share : float
        0 to 1.
    decimals : int

    Examples
    --------
    >>> percent(0.0213), percent(0.5, 0), percent(0.99997), percent(1.0), percent(math.nan)
    ('2.1 %', '50 %', '> 99.9 %', '100 %', '–')
    >>> percent(0.005, 0), percent(0.995, 0)
    ('< 1 %', '> 99 %')
    """
    if math.isnan(share):
        return MISSING
    number = f"{100 * share:.{decimals}f}"
    least = 10.0**-decimals
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if float(number) == 0:
        return f"< {least:.{decimals}f} %"
    if float(number) == 100:
        return f"> {100 - least:.{decimals}f} %"
    return f"{number} %"


def share_with_interval(estimate: Estimate) -> str:
    """A share in whole per cent with its interval.

    Examples
    --------
    >>> share_with_interval(Estimate(0.85, 0.787, 0.9))
    '85 %, 79 to 90 %'
    """
    value = percent(estimate.value, 0)
    return (
        value
        if math.isnan(estimate.low)
        else f"{value}, {percent(estimate.low, 0).removesuffix(' %')} to {percent(estimate.high, 0)}"
    )


def small_percent(share: float) -> str:
    """A parasitemia as a percentage: two digits that say something, at most two decimals.

    Examples
    --------
    >>> small_percent(0.0038), small_percent(0.0213), small_percent(0.123), small_percent(0)
    ('0.38 %', '2.1 %', '12 %', '0 %')
    """
    if math.isnan(share):
        return MISSING
    per_cent = 100 * share
    decimals = 0 if per_cent == 0 or per_cent >= 9.95 else 1 if per_cent >= 0.995 else 2
    return percent(share, decimals)


def per_thousand(share: float) -> str:
    """Of how many among a thousand cells a share speaks.

    Examples
    --------
    >>> per_thousand(0.0213), per_thousand(0.00324)
    ('21', '3.2')
    """
    cells = PER * share
    return MISSING if math.isnan(share) else f"{cells:.0f}" if cells == 0 or cells >= 9.95 else f"{cells:.1f}"


def per_thousand_with_interval(estimate: Estimate) -> str:
    """The same with its interval.

    Examples
    --------
    >>> per_thousand_with_interval(Estimate(0.0213, 0.012, 0.034))
    '21 (12 to 34)'
    """
    value = per_thousand(estimate.value)
    if math.isnan(estimate.low):
        return value
    return f"{value} ({per_thousand(estimate.low)} to {per_thousand(estimate.high)})"


def points(estimate: Estimate) -> str:
    """A difference of two shares in percentage points, signed.

    Examples
    --------
    >>> points(Estimate(0.0081, 0.002, 0.0141)), points(Estimate(-0.001, -0.003, 0.002))
    ('+0.8 (+0.2 to +1.4)', '−0.1 (−0.3 to +0.2)')
    """
    value, low, high = (_signed(100 * number, 1) for number in (estimate.value, estimate.low, estimate.high))
    return value if math.isnan(estimate.low) else f"{value} ({low} to {high})"


def signed(estimate: Estimate) -> str:
    """A difference of two scores with three decimals, signed, with its interval.

    Examples
    --------
    >>> signed(Estimate(0.0081, 0.002, 0.0141))
    '+0.008 (+0.002 to +0.014)'
    """
    value, low, high = (_signed(number, 3) for number in (estimate.value, estimate.low, estimate.high))
    return value if math.isnan(estimate.low) else f"{value} ({low} to {high})"


def megabytes(size: int) -> str:
    """The size of a file in bytes, in millions of them.

    Examples
    --------
    >>> megabytes(43_218_765)
    '43.2 MB'
    """
    return f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """How long something took, in the unit that a reader would choose.

    Examples
    --------
    >>> duration(8.4), duration(1500), duration(20000), duration(float("nan"))
    ('8 s', '25 min', '5 h 33 min', '–')
    """
    if math.isnan(seconds):
        return MISSING
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{count(round(seconds))} s"
    hours, rest = divmod(minutes, 60)
    return f"{count(minutes)} min" if minutes < 120 else f"{count(hours)} h {count(rest)} min"


def rate(each_second: float) -> str:
    """How many in a second; with a decimal where they are few.

    Examples
    --------
    >>> rate(1234.5), rate(98.2), rate(3.14)
    ('1,234', '98', '3.1')
    """
    if math.isnan(each_second):
        return MISSING
    return count(round(each_second)) if each_second >= 10 else f"{each_second:.1f}"


def joined(items: Sequence[str]) -> str:
    """Several things in one sentence.

    Examples
    --------
    >>> joined(["64 px", "96 px", "128 px"])
    '64 px, 96 px and 128 px'
    """
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    Examples
    --------
    >>> print(table(["score", "value"], [["accuracy", "0.976"]]))
    | score | value |
    |---|---|
    | accuracy | 0.976 |
    """
    lines = [head, *rows]
    if any(len(line) != len(head) for line in lines):
        raise ValueError(f"Every row of this table needs {len(head)} entries.")
    written = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([written[0], "|" + "---|" * len(head), *written[1:]])


def _signed(number: float, decimals: int) -> str:
    if math.isnan(number):
        return MISSING
    # A difference that rounds to nothing carries no sign.
    rounded = round(number, decimals) + 0.0
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{decimals}f}"


def likelihood(probability: float) -> str:
    """A network's probability in per cent; it is never certain, so 0 and 1 are shown as "< 0.1 %" and "> 99.9 %"."""
    return percent(min(max(probability, 1e-6), 1 - 1e-6)).replace(" ", "\N{NO-BREAK SPACE}")
