"""What the measurement of serving concludes from what it measures; the measuring itself is `make bench-serve`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.crowd import Known, is_right
from benchmarks.processes import REST_SECONDS, Load, at_rest
from benchmarks.serve import Bar, bars
from benchmarks.visitors import Card

PROJECT = Path(__file__).resolve().parents[2]
SMALL: list[dict[str, Any]] = [
    {"visitors": 3, "limit_mib": 512, "right": 3, "memory_mb": 580.0, "killed": 0},
    {"visitors": 10, "limit_mib": 1024, "right": 10, "memory_mb": 900.0, "killed": None},
]
GOOD: dict[str, Any] = {
    "first_page_s": 3.5,
    "without_visitors_mb": 290.0,
    "visitor_mb": {"ours": 50.0, "plain": 500.0},
    "small_machines": SMALL,
    "usable_ms": {"warm": 800.0, "cold": 1500.0, "plain": 5000.0},
    "answer_ms": {"ours": 50.0, "plain": 250.0, "plain_from_press": 200.0},
    "crowd": {"visitors": 20, "pictures": 5, "right": 100, "answered_longest_s": 3.0, "memory_mb": 1400},
    "series": {"visitors": 200, "right": 200, "growth_percent": -1.5},
}
SPOILT: list[tuple[str, dict[str, Any]]] = [
    ("first_page_s", {"first_page_s": 4.1}),
    ("idle_mb", {"without_visitors_mb": 301.0}),
    ("visitor_mb", {"visitor_mb": {"ours": 61.0, "plain": 500.0}}),
    ("3_visitors_killed", {"small_machines": [SMALL[0] | {"killed": 1}, SMALL[1]]}),
    ("3_visitors_right", {"small_machines": [SMALL[0] | {"right": 2}, SMALL[1]]}),
    ("10_visitors_memory_mb", {"small_machines": [SMALL[0], SMALL[1] | {"memory_mb": 1075.0}]}),
    ("10_visitors_right", {"small_machines": [SMALL[0], SMALL[1] | {"right": 9}]}),
    ("usable_warm_ms", {"usable_ms": GOOD["usable_ms"] | {"warm": 1001.0}}),
    ("usable_cold_ms", {"usable_ms": GOOD["usable_ms"] | {"cold": 1601.0}}),
    ("answer_ratio", {"answer_ms": GOOD["answer_ms"] | {"plain_from_press": 149.0}}),
    ("crowd_right", {"crowd": GOOD["crowd"] | {"right": 99}}),
    ("crowd_answered_longest_s", {"crowd": GOOD["crowd"] | {"answered_longest_s": 5.01}}),
    ("series_right", {"series": GOOD["series"] | {"right": 199}}),
    ("series_growth_percent", {"series": GOOD["series"] | {"growth_percent": 10.1}}),
]


def test_every_bar_is_met_by_figures_that_are_good_enough() -> None:
    reached = bars(GOOD)
    assert {name for name, _ in SPOILT} == set(reached)
    assert all(bar.met for bar in reached.values())
    assert Bar(8, at_least=8).met
    assert Bar(10, at_most=10).met


@pytest.mark.parametrize(("name", "spoilt"), SPOILT)
def test_a_figure_that_is_too_bad_misses_its_bar(name: str, spoilt: dict[str, Any]) -> None:
    assert not bars(GOOD | spoilt)[name].met


def test_an_answer_is_right_where_decision_and_probability_are() -> None:
    known = Known(Path("a.png"), "parasitized", 0.9)
    assert is_right(Card("a.png", "parasitized", 0.904), known)
    for kind, probability in (("parasitized", 0.906), ("uninfected", 0.9), ("refused", None)):
        assert not is_right(Card("a.png", kind, probability), known)


def test_a_server_is_at_rest_when_it_neither_works_nor_starts_nor_ends_anything() -> None:
    some, more = frozenset({1, 2}), frozenset({1, 2, 3})
    late = REST_SECONDS + 0.1
    assert at_rest([Load(0, some, 0), Load(late / 2, some, 0), Load(late, some, 0.01)])
    assert not at_rest([Load(0, some, 0), Load(REST_SECONDS - 0.1, some, 0)])
    assert not at_rest([Load(0, some, 0), Load(late, some, late)])
    # A kernel that came and went within the time.
    assert not at_rest([Load(0, some, 0), Load(late / 2, more, 0), Load(late, some, 0.01)])
    # What was before the last seconds does not matter.
    assert at_rest([Load(0, more, 0), Load(1, some, 9), Load(1 + late, some, 9.01)])


def test_the_measuring_process_maps_no_torch_whose_memory_it_would_share_with_the_server() -> None:
    code = "import sys, benchmarks.serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
