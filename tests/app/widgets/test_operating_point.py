"""The operating point: one choice, known ones only, and what each of them gave."""

from typing import Any

import pytest
import traitlets

from malaria_detect.app.widgets import OperatingPointChoice
from malaria_detect.metrics.formatting import format_percent
from tests.app.widgets.fakes import METADATA, hear


def test_a_choice_begins_with_the_default_and_is_told_to_all_who_look_at_it() -> None:
    choice = OperatingPointChoice(METADATA)
    assert choice.point == METADATA.point()
    seen: list[str] = []
    for _ in range(2):
        choice.observe(lambda _: seen.append(choice.point.name), "chosen")
    for name in ("counting", "counting", "screening"):
        hear(choice, type="choose", name=name)
    assert seen == ["counting"] * 2 + ["screening"] * 2


@pytest.mark.parametrize("name", ["", "unknown", None, 3, ["counting"]])
def test_an_unknown_choice_of_the_browser_changes_nothing(name: Any) -> None:
    choice = OperatingPointChoice(METADATA)
    hear(choice, type="choose", name=name)
    assert choice.chosen == "balanced"


def test_an_unknown_operating_point_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(traitlets.TraitError, match="screening, balanced, counting"):
        OperatingPointChoice(METADATA).chosen = "sure"


def test_each_shows_threshold_and_error_rates_on_test_patients() -> None:
    shown = OperatingPointChoice(METADATA).points
    assert [one["title"] for one in shown] == ["Screening", "Balanced", "Counting"]
    assert [one["threshold"].split("\N{NO-BREAK SPACE}")[0] for one in shown] == ["20.0", "40.0", "80.0"]
    for one, point in zip(shown, METADATA.operating_points, strict=True):
        scores = point.test
        assert one["missed"] == format_percent(scores.false_negative / scores.parasitized)
        assert one["alarms"] == format_percent(scores.false_positive / (scores.cells - scores.parasitized))
