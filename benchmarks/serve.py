"""Compare the page with one written as in tutorials (``benchmarks/plain``): speed and memory of visitors.

    python -m benchmarks.serve [--cells DIR] [--model export.pkl] [--rounds 5] [--answers 12] [--further 4]
                               [--visitors 20] [--pictures 5] [--series 200]

A headless Chromium opens both pages in turns, each time as a visitor with an empty cache, on servers at rest. The page
alone is then used by few visitors, whose memory is compared with small machines, by visitors who upload at the same
time, and by visitors who come one after another. These have no browser (:mod:`benchmarks.visitors`), because a machine
with two cores cannot run so many.
"""

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from benchmarks.browser import OURS, PLAIN, Look, TimedPage, chromium, open_pages
from benchmarks.chosen import spread
from benchmarks.crowd import PROJECT, Known, crowd, first_page, known_answers, on_a_small_machine, series
from benchmarks.memory import MemoryGroup
from benchmarks.processes import Server, running
from malaria_detect.data.nlm_cells import find_cells

PLAIN_FOLDER = Path(__file__).parent / "plain"
POOL = 1
# Visitors, and the MiB of a small machine that must serve them.
SMALL_MACHINES = {3: 512, 10: 1024}


@dataclass(frozen=True)
class Bar:
    """A measured value and its limit."""

    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def as_json(self) -> dict[str, Any]:
        """The bar as a JSON object for the report."""
        limits = {"at_least": self.at_least, "at_most": self.at_most}
        return {
            "value": round(self.value, 3),
            **{name: limit for name, limit in limits.items() if limit is not None},
            "met": self.met,
        }


def ours_command(pool: int, port: int) -> list[str]:
    """Command line of our server, with one worker."""
    return [
        *(sys.executable, "-m", "malaria_detect", "serve", "--host", "127.0.0.1"),
        *("--port", str(port), "--pool", str(pool), "--workers", "1"),
    ]


def plain_command(port: int) -> list[str]:
    """Command line of the plain page: Voila with its default settings."""
    voila = str(Path(sys.executable).with_name("voila"))
    return [voila, "plain.ipynb", "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"]


def median(values: Sequence[float]) -> float:
    """Median, rounded to a tenth."""
    return round(statistics.median(values), 1)


def usable(browser: Browser, servers: Mapping[str, tuple[Server, Look]], rounds: int) -> dict[str, float]:
    """Milliseconds until the page can be used; a first round does not count."""
    times: dict[str, list[float]] = {name: [] for name in servers}
    for _, (name, (server, look)) in itertools.product(range(rounds + 1), servers.items()):
        server.wait_until_quiet()
        page = TimedPage(browser, server.address, look)
        page.leave()
        server.wait_until_quiet()
        times[name].append(page.usable)
    return {name: median(values[1:]) for name, values in times.items()}


def answers(browser: Browser, ours: Server, plain: Server, paths: Sequence[Path]) -> dict[str, float]:
    """Milliseconds until the answer is visible; the first cell of each page does not count."""
    with (
        open_pages(browser, ours.address, OURS, 1) as (page,),
        open_pages(browser, plain.address, PLAIN, 1) as (plain_page,),
    ):
        ours.wait_until_quiet()
        plain.wait_until_quiet()
        pairs = [(page.ask(path), plain_page.ask(path)) for path in paths][1:]
    pressed = [other.from_press for _, other in pairs if other.from_press is not None]
    return {
        "ours": median([own.from_file for own, _ in pairs]),
        "plain": median([other.from_file for _, other in pairs]),
        "plain_from_press": median(pressed),
    }


def visitor_memory(
    browser: Browser, server: Server, look: Look, paths: Iterator[Path], further: int
) -> tuple[float, float]:
    """Megabytes, sums of PSS and of USS, for each further visitor with an open page and one answer.

    The first two visitors do not count: until another process runs, all memory of a kernel is its own.
    """
    with open_pages(browser, server.address, look, 2) as first:
        for page in first:
            page.ask(next(paths))
        server.wait_until_quiet()
        before = server.proportional(), server.private()
        with open_pages(browser, server.address, look, further) as more:
            for page in more:
                page.ask(next(paths))
            server.wait_until_quiet()
            after = server.proportional(), server.private()
    shared, own = (round((late - early) / further, 1) for late, early in zip(after, before, strict=True))
    return shared, own


def bars(found: Mapping[str, Any]) -> dict[str, Bar]:
    """Results and their limits; the ratio is that of the plain page to ours."""
    usable, answer, crowd, series = (found[name] for name in ("usable_ms", "answer_ms", "crowd", "series"))
    small = {
        f"{visit['visitors']}_visitors_{name}": bar
        for visit in found["small_machines"]
        for name, bar in (
            # Where nothing limits the memory, the sum of PSS shows whether it would suffice.
            ("memory_mb", Bar(visit["memory_mb"], at_most=round(visit["limit_mib"] * 2**20 / 1e6)))
            if visit["killed"] is None
            else ("killed", Bar(visit["killed"], at_most=0)),
            ("right", Bar(visit["right"], at_least=visit["visitors"])),
        )
    }
    return {
        "first_page_s": Bar(found["first_page_s"], at_most=4),
        "idle_mb": Bar(found["without_visitors_mb"], at_most=300),
        "visitor_mb": Bar(found["visitor_mb"]["ours"], at_most=60),
        **small,
        "usable_warm_ms": Bar(usable["warm"], at_most=1000),
        "usable_cold_ms": Bar(usable["cold"], at_most=1600),
        # Without the upload in the plain page's time: the harder comparison.
        "answer_ratio": Bar(answer["plain_from_press"] / answer["ours"], at_least=3),
        "crowd_right": Bar(crowd["right"], at_least=crowd["visitors"] * crowd["pictures"]),
        "crowd_answered_longest_s": Bar(crowd["answered_longest_s"], at_most=5),
        "series_right": Bar(series["right"], at_least=series["visitors"]),
        "series_growth_percent": Bar(series["growth_percent"], at_most=10),
    }


def ours(pool: int = POOL, group: MemoryGroup | None = None) -> AbstractContextManager[Server]:
    """Our server, with one worker, in a group with limited memory or without one."""
    return running(lambda port: (group.within if group else list)(ours_command(pool, port)), PROJECT)


def measure_pages(options: argparse.Namespace, paths: Sequence[Path]) -> dict[str, Any]:
    """Measure our page and the plain one in a browser."""
    one_more = itertools.cycle(paths)
    with ExitStack() as stack:
        browser = stack.enter_context(chromium())
        warm = stack.enter_context(ours())
        plain = stack.enter_context(running(plain_command, PLAIN_FOLDER))
        with ours(0) as cold:
            servers = {"warm": (warm, OURS), "cold": (cold, OURS), "plain": (plain, PLAIN)}
            usable_ms = usable(browser, servers, options.rounds)
        print("page usable after, ms:", usable_ms, flush=True)
        answer_ms = answers(browser, warm, plain, paths[: options.answers + 1])
        print("answer after, ms:", answer_ms, flush=True)
        memory = {
            name: visitor_memory(browser, server, look, one_more, options.further)
            for name, (server, look) in {"ours": (warm, OURS), "plain": (plain, PLAIN)}.items()
        }
        print("memory of a further visitor, MB (PSS, USS):", memory, flush=True)
    visitor_mb, private_mb = ({name: found[kind] for name, found in memory.items()} for kind in (0, 1))
    return {
        "usable_ms": usable_ms,
        "answer_ms": answer_ms,
        "visitor_mb": visitor_mb,
        "private_mb": private_mb,
    }


def measure_visitors(options: argparse.Namespace, known: Sequence[Known]) -> dict[str, Any]:
    """Measure our server with visitors without a browser."""
    first_page_s = first_page(ours)
    print("first page after, s:", first_page_s, flush=True)
    small_machines = []
    for visitors, mebibytes in SMALL_MACHINES.items():
        small_machines.append(
            on_a_small_machine(lambda group: ours(group=group), known[:visitors], mebibytes)
        )
        print(f"{mebibytes} MiB:", small_machines[-1], flush=True)
    with ours() as server:
        server.wait_until_quiet()
        idle_mb = round(server.proportional(), 1)
        print("idle server, MB:", idle_mb, flush=True)
        at_once = crowd(server, known, options.visitors, options.pictures)
        print("visitors at the same time:", at_once, flush=True)
        one_by_one = series(server, known, options.series)
        print("visitors one after another:", one_by_one, flush=True)
    return {
        "first_page_s": first_page_s,
        "without_visitors_mb": idle_mb,
        "small_machines": small_machines,
        "crowd": at_once,
        "series": one_by_one,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    every = [cell.path for cell in find_cells(options.cells).cells]
    wanted = max(options.visitors * options.pictures, *SMALL_MACHINES)
    paths = spread(every * -(-wanted // len(every)), wanted)
    known = known_answers(paths, options.model)
    return {
        "pool": POOL,
        **{name: getattr(options, name) for name in ("rounds", "answers", "further")},
        **measure_visitors(options, known),
        **measure_pages(options, paths),
    }


def main() -> None:
    """Measure, print all values with their limits, and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--model", type=Path, default=PROJECT / "export.pkl")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--answers", type=int, default=12)
    parser.add_argument("--further", type=int, default=4)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--series", type=int, default=200)
    found = measure(parser.parse_args())
    reached = bars(found)
    for name, bar in reached.items():
        print(f"{name:>26}: {json.dumps(bar.as_json())}")
    # Imported here, because it imports torch, whose libraries would be shared with the measured servers.
    from benchmarks.results import write

    write("serve-speed.json", {**found, "bars": {name: bar.as_json() for name, bar in reached.items()}})


if __name__ == "__main__":
    main()
