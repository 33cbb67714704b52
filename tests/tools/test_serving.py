"""What the report says of serving: the machine that visitors need, and the plain page beside ours."""

import copy
import re
from typing import Any

import pytest
from tools.model_card.serving import beside_plain, sizing, visitors_in

from tests.tools.records import SERVE_REPORT as REPORT
from tools.model_card import ReportError


def changed(part: str, figure: str, value: float) -> dict[str, Any]:
    report = copy.deepcopy(REPORT)
    report[part][figure] = value
    return report


def test_the_table_says_for_how_many_visitors_a_machine_is_large_enough() -> None:
    said = sizing(REPORT)
    # 50 MB a visitor while all upload, which is more than what stays of each.
    assert "each visitor adds 50 MB" in said
    rows = dict(re.findall(r"^\| (\S+) MiB +\| (.*?) +\|$", said, re.MULTILINE))
    assert rows == {
        "512": "too small",
        "1,024": str(visitors_in(1024, 600, 50)),
        "2,048": "26",
        "4,096": "65",
    }
    for figure in ("600 MB", "1,600 MB", "3.21 s", "20 visitors", "200 visitors", "1.5 % less", "2026-01-31"):
        assert figure in said


def test_a_visitor_counts_with_what_its_process_keeps_where_that_is_more() -> None:
    assert "each visitor adds 70 MB" in sizing(changed("private_mb", "ours", 69.5))


@pytest.mark.parametrize(
    ("growth", "said"), [(2.5, "2.5 % more"), (-2.5, "2.5 % less"), (0.0, "as much memory")]
)
def test_memory_after_many_visitors_is_more_or_less_or_the_same(growth: float, said: str) -> None:
    assert said in sizing(changed("series", "growth_percent", growth))


def test_the_plain_page_stands_beside_ours_with_ratios() -> None:
    said = beside_plain(REPORT)
    assert [re.split(r" *\| *", line)[1:-1] for line in said.splitlines()[2:6]] == [
        ["private memory of a further visitor", "500 MB", "40 MB", "12.5"],
        ["page usable, a session kept ready", "5.00 s", "0.80 s", "6.2"],
        ["page usable, no session ready", "5.00 s", "2.00 s", "2.5"],
        ["from click to answer", "200 ms", "50 ms", "4.0"],
    ]
    assert "abacus" in said


@pytest.mark.parametrize("part", ["crowd", "private_mb", "machine"])
def test_a_report_that_lacks_a_figure_is_refused(part: str) -> None:
    report = {name: value for name, value in REPORT.items() if name != part}
    with pytest.raises(ReportError, match=r"serve-speed\.json"):
        sizing(report)
    if part != "crowd":
        with pytest.raises(ReportError, match=r"serve-speed\.json"):
            beside_plain(report)


def test_what_was_aimed_at_and_not_reached_is_said() -> None:
    said = beside_plain(REPORT)
    assert "Not reached: memory of everything with them, MB 1600 (aim: 1500)." in said
    reached = copy.deepcopy(REPORT)
    reached["bars"]["crowd_memory_mb"]["met"] = True
    assert "Not reached" not in beside_plain(reached)
