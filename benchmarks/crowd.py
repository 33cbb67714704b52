"""Visitors without a browser: a group that uploads at the same time, and a long series of single visitors."""

import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory import MemoryGroup, memory_group
from benchmarks.processes import PeakMemory, Server
from benchmarks.visitors import Card, Visitor

PROJECT = Path(__file__).parent.parent
WARM_UP = 5
SAME = 0.005


@dataclass(frozen=True)
class Known:
    """The answer of the command line for a cell."""

    path: Path
    decision: str
    probability: float


def known_answers(paths: Sequence[Path], model: Path) -> list[Known]:
    """Answers of the command line, whose process ends before the measurement and shares no memory with the server."""
    program = [sys.executable, "-m", "malaria_detect", "predict"]
    command = [*program, *map(str, paths), "--json", f"--model={model}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    rows = json.loads(said.stdout)
    return [
        Known(path, row["decision"].lower(), float(row["probability_parasitized"]))
        for path, row in zip(paths, rows, strict=True)
    ]


def is_right(card: Card, known: Known) -> bool:
    """Whether a card agrees with the command line.

    Examples
    --------
    >>> is_right(Card("a.png", "uninfected", 0.122), Known(Path("a.png"), "uninfected", 0.12))
    True
    >>> is_right(Card("a.png", "uninfected", 0.132), Known(Path("a.png"), "uninfected", 0.12))
    False
    """
    return (
        card.kind == known.decision
        and card.probability is not None
        and abs(card.probability - known.probability) <= SAME
    )


def first_page(start: Callable[[], AbstractContextManager[Server]]) -> float:
    """Seconds from the start of a server until its first visitor has the page."""
    began = time.perf_counter()
    with start() as server, Visitor(server.address):
        return round(time.perf_counter() - began, 2)


def few(server: Server, known: Sequence[Known]) -> dict[str, Any]:
    """Measure visitors who come one after another, check one cell each, and stay."""
    right, began = 0, time.perf_counter()
    with ExitStack() as stay:
        for one in known:
            visitor = stay.enter_context(Visitor(server.address))
            (card,) = visitor.upload({one.path.name: one.path.read_bytes()})
            right += is_right(card, one)
        seconds = (time.perf_counter() - began) / len(known)
        server.wait_until_quiet()
        memory = round(server.proportional(), 1)
    return {"visitors": len(known), "right": right, "seconds_a_visit": round(seconds, 2), "memory_mb": memory}


def on_a_small_machine(
    start: Callable[[MemoryGroup | None], AbstractContextManager[Server]],
    known: Sequence[Known],
    mebibytes: int,
) -> dict[str, Any]:
    """Measure :func:`few` visitors of a server whose memory is limited.

    Parameters
    ----------
    start : callable
        Runs a server in a group.
    known
        One cell for each visitor.
    mebibytes : int

    Returns
    -------
    dict
        In addition ``limit_mib`` and ``killed``: processes that the system killed because memory ran out, None where it
        could not limit the memory.
    """
    with memory_group(mebibytes) as group:
        try:
            with start(group) as server:
                served = few(server, known)
        finally:
            killed = group and group.kills
            if killed:
                print(f"{mebibytes} MiB: the system killed {killed} processes", flush=True)
        return {"limit_mib": mebibytes, **served, "killed": killed}


def crowd(server: Server, known: Sequence[Known], visitors: int, pictures: int) -> dict[str, Any]:
    """Measure visitors who arrive at the same time, and then upload at the same time."""
    together = threading.Barrier(visitors)
    shares = [known[start : start + pictures] for start in range(0, len(known), pictures)]

    def visit(share: Sequence[Known]) -> tuple[float, float, int]:
        files = {one.path.name: one.path.read_bytes() for one in share}
        together.wait()
        came = time.perf_counter()
        with Visitor(server.address) as visitor:
            opened = time.perf_counter() - came
            together.wait()
            began = time.perf_counter()
            cards = visitor.upload(files)
            seconds = time.perf_counter() - began
            together.wait()
        return opened, seconds, sum(is_right(card, one) for card, one in zip(cards, share, strict=True))

    server.wait_until_quiet()
    with PeakMemory(server) as peak, ThreadPoolExecutor(visitors) as threads:
        visits = list(threads.map(visit, shares))
    opened, seconds, right = zip(*visits, strict=True)
    server.wait_until_quiet()
    return {
        "visitors": visitors,
        "pictures": pictures,
        "right": sum(right),
        "opened_longest_s": round(max(opened), 2),
        "answered_longest_s": round(max(seconds), 2),
        "answered_median_s": round(statistics.median(seconds), 2),
        "memory_mb": round(peak.megabytes),
    }


def series(server: Server, known: Sequence[Known], visitors: int) -> dict[str, Any]:
    """Measure visitors who come one after another, upload one cell, read its answer and leave."""
    turns = itertools.cycle(known)

    def visit() -> bool:
        one = next(turns)
        with Visitor(server.address) as visitor:
            (card,) = visitor.upload({one.path.name: one.path.read_bytes()})
        return is_right(card, one)

    def state() -> dict[str, Any]:
        server.wait_until_quiet()
        return {
            "memory_mb": round(server.proportional(), 1),
            "processes": len(server.tree()),
            "descriptors": server.descriptors(),
        }

    for _ in range(WARM_UP):
        visit()
    before, began = state(), time.perf_counter()
    right = sum(visit() for _ in range(visitors))
    seconds = time.perf_counter() - began
    after = state()
    return {
        "visitors": visitors,
        "right": right,
        "seconds_a_visit": round(seconds / visitors, 2),
        "before": before,
        "after": after,
        "growth_percent": round(100 * (after["memory_mb"] / before["memory_mb"] - 1), 1),
    }
