"""Cards: what the browser is told of each result, and what is forgotten."""

import json
from typing import Any

import pytest

from malaria_detect.detector import Prediction, Refusal
from malaria_detect.widgets.cards import CellCards, card
from malaria_detect.widgets.results import Result


def result(probability: float, name: str = "a.png", threshold: float = 0.5, **more: Any) -> Result:
    prediction = Prediction(
        label="Parasitized" if probability >= 0.5 else "Uninfected",
        decision="Parasitized" if probability >= threshold else "Uninfected",
        probabilities={"Parasitized": probability, "Uninfected": 1 - probability},
        image_size=(120, 130),
        warnings=more.pop("warnings", ()),
    )
    return Result(name, prediction, b"\x89PNG picture", **more)


def hear(cards: CellCards, kind: str) -> None:
    cards._handle_custom_msg({"type": kind}, [])


def of_type(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


@pytest.mark.parametrize(
    ("probability", "kind", "verdict"),
    [
        (0.97, "parasitized", "Looks parasitized"),
        (0.03, "uninfected", "No parasite found by the model"),
    ],
)
def test_a_card_says_what_the_model_saw_and_nothing_of_a_patient(
    probability: float, kind: str, verdict: str
) -> None:
    content = card(result(probability))
    assert (content["kind"], content["verdict"], content["size"]) == (kind, verdict, "120 × 130 px")
    (first, _, words, exact), (second, *_) = content["bars"]
    assert (first, second) == ("Parasitized", "Uninfected")
    assert exact == probability
    assert words == f"{probability:.1%}".replace("%", "\N{NO-BREAK SPACE}%")
    assert not {"positive", "negative", "healthy"} & set(json.dumps(content).lower().split())


def test_a_probability_that_is_rounded_to_one_is_not_called_certain() -> None:
    (_, _, parasitized, _), (_, _, uninfected, _) = card(result(1.0))["bars"]
    assert (parasitized[0], uninfected[0]) == (">", "<")


def test_doubt_and_warnings_stand_on_the_card() -> None:
    content = card(result(0.6, warnings=("This picture is large.",)))
    assert content["doubtful"]
    assert content["notes"] == [
        "The model is less than 90\N{NO-BREAK SPACE}% sure: look at this cell yourself.",
        "This picture is large.",
    ]


@pytest.mark.parametrize(
    ("probability", "threshold", "start"),
    [(0.45, 0.4, "Called parasitized though"), (0.55, 0.6, "Called uninfected though")],
)
def test_a_decision_against_the_more_probable_class_is_explained(
    probability: float, threshold: float, start: str
) -> None:
    content = card(result(probability, threshold=threshold))
    assert content["notes"][0].startswith(start)
    assert content["doubtful"]


def test_a_refused_picture_has_the_reason_and_no_bars() -> None:
    content = card(Result("a.png", Refusal("The file is empty."), b""))
    assert (content["kind"], content["bars"], content["notes"]) == ("refused", [], ["The file is empty."])


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Parasitized", "The model says the same."),
        ("Uninfected", "The model says otherwise. Labels can be wrong, too."),
    ],
)
def test_a_published_label_is_compared_with_the_decision(label: str, words: str) -> None:
    assert card(result(0.9, label=label))["agrees"] == words
    assert card(result(0.9))["agrees"] == ""


def test_names_go_to_the_browser_as_they_are_which_writes_them_as_text() -> None:
    name = "<img src=x onerror=alert(1)>.png"
    assert card(result(0.9, name))["name"] == name


def test_a_view_that_is_opened_later_gets_everything_again(told: list[dict[str, Any]]) -> None:
    cards = CellCards()
    for name in ("a.png", "a.png"):
        cards.add(result(0.9, name))
    cards.progress(2, 2)
    before = list(told)
    told.clear()
    hear(cards, "hello")
    assert of_type(told, "card") == of_type(before, "card")
    assert told[-1] == before[-1]
    assert [one["id"] for one in of_type(told, "card")] == [0, 1]
    assert told[0]["buffers"] == [b"\x89PNG picture"]


def test_clear_forgets_all_and_never_uses_a_number_twice(told: list[dict[str, Any]]) -> None:
    cards = CellCards()
    cards.add(result(0.9))
    hear(cards, "clear")
    assert cards.results == []
    assert [message["type"] for message in told[-2:]] == ["clear", "state"]
    cards.add(result(0.9))
    assert told[-1]["id"] == 1


def test_the_sentence_changes_at_the_start_and_at_the_end_only(told: list[dict[str, Any]]) -> None:
    cards = CellCards()
    told.clear()
    for done in range(3):
        if done:
            cards.add(result(0.9))
        cards.progress(done, 2)
    sentences = [message["sentence"] for message in of_type(told, "state")]
    assert sentences == [
        "Checking the pictures …",
        "Checking the pictures …",
        "2 of 2 cells look parasitized.",
    ]


def test_csv_comes_as_a_message(told: list[dict[str, Any]]) -> None:
    cards = CellCards()
    cards.add(result(0.9))
    hear(cards, "csv")
    assert told[-1] == {
        "type": "csv",
        "name": "malaria_detect_results.csv",
        "text": "path,label,probability_parasitized,error\r\na.png,Parasitized,0.9,\r\n",
    }


def test_a_saved_notebook_would_hold_neither_pictures_nor_names() -> None:
    cards = CellCards()
    cards.add(result(0.9, "secret-name.png"))
    state = json.dumps(cards.get_state(drop_defaults=False), default=str)
    assert "secret" not in state
    assert "PNG picture" not in state
