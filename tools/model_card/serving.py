"""What serving costs and gives, in words: the machine that so many visitors need, and the plain page beside ours.

From ``reports/serve-speed.json``, which ``make bench-serve`` writes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from malaria_detect.metrics.formatting import format_count, format_table
from tools.model_card import ReportError

SERVE_SPEED = "serve-speed.json"
# MiB: what dynos, containers and small machines have.
SIZES = (512, 1024, 2048, 4096)
_BARS = {
    "private_memory_ratio": "private memory, ratio",
    "private_memory_mb": "private memory of a further visitor, MB",
    "usable_warm_ratio": "page usable with a session ready, ratio",
    "usable_warm_ms": "page usable with a session ready, ms",
    "usable_cold_ratio": "page usable with none ready, ratio",
    "answer_ratio": "from click to answer, ratio",
    "crowd_right": "right answers of all that upload at once",
    "crowd_answered_longest_s": "last answer of all that upload at once, s",
    "crowd_memory_mb": "memory of everything with them, MB",
    "series_right": "right answers of visitors one after another",
    "series_growth_percent": "memory after them, %",
}
# For the operating system, files in /tmp, and requests that are large.
RESERVED = 0.1


def visitors_in(size: int, alone_mb: float, visitor_mb: float) -> int:
    """Visitors at the same time for whom a machine has memory.

    Parameters
    ----------
    size : int
        MiB, of which a tenth is left alone.
    alone_mb, visitor_mb : float
        Megabytes (10⁶ bytes) of the server without visitors, and of each visitor.

    Examples
    --------
    >>> visitors_in(1024, alone_mb=600, visitor_mb=60), visitors_in(512, alone_mb=600, visitor_mb=60)
    (6, 0)
    """
    left = size * 2**20 / 1e6 * (1 - RESERVED) - alone_mb
    return max(0, math.floor(left / visitor_mb))


def sizing(report: Mapping[str, Any]) -> str:
    """The machine that so many visitors need: docs/deployment.md's block ``serving``, as Markdown.

    Parameters
    ----------
    report : mapping
        Content of ``serve-speed.json``.

    Raises
    ------
    ReportError
        Where a figure is missing.
    """
    try:
        alone, crowd, series = report["without_visitors_mb"], report["crowd"], report["series"]
        # The larger of two: what a visitor's own process keeps, and what is used while all of them upload.
        each = max(report["private_mb"]["ours"], (crowd["memory_mb"] - alone) / crowd["visitors"])
        rows = [(f"{format_count(size)} MiB", _visitors(visitors_in(size, alone, each))) for size in SIZES]
        return "\n\n".join(
            (
                f"Without visitors the server has {format_count(round(alone))} MB (sessions kept ready among them: "
                f"{report['pool']}); each visitor adds {format_count(math.ceil(each))} MB. {crowd['visitors']} "
                f"visitors who uploaded {crowd['pictures']} pictures each at the same time had their last answer after "
                f"{crowd['answered_longest_s']} s, and everything together took "
                f"{format_count(round(crowd['memory_mb']))} MB. After {format_count(series['visitors'])} visitors, one "
                f"after another, the server had {_change(series['growth_percent'])}.",
                format_table(("memory", "visitors at the same time"), rows),
                f"A tenth is left alone. {_measured(report)}",
            )
        )
    except (KeyError, TypeError) as error:
        raise ReportError(f"{SERVE_SPEED} is damaged ({error!r}): `make bench-serve` writes it.") from error


def beside_plain(report: Mapping[str, Any]) -> str:
    """Ours and the plain page side by side, as a Markdown table, with the machine under it.

    Parameters
    ----------
    report : mapping
        Content of ``serve-speed.json``.

    Raises
    ------
    ReportError
        Where a figure is missing.
    """
    try:
        usable, answer, private = report["usable_ms"], report["answer_ms"], report["private_mb"]
        rows = [
            _row("private memory of a further visitor", _megabytes, private["plain"], private["ours"]),
            _row("page usable, a session kept ready", _seconds, usable["plain"], usable["warm"]),
            _row("page usable, no session ready", _seconds, usable["plain"], usable["cold"]),
            _row("from click to answer", _milliseconds, answer["plain_from_press"], answer["ours"]),
        ]
        found = format_table(("", "plain page", "this one", "ratio"), rows)
        return "\n\n".join(filter(None, (found, _missed(report["bars"]), _measured(report))))
    except (KeyError, TypeError) as error:
        raise ReportError(f"{SERVE_SPEED} is damaged ({error!r}): `make bench-serve` writes it.") from error


def _row(name: str, write: Callable[[float], str], plain: float, ours: float) -> tuple[str, str, str, str]:
    return name, write(plain), write(ours), f"{plain / ours:.1f}"


def _megabytes(value: float) -> str:
    return f"{value:.0f} MB"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s"


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms"


def _missed(bars: Mapping[str, Any]) -> str:
    """What was aimed at and not reached."""
    missed = [
        f"{_BARS[name]} {bar['value']} (aim: {bar.get('at_most', bar.get('at_least'))})"
        for name, bar in bars.items()
        if not bar["met"]
    ]
    return f"Not reached: {'; '.join(missed)}." if missed else ""


def _visitors(number: int) -> str:
    return format_count(number) if number else "too small"


def _change(percent: float) -> str:
    if percent == 0:
        return "as much memory as before"
    return f"{abs(percent)} % {'more' if percent > 0 else 'less'} memory than before"


def _measured(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"Measured on {machine['cores']} cores ({machine['processor']}), torch {machine['torch']}, {machine['date']}; "
        "builds of torch without CUDA take less memory."
    )
