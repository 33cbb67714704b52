"""Cards: what the browser is told of each result, and what is forgotten."""

import base64
import json
from typing import Any

import pytest

from malaria_detect.app.results_table import COLUMNS
from malaria_detect.app.widgets.cards import CellCards, card
from malaria_detect.app.widgets.results import Result
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Refusal
from tests.app.widgets.fakes import grey_png, made_up_metadata, prediction

POINT = made_up_metadata().point()


def result(probability: float, name: str = "a.png", **more: Any) -> Result:
    answer = prediction(probability, made_up_metadata(), warnings=more.pop("warnings", ()))
    return Result(name, answer, b"\x89PNG picture", **more)


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
    content = card(result(probability), POINT)
    assert (content["kind"], content["verdict"]) == (kind, verdict)
    (first, _, words, exact), (second, *_) = content["bars"]
    assert (first, second) == ("Parasitized", "Uninfected")
    assert exact == probability
    assert words == f"{probability:.1%}".replace("%", "\N{NO-BREAK SPACE}%")
    assert not {"positive", "negative", "healthy"} & set(json.dumps(content).lower().split())


def test_a_probability_that_is_rounded_to_one_is_not_called_certain() -> None:
    (_, _, parasitized, _), (_, _, uninfected, _) = card(result(1.0), POINT)["bars"]
    assert (parasitized[0], uninfected[0]) == (">", "<")


def test_doubt_and_warnings_stand_on_the_card() -> None:
    content = card(result(0.6, warnings=("This picture is large.",)), POINT)
    assert content["uncertain"]
    assert "less than 90.0" in content["notes"][0]
    assert content["notes"][1:] == ["This picture is large."]


@pytest.mark.parametrize(
    ("probability", "point", "start"),
    [
        (0.45, "balanced", "Called parasitized at the operating point “balanced”"),
        (0.25, "screening", "Called parasitized at the operating point “screening”"),
        (0.75, "counting", "Called uninfected at the operating point “counting”"),
    ],
)
def test_a_decision_against_the_more_probable_class_is_explained(
    probability: float, point: str, start: str, metadata: ModelMetadata
) -> None:
    content = card(result(probability).at(metadata.point(point)), metadata.point(point))
    assert content["notes"][0].startswith(start)
    assert "is more probable" in content["notes"][0]
    assert content["uncertain"]


def test_details_have_the_threshold_and_the_probability_before_calibration() -> None:
    details = dict(card(result(0.9), POINT)["details"])
    assert details["Image size"] == "120 × 130 px"
    assert details["Operating point"] == "balanced (threshold 40.0\N{NO-BREAK SPACE}%)"
    assert details["Probability of parasitized"] == "0.900000"
    # The logistic function of 1.25 times the log-odds of 0.9.
    assert details["Before calibration"] == "0.939717"


def test_a_refused_picture_has_the_reason_and_no_bars() -> None:
    content = card(Result("a.png", Refusal("The file is empty."), b""), POINT)
    assert (content["kind"], content["bars"], content["notes"]) == ("refused", [], ["The file is empty."])
    assert content["details"] == []


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Parasitized", "The model agrees."),
        ("Uninfected", "The model disagrees. Labels can be wrong, too."),
    ],
)
def test_a_published_label_is_compared_with_the_decision(label: str, words: str) -> None:
    assert card(result(0.9, label=label), POINT)["agrees"] == words
    assert card(result(0.9), POINT)["agrees"] == ""


def test_names_go_to_the_browser_as_they_are_which_writes_them_as_text() -> None:
    name = "<img src=x onerror=alert(1)>.png"
    assert card(result(0.9, name), POINT)["name"] == name


def test_a_view_that_is_opened_later_gets_everything_again(told: list[dict[str, Any]]) -> None:
    cards = CellCards(made_up_metadata())
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
    cards = CellCards(made_up_metadata())
    cards.add(result(0.9))
    hear(cards, "clear")
    assert cards.results == []
    assert [message["type"] for message in told[-2:]] == ["clear", "state"]
    cards.add(result(0.9))
    assert told[-1]["id"] == 1


def test_the_sentence_changes_at_the_start_and_at_the_end_only(told: list[dict[str, Any]]) -> None:
    cards = CellCards(made_up_metadata())
    told.clear()
    for done in range(3):
        if done:
            cards.add(result(0.9))
        cards.progress(done, 2)
    sentences = [message["sentence"] for message in of_type(told, "state")]
    assert sentences == [
        "Checking the images …",
        "Checking the images …",
        "2 of 2 cells look parasitized.",
    ]


def test_another_operating_point_decides_everything_anew_in_one_message(
    told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    cards = CellCards(metadata)
    for probability in (0.3, 0.6, 0.9):
        cards.add(result(probability))
    cards.add(Result("b.png", Refusal("The file is empty."), b""))
    cards.progress(4, 4)
    seen = []
    for name in ("screening", "balanced", "counting"):
        told.clear()
        cards.decide(metadata.point(name))
        decided, state = told
        assert (decided["type"], state["type"]) == ("decided", "state")
        assert [one["id"] for one in decided["cards"]] == [0, 1, 2, 3]
        assert "buffers" not in decided  # pictures are in the browser already
        assert f"“{name}”" in state["caution"]
        kinds = [one["kind"] for one in decided["cards"]]
        assert kinds[3] == "refused"
        seen.append((kinds[:3].count("parasitized"), state["sentence"], state["slide"][0]))
    assert seen == [
        (
            number,
            f"{number} of 3 cells {look} parasitized. 1 image could not be checked.",
            f"{number} of 3 cells {were} called parasitized: {share}\N{NO-BREAK SPACE}%.",
        )
        for number, look, were, share in (
            (3, "look", "were", 100),
            (2, "look", "were", 66.7),
            (1, "looks", "was", 33.3),
        )
    ]


def test_a_result_that_comes_later_is_decided_at_the_chosen_operating_point(
    told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    cards = CellCards(metadata)
    cards.decide(metadata.point("counting"))
    cards.add(result(0.6))
    assert (told[-1]["type"], told[-1]["kind"]) == ("card", "uninfected")


def test_what_it_means_for_a_slide_waits_for_the_last_picture(told: list[dict[str, Any]]) -> None:
    cards = CellCards(made_up_metadata())
    cards.add(result(0.9))
    cards.progress(1, 2)
    assert told[-1]["slide"] == []
    cards.progress(2, 2)
    assert told[-1]["slide"][0].startswith("1 of 1 cell was called parasitized")


def test_csv_comes_as_a_message(told: list[dict[str, Any]], metadata: ModelMetadata) -> None:
    cards = CellCards(metadata)
    cards.add(result(0.9))
    cards.decide(metadata.point("counting"))
    hear(cards, "csv")
    assert told[-1]["name"] == "malaria_detect_results.csv"
    head, row, end = told[-1]["text"].split("\r\n")
    values = dict(zip(head.split(","), row.split(","), strict=True))
    assert (tuple(values), end) == (COLUMNS, "")
    assert values["path"] == "a.png"
    assert (values["decision"], values["probability_parasitized"]) == ("Parasitized", "0.9")
    assert values["operating_point"] == "counting"


def test_the_report_comes_as_a_message_with_what_stands_on_the_cards(
    told: list[dict[str, Any]], metadata: ModelMetadata
) -> None:
    cards = CellCards(metadata)
    answer = prediction(0.6, metadata)
    cards.add(Result("a.png", answer, grey_png(200)))
    cards.decide(metadata.point("counting"))
    hear(cards, "report")
    assert (told[-1]["type"], told[-1]["name"]) == ("report", "malaria_detect_report.html")
    (report,) = told[-1]["buffers"]
    text = report.decode()
    assert "Operating point: counting" in text
    assert "0 of 1 cell looks parasitized." in text
    assert base64.b64encode(grey_png(200)).decode() in text


def test_a_saved_notebook_would_hold_neither_pictures_nor_names() -> None:
    cards = CellCards(made_up_metadata())
    cards.add(result(0.9, "secret-name.png"))
    state = json.dumps(cards.get_state(drop_defaults=False), default=str)
    assert "secret" not in state
    assert "PNG picture" not in state
