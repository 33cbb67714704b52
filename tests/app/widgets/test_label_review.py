"""The label review: what the browser is told and when, and a file that has every verdict at once."""

import io
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

from malaria_detect.app.widgets.base import STYLE
from malaria_detect.app.widgets.label_review import PAGE, SHOWN_SIDE, LabelReview
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.corrections import Correction, append_corrections, read_corrections
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.evaluation.cross_validation import HeldOut, write_held_out
from malaria_detect.evaluation.label_issues import CandidateError, rank_label_errors
from malaria_detect.inference.metadata import RESEARCH_USE

PROJECT = Path(__file__).resolve().parents[3]
PARASITIZED, UNINFECTED = CLASSES


def predictions(cells: tuple[Cell, ...]) -> HeldOut:
    """Made-up predictions, the same at every call: every tenth label is contradicted."""
    groups = [cell.group for cell in cells]
    labels = tuple(cell.label for cell in cells)
    believed = [(0.001 * place if place % 10 == 0 else 0.9 + 0.001 * place) for place in range(len(cells))]
    return HeldOut(
        tuple(cell.path.name for cell in cells),
        tuple(groups),
        tuple(1 + sorted(set(groups)).index(group) for group in groups),
        labels,
        tuple(one if label == PARASITIZED else 1 - one for one, label in zip(believed, labels, strict=True)),
        labels,
    )


@pytest.fixture
def cells(drawn_cells: Path) -> tuple[Cell, ...]:
    return find_cells(drawn_cells).cells


@pytest.fixture
def candidates(cells: tuple[Cell, ...]) -> tuple[CandidateError, ...]:
    return rank_label_errors(predictions(cells), top=2 * PAGE + 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corrections.csv"


@pytest.fixture
def review(candidates: tuple[CandidateError, ...], cells: tuple[Cell, ...], path: Path) -> LabelReview:
    return LabelReview(candidates, cells, path)


def hear(review: LabelReview, **message: Any) -> None:
    """What the comm hands on from the browser."""
    review._handle_custom_msg(message, [])


def last(told: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return [message for message in told if message["type"] == kind][-1]


def said(path: Path) -> dict[str, str]:
    return {one.file: one.verdict for one in read_corrections(path).verdicts}


# Pages


def test_a_page_brings_its_pictures_enlarged_and_no_others(
    review: LabelReview,
    told: list[dict[str, Any]],
    candidates: tuple[CandidateError, ...],
    cells: tuple[Cell, ...],
) -> None:
    hear(review, type="hello")
    page = last(told, "page")
    assert (page["page"], page["pages"], len(page["cards"]), len(page["buffers"])) == (0, 3, PAGE, PAGE)
    path_of = {cell.path.name: cell.path for cell in cells}
    for candidate, sent in zip(candidates, page["buffers"], strict=False):
        with Image.open(io.BytesIO(sent)) as shown, Image.open(path_of[candidate.file]) as original:
            assert max(shown.size) == SHOWN_SIDE > max(original.size)
            assert shown.width / shown.height == pytest.approx(original.width / original.height, rel=0.01)
    hear(review, type="page", page=2)
    assert len(last(told, "page")["buffers"]) == 5


@pytest.mark.parametrize(("wished", "shown"), [(-1, 0), (99, 2)])
def test_there_is_no_page_before_the_first_and_after_the_last(
    wished: int, shown: int, review: LabelReview, told: list[dict[str, Any]]
) -> None:
    hear(review, type="page", page=wished)
    assert last(told, "page")["page"] == shown


def test_a_picture_that_cannot_be_read_says_why_and_the_others_are_shown(
    candidates: tuple[CandidateError, ...],
    cells: tuple[Cell, ...],
    path: Path,
    told: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    broken = tmp_path / candidates[1].file
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    moved = [
        Cell(broken, cell.label, cell.group) if cell.path.name == broken.name else cell for cell in cells
    ]
    LabelReview(candidates, moved, path).show(0)
    page = last(told, "page")
    assert [bool(card["refusal"]) for card in page["cards"]] == [False, True] + [False] * 10
    assert "damaged" in page["cards"][1]["refusal"]
    assert len(page["buffers"]) == 11


# Blind


def test_blind_nothing_of_label_patient_file_and_opinion_reaches_the_browser_before_the_answer(
    review: LabelReview, told: list[dict[str, Any]], candidates: tuple[CandidateError, ...]
) -> None:
    assert review.blind
    hear(review, type="hello")
    words = json.dumps(review.get_state(drop_defaults=False), default=str) + json.dumps(
        [{key: value for key, value in message.items() if key != "buffers"} for message in told]
    )
    for candidate in candidates:
        assert candidate.file not in words
        assert candidate.patient_group not in words
    for card in last(told, "page")["cards"]:
        assert card["facts"] == []


def test_the_answer_uncovers_its_own_card_only(
    review: LabelReview, told: list[dict[str, Any]], candidates: tuple[CandidateError, ...]
) -> None:
    hear(review, type="verdict", position=1, answer=candidates[1].label)
    card = last(told, "card")["card"]
    assert (card["position"], card["verdict"], card["shows"]) == (1, "agree", candidates[1].label)
    assert dict(card["facts"])["Published"] == candidates[1].label
    assert dict(card["facts"])["Patient"] == candidates[1].patient_group
    hear(review, type="page", page=0)
    assert [bool(one["facts"]) for one in last(told, "page")["cards"]] == [False, True] + [False] * 10


def test_not_blind_everything_is_told_at_once(
    candidates: tuple[CandidateError, ...], cells: tuple[Cell, ...], path: Path, told: list[dict[str, Any]]
) -> None:
    review = LabelReview(candidates, cells, path, blind=False)
    hear(review, type="hello")
    for candidate, card in zip(candidates, last(told, "page")["cards"], strict=False):
        assert dict(card["facts"])["File"] == candidate.file
    told.clear()
    review.blind = True
    assert not any(card["facts"] for card in last(told, "page")["cards"])


@pytest.mark.parametrize(
    ("shown", "verdict"), [("label", "agree"), ("other", "disagree"), ("unsure", "unsure")]
)
def test_what_a_cell_shows_is_kept_as_a_verdict_about_the_published_label(
    shown: str, verdict: str, review: LabelReview, path: Path, candidates: tuple[CandidateError, ...]
) -> None:
    for position, candidate in enumerate(candidates[:3]):
        other = UNINFECTED if candidate.label == PARASITIZED else PARASITIZED
        hear(
            review,
            type="verdict",
            position=position,
            answer={"label": candidate.label, "other": other}.get(shown, shown),
        )
    assert said(path) == {candidate.file: verdict for candidate in candidates[:3]}


# Saving


def test_every_verdict_is_in_the_file_at_once_and_counted(
    review: LabelReview, path: Path, candidates: tuple[CandidateError, ...], told: list[dict[str, Any]]
) -> None:
    for position, answer in enumerate(("agree", "disagree", "unsure")):
        hear(review, type="verdict", position=position, answer=answer)
        assert said(path)[candidates[position].file] == answer
    state = last(told, "state")
    assert state["sentence"] == "3 of 29 judged: agree 1, disagree 1, unsure 1."
    assert (state["done"], state["total"], state["undo"], state["problem"]) == (3, 29, True, "")


def test_the_review_goes_on_where_the_file_stops(
    review: LabelReview,
    candidates: tuple[CandidateError, ...],
    cells: tuple[Cell, ...],
    path: Path,
    told: list[dict[str, Any]],
) -> None:
    for position in range(PAGE + 2):
        review.judge(position, "agree")
    again = LabelReview(candidates, cells, path)
    hear(again, type="hello")
    assert last(told, "page")["page"] == 1
    assert [again.verdict(position) for position in (0, PAGE + 1, PAGE + 2)] == ["agree", "agree", None]
    assert last(told, "state")["done"] == PAGE + 2
    assert not last(told, "state")["undo"]


def test_undo_takes_back_verdict_by_verdict_and_leaves_those_of_earlier_sessions(
    review: LabelReview,
    candidates: tuple[CandidateError, ...],
    cells: tuple[Cell, ...],
    path: Path,
    told: list[dict[str, Any]],
) -> None:
    review.judge(0, "agree")
    again = LabelReview(candidates, cells, path)
    again.judge(0, "disagree")
    again.judge(1, "unsure")
    hear(again, type="undo")
    assert said(path) == {candidates[0].file: "disagree"}
    assert last(told, "card")["card"]["facts"] == []
    hear(again, type="undo")
    hear(again, type="undo")
    assert said(path) == {candidates[0].file: "agree"}
    assert not last(told, "state")["undo"]


def test_an_undo_that_could_not_be_saved_can_be_tried_again(
    review: LabelReview, candidates: tuple[CandidateError, ...], path: Path, told: list[dict[str, Any]]
) -> None:
    review.judge(0, "agree")
    whole = path.read_bytes()
    path.write_text("something else", encoding="utf-8")
    review.undo()
    assert last(told, "state")["problem"].startswith("Not saved.")
    assert last(told, "state")["undo"]
    path.write_bytes(whole)
    review.undo()
    assert said(path) == {}
    assert not last(told, "state")["undo"]


def test_undo_turns_back_to_the_page_of_the_verdict(review: LabelReview, told: list[dict[str, Any]]) -> None:
    review.judge(3, "agree")
    review.show(2)
    review.undo()
    assert last(told, "page")["page"] == 0


def test_giving_the_same_verdict_again_is_nothing_to_undo(review: LabelReview, path: Path) -> None:
    review.judge(0, "agree")
    review.judge(0, "agree")
    review.undo()
    assert said(path) == {}


def test_verdicts_that_another_program_writes_meanwhile_stay(
    review: LabelReview, path: Path, candidates: tuple[CandidateError, ...], told: list[dict[str, Any]]
) -> None:
    theirs = Correction(candidates[5].file, candidates[5].label, "disagree")
    append_corrections(path, [theirs, Correction("other.png", PARASITIZED, "unsure")])
    review.judge(0, "agree")
    assert said(path) == {theirs.file: "disagree", "other.png": "unsure", candidates[0].file: "agree"}
    assert last(told, "state")["done"] == 2


def test_the_last_of_two_reviewers_of_the_same_cell_counts(
    review: LabelReview, path: Path, candidates: tuple[CandidateError, ...]
) -> None:
    theirs = Correction(candidates[0].file, candidates[0].label, "disagree")
    append_corrections(path, [theirs])
    review.judge(0, "agree")
    assert said(path) == {theirs.file: "agree"}


def test_a_file_that_gets_broken_meanwhile_is_told_and_left_alone(
    review: LabelReview, path: Path, told: list[dict[str, Any]]
) -> None:
    path.write_text("something else", encoding="utf-8")
    hear(review, type="verdict", position=0, answer="agree")
    assert "has the columns" in last(told, "state")["problem"]
    assert last(told, "card")["card"]["verdict"] == ""
    hear(review, type="page", page=1)
    assert "has the columns" in last(told, "state")["problem"]
    assert path.read_text(encoding="utf-8") == "something else"


@pytest.mark.parametrize(
    "message",
    [
        {"type": "verdict", "position": 29, "answer": "agree"},
        {"type": "verdict", "position": -1, "answer": "agree"},
        {"type": "verdict", "position": 0, "answer": "healthy"},
        {"type": "verdict", "position": "0", "answer": "agree"},
        {"type": "verdict"},
        {"type": "page", "page": "1"},
        {"type": "undo"},
        {},
    ],
)
def test_a_message_that_makes_no_sense_changes_nothing(
    message: dict[str, Any], review: LabelReview, path: Path
) -> None:
    hear(review, **message)
    assert (review.page, path.exists()) == (0, False)


# What cannot be judged


def test_candidates_without_a_picture_are_left_out_and_counted(
    candidates: tuple[CandidateError, ...], cells: tuple[Cell, ...], path: Path, told: list[dict[str, Any]]
) -> None:
    gone = {candidates[0].file, candidates[3].file}
    review = LabelReview(candidates, [cell for cell in cells if cell.path.name not in gone], path)
    review.show(0)
    assert review.candidates[0] == candidates[1]
    assert "2 candidates have no picture in the folder" in last(told, "state")["sentence"]


def test_a_review_without_any_picture_or_with_a_page_of_none_is_refused(
    candidates: tuple[CandidateError, ...], cells: tuple[Cell, ...], path: Path
) -> None:
    with pytest.raises(MalariaDetectError, match="None of the 29 candidates has a picture among the 0 cells"):
        LabelReview(candidates, [], path)
    with pytest.raises(MalariaDetectError, match="page of 0 cells"):
        LabelReview(candidates, cells, path, page=0)


def test_corrections_of_other_labels_are_refused_at_the_start(
    candidates: tuple[CandidateError, ...], cells: tuple[Cell, ...], path: Path
) -> None:
    other = UNINFECTED if candidates[0].label == PARASITIZED else PARASITIZED
    append_corrections(path, [Correction(candidates[0].file, other, "agree")])
    with pytest.raises(MalariaDetectError, match="is about other labels"):
        LabelReview(candidates, cells, path)


# Notebook and style


def test_a_saved_notebook_would_hold_neither_names_nor_pictures(
    review: LabelReview, candidates: tuple[CandidateError, ...], told: list[dict[str, Any]]
) -> None:
    review.show(0)
    review.judge(0, "agree")
    state = json.dumps(review.get_state(drop_defaults=False), default=str)
    assert "_IMG_" not in state
    assert candidates[0].patient_group not in state
    assert review.research_use == RESEARCH_USE


def test_the_notebook_runs_and_ends_in_a_review(
    drawn_cells: Path, cells: tuple[Cell, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = nbformat.read(PROJECT / "notebooks" / "labels.ipynb", as_version=4)
    write_held_out(predictions(cells), tmp_path / "predictions.csv")
    names: dict[str, Any] = {}
    *sources, review = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for source in sources:
        exec(source.source, names)
        if "parameters" in source.metadata.get("tags", []):
            assert Path(names["PREDICTIONS"]).parent.name == "reports"
            names |= {
                "CELLS": str(drawn_cells),
                "PREDICTIONS": str(tmp_path / "predictions.csv"),
                "CORRECTIONS": str(tmp_path / "corrections.csv"),
            }
    made = eval(review.source.strip(), names)
    assert isinstance(made, LabelReview)
    assert made.blind
    assert re.findall(r"(\w+): 30 labels, (\d) contradicted", capsys.readouterr().out) == [
        (PARASITIZED, "3"),
        (UNINFECTED, "3"),
    ]


def test_the_notebook_is_committed_without_outputs_and_widget_state() -> None:
    notebook = nbformat.read(PROJECT / "notebooks" / "labels.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
    assert RESEARCH_USE in notebook.cells[0].source


def test_the_courts_style_has_only_the_palettes_colours_and_stays_below_its_root() -> None:
    css = re.sub(r"/\*.*?\*/", "", (STYLE / "review.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", css)
    palette = set(re.findall(r"--([\w-]+):", (STYLE / "page.css").read_text(encoding="utf-8")))
    assert set(re.findall(r"var\(--([\w-]+)\)", css)) <= palette
    flat = re.sub(r"@(container|media)[^{]+\{", "", css)
    selectors = [one.strip() for one in re.findall(r"([^{}]+)\{", flat)]
    assert [one for one in selectors if not one.startswith((".malaria-detect", ".md-"))] == []
