"""Cards: what the browser is sent for each result, and what is forgotten."""

import base64
import json
import re
from dataclasses import replace

import pytest

from malaria_detect.app.results_table import COLUMNS
from malaria_detect.app.widgets.cards import CellCards, card
from malaria_detect.app.widgets.results import Result
from malaria_detect.inference.prediction import Refusal
from tests.app.widgets.fakes import METADATA, Messages, hear, of_type, prediction, red_png, saved

POINT = METADATA.point()
REFUSED = Result("b.png", Refusal("The file is empty.", "empty"), b"")


def result(probability: float, name: str = "a.png", label: str | None = None, warning: str = "") -> Result:
    answer = prediction(probability, METADATA, warnings=(warning,) if warning else ())
    return Result(name, answer, red_png(200), label)


@pytest.fixture
def cards() -> CellCards:
    return CellCards(METADATA)


@pytest.mark.parametrize(("probability", "kind"), [(0.97, "parasitized"), (0.03, "uninfected")])
def test_a_card_says_what_the_model_saw_and_nothing_of_a_patient(probability: float, kind: str) -> None:
    name = "<img src=x onerror=alert(1)>.png"  # the browser writes it as text
    content = card(result(probability, name), POINT)
    assert (content["kind"], content["name"], content["uncertain"]) == (kind, name, False)
    (first, _, words, exact), (second, *_) = content["bars"]
    assert (first, second) == ("Parasitized", "Uninfected")
    assert exact == probability
    assert words == f"{probability:.1%}".replace("%", "\N{NO-BREAK SPACE}%")
    assert not {"positive", "negative", "healthy"} & set(json.dumps(content).lower().split())


def test_doubt_and_warnings_are_notes_on_the_card() -> None:
    content = card(result(0.6, warning="This picture is large."), POINT)
    assert content["uncertain"]
    assert "90.0" in content["notes"][0]
    assert content["notes"][1:] == ["This picture is large."]


def test_a_cell_without_colour_is_for_review_however_probable_its_class_is() -> None:
    certain = prediction(0.01, METADATA, warnings=("No colour.",))
    content = card(Result("grey.png", replace(certain, poor_quality=True), b""), POINT)
    assert content["uncertain"]
    assert content["notes"] == ["No colour."]


@pytest.mark.parametrize(
    ("probability", "point"), [(0.45, "balanced"), (0.25, "screening"), (0.75, "counting")]
)
def test_a_decision_against_the_more_probable_class_is_explained(probability: float, point: str) -> None:
    content = card(result(probability).at(METADATA.point(point)), METADATA.point(point))
    assert content["notes"][0].startswith(f"Called {content['kind']} at the operating point “{point}”")
    assert "is more probable" in content["notes"][0]
    assert content["uncertain"]


def test_details_have_the_threshold_and_the_probability_before_calibration() -> None:
    details = dict(card(result(0.9), POINT)["details"])
    assert details["Image size"] == "120 × 130 px"
    assert details["Operating point"] == "balanced (threshold 40.0\N{NO-BREAK SPACE}%)"
    assert details["Probability of parasitized"] == "0.900000"
    # The logistic function of 1.25 times the log-odds of 0.9.
    assert details["Before calibration"] == "0.939717"


def test_a_refused_image_has_the_reason_and_no_bars() -> None:
    content = card(REFUSED, POINT)
    assert (content["kind"], content["bars"], content["details"]) == ("refused", [], [])
    assert content["notes"] == ["The file is empty."]


def test_a_published_label_is_compared_with_the_decision() -> None:
    agrees, disagrees, unknown = (
        card(result(0.9, label=label), POINT)["agrees"] for label in ("Parasitized", "Uninfected", None)
    )
    assert "agrees" in agrees
    assert "disagrees" in disagrees
    assert unknown == ""


def test_a_later_view_gets_all_cards_until_they_are_cleared(cards: CellCards, told: Messages) -> None:
    for _ in range(2):
        cards.add(result(0.9, "secret-name.png"))
    cards.progress(2, 2)
    assert not {"secret", "PNG"} & set(re.findall(r"\w+", saved(cards)))
    before = list(told)
    told.clear()
    hear(cards, type="hello")
    assert of_type(told, "card") == of_type(before, "card")
    assert told[-1] == before[-1]
    assert [one["id"] for one in of_type(told, "card")] == [0, 1]
    assert told[0]["buffers"] == [red_png(200)]
    hear(cards, type="clear")
    assert cards.results == []
    assert [message["type"] for message in told[-2:]] == ["clear", "state"]
    cards.add(result(0.9))
    assert told[-1]["id"] == 2  # no number is used twice


def test_summary_and_meaning_for_a_slide_wait_for_the_last_image(cards: CellCards, told: Messages) -> None:
    told.clear()
    for done in range(3):
        if done:
            cards.add(result(0.9))
        cards.progress(done, 2)
    first, second, last = of_type(told, "state")
    assert first["sentence"] == second["sentence"] != last["sentence"]
    assert [bool(state["slide"]) for state in (first, second, last)] == [False, False, True]
    assert last["sentence"].startswith("2 of 2 cells")


@pytest.mark.parametrize(("point", "parasitized"), [("screening", 3), ("balanced", 2), ("counting", 1)])
def test_another_operating_point_decides_again(
    point: str, parasitized: int, cards: CellCards, told: Messages
) -> None:
    for one in (result(0.3), result(0.6), result(0.9), REFUSED):
        cards.add(one)
    cards.progress(4, 4)
    told.clear()
    cards.decide(METADATA.point(point))
    decided, state = told
    assert (decided["type"], state["type"]) == ("decided", "state")
    assert [one["id"] for one in decided["cards"]] == [0, 1, 2, 3]
    assert "buffers" not in decided  # pictures are in the browser already
    kinds = [one["kind"] for one in decided["cards"]]
    assert (kinds.count("parasitized"), kinds[3]) == (parasitized, "refused")
    assert state["sentence"].startswith(f"{parasitized} of 3 cells")
    assert state["slide"][0].startswith(f"{parasitized} of 3 cells")
    assert f"“{point}”" in state["caution"]
    cards.add(result(0.6))
    assert told[-1]["kind"] == ("uninfected" if point == "counting" else "parasitized")


def test_csv_and_report_come_as_messages_with_what_is_on_the_cards(cards: CellCards, told: Messages) -> None:
    cards.add(result(0.6))
    cards.decide(METADATA.point("counting"))
    hear(cards, type="csv")
    assert told[-1]["name"] == "malaria_detect_results.csv"
    head, row, end = told[-1]["text"].split("\r\n")
    values = dict(zip(head.split(","), row.split(","), strict=True))
    assert (tuple(values), end) == (COLUMNS, "")
    shown = ("path", "decision", "probability_parasitized", "operating_point")
    assert [values[name] for name in shown] == ["a.png", "Uninfected", "0.6", "counting"]
    hear(cards, type="report")
    assert (told[-1]["type"], told[-1]["name"]) == ("report", "malaria_detect_report.html")
    (report,) = told[-1]["buffers"]
    assert "counting" in report.decode()
    assert base64.b64encode(red_png(200)).decode() in report.decode()
