"""The operating point: one choice, known ones only, and what each of them gave."""

from typing import Any

import pytest
import traitlets

from malaria_detect.app.widgets import OperatingPointChoice
from malaria_detect.inference.metadata import ModelMetadata


def choose(choice: OperatingPointChoice, name: Any) -> None:
    """What the comm hands on when a visitor has chosen."""
    choice._handle_custom_msg({"type": "choose", "name": name}, [])


def test_it_begins_with_the_metadata_default(metadata: ModelMetadata) -> None:
    choice = OperatingPointChoice(metadata)
    assert (choice.chosen, choice.point) == ("balanced", metadata.point())


def test_a_choice_is_told_to_all_who_look_at_it(metadata: ModelMetadata) -> None:
    choice = OperatingPointChoice(metadata)
    seen: list[str] = []
    for _ in range(2):
        choice.observe(lambda _: seen.append(choice.point.name), "chosen")
    for name in ("counting", "counting", "screening"):
        choose(choice, name)
    assert seen == ["counting"] * 2 + ["screening"] * 2


@pytest.mark.parametrize("name", ["", "unknown", None, 3, ["counting"]])
def test_what_no_browser_of_ours_sends_changes_nothing(name: Any, metadata: ModelMetadata) -> None:
    choice = OperatingPointChoice(metadata)
    choose(choice, name)
    assert choice.chosen == "balanced"


def test_an_unknown_operating_point_is_an_error_that_names_the_known_ones(metadata: ModelMetadata) -> None:
    with pytest.raises(traitlets.TraitError, match="Choose one of screening, balanced, counting"):
        OperatingPointChoice(metadata).chosen = "sure"


def test_each_shows_threshold_and_error_rates_on_test_patients(metadata: ModelMetadata) -> None:
    shown = OperatingPointChoice(metadata).points
    assert [one["title"] for one in shown] == ["Screening", "Balanced", "Counting"]
    for one, point in zip(shown, metadata.operating_points, strict=True):
        missed = point.test.false_negative / point.test.parasitized
        assert one["missed"] == f"{100 * missed:.1f}\N{NO-BREAK SPACE}%"
    assert [one["threshold"].split("\N{NO-BREAK SPACE}")[0] for one in shown] == ["20.0", "40.0", "80.0"]
    assert shown[2]["alarms"] == "0\N{NO-BREAK SPACE}%"
