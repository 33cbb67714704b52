"""The operating point: one choice, known ones only, and what each of them gave."""

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


def test_an_unknown_operating_point_is_ignored_from_the_browser_and_an_error_in_python() -> None:
    choice = OperatingPointChoice(METADATA)
    for name in ("", "unknown", None, 3, ["counting"]):
        hear(choice, type="choose", name=name)
    with pytest.raises(traitlets.TraitError, match="screening, balanced, counting"):
        choice.chosen = "sure"
    assert choice.chosen == "balanced"


def test_each_shows_threshold_and_error_rates_on_test_patients() -> None:
    shown = OperatingPointChoice(METADATA).points
    assert [one["title"] for one in shown] == ["Screening", "Balanced", "Counting"]
    assert [one["threshold"].split("\N{NO-BREAK SPACE}")[0] for one in shown] == ["20.0", "40.0", "80.0"]
    for one, point in zip(shown, METADATA.operating_points, strict=True):
        scores = point.test
        assert one["missed"] == format_percent(scores.false_negative / scores.parasitized)
        assert one["alarms"] == format_percent(scores.false_positive / (scores.cells - scores.parasitized))
