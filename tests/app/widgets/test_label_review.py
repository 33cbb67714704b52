"""The label review: what the browser is sent and when, and a file that has every verdict at once."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

from malaria_detect.app.widgets.label_review import PAGE_SIZE, REVIEW_SIDE, LabelReview
from malaria_detect.data.corrections import Correction, LabelsError, append_corrections, read_corrections
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.evaluation.cross_validation import HeldOut, write_held_out
from malaria_detect.evaluation.label_issues import CandidateError, rank_label_errors
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.app.widgets.fakes import Messages, hear, of_type, saved

PROJECT = Path(__file__).resolve().parents[3]
PARASITIZED, UNINFECTED = CLASSES


def predictions(cells: Sequence[Cell]) -> HeldOut:
    """Made-up predictions, the same at every call: every tenth label is contradicted."""
    labels = tuple(cell.label for cell in cells)
    believed = [0.001 * place + (0.9 if place % 10 else 0) for place in range(len(cells))]
    return HeldOut(
        tuple(cell.path.name for cell in cells),
        tuple(cell.group for cell in cells),
        (1,) * len(cells),
        labels,
        tuple(one if label == PARASITIZED else 1 - one for one, label in zip(believed, labels, strict=True)),
        labels,
    )


@dataclass(frozen=True)
class Session:
    """Cells to review, the corrections file, and what the browser was sent."""

    cells: tuple[Cell, ...]
    candidates: tuple[CandidateError, ...]
    path: Path
    told: Messages

    def start(self, cells: Sequence[Cell] | None = None, **options: Any) -> LabelReview:
        """A review that continues with the corrections file."""
        return LabelReview(self.candidates, self.cells if cells is None else cells, self.path, **options)

    def last(self, kind: str) -> dict[str, Any]:
        """The message of this type that was sent last."""
        return of_type(self.told, kind)[-1]

    def uncovered(self) -> list[int]:
        """Positions on the page whose label and patient are shown."""
        return [card["position"] for card in self.last("page")["cards"] if card["facts"]]

    def stored(self) -> dict[str, str]:
        """Verdicts in the corrections file."""
        return {one.file: one.verdict for one in read_corrections(self.path).verdicts}


@pytest.fixture
def session(drawn_cells: Path, tmp_path: Path, told: Messages) -> Session:
    cells = find_cells(drawn_cells).cells
    candidates = rank_label_errors(predictions(cells), top=2 * PAGE_SIZE + 5)
    return Session(cells, candidates, tmp_path / "corrections.csv", told)


@pytest.fixture
def review(session: Session) -> LabelReview:
    return session.start()


def other_than(label: str) -> str:
    return UNINFECTED if label == PARASITIZED else PARASITIZED


def test_a_page_brings_its_images_enlarged_and_no_others(review: LabelReview, session: Session) -> None:
    hear(review, type="hello")
    page = session.last("page")
    assert (page["page"], page["pages"], len(page["cards"]), len(page["buffers"])) == (
        0,
        3,
        PAGE_SIZE,
        PAGE_SIZE,
    )
    path_of = {cell.path.name: cell.path for cell in session.cells}
    for candidate, sent in zip(session.candidates, page["buffers"], strict=False):
        with Image.open(io.BytesIO(sent)) as shown, Image.open(path_of[candidate.file]) as original:
            assert max(shown.size) == REVIEW_SIDE > max(original.size)
            assert shown.width / shown.height == pytest.approx(original.width / original.height, rel=0.01)
    for asked, number, images in ((2, 2, 5), (99, 2, 5), (-1, 0, PAGE_SIZE)):
        hear(review, type="page", page=asked)
        assert (session.last("page")["page"], len(session.last("page")["buffers"])) == (number, images)


def test_an_unreadable_image_says_so_and_the_others_are_shown(tmp_path: Path, session: Session) -> None:
    broken = tmp_path / session.candidates[1].file
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    moved = [
        Cell(broken, one.label, one.group) if one.path.name == broken.name else one for one in session.cells
    ]
    session.start(moved).show(0)
    page = session.last("page")
    assert [card["position"] for card in page["cards"] if card["refusal"]] == [1]
    assert len(page["buffers"]) == PAGE_SIZE - 1


def test_label_patient_and_file_are_hidden_before_the_answer(review: LabelReview, session: Session) -> None:
    hear(review, type="hello")
    sent = [{name: value for name, value in message.items() if name != "buffers"} for message in session.told]
    for candidate in session.candidates:
        assert candidate.file not in saved(review) + json.dumps(sent)
        assert candidate.patient_group not in saved(review) + json.dumps(sent)
    assert session.uncovered() == []


def test_the_answer_uncovers_its_card_but_is_not_saved(review: LabelReview, session: Session) -> None:
    hear(review, type="verdict", position=1, answer=session.candidates[1].label)
    card = session.last("card")["card"]
    assert (card["position"], card["verdict"], card["shows"]) == (1, "agree", session.candidates[1].label)
    assert card["facts"][0] == ("Label", session.candidates[1].label)
    hear(review, type="page", page=0)
    assert session.uncovered() == [1]
    assert "_IMG_" not in saved(review)
    assert session.candidates[1].patient_group not in saved(review)


def test_not_blind_everything_is_shown_at_once(session: Session) -> None:
    review = session.start(blind=False)
    hear(review, type="hello")
    for candidate, card in zip(session.candidates, session.last("page")["cards"], strict=False):
        assert dict(card["facts"])["File"] == candidate.file
    review.blind = True
    assert session.uncovered() == []


def test_what_a_cell_shows_is_stored_as_a_verdict(review: LabelReview, session: Session) -> None:
    first, second = [candidate.label for candidate in session.candidates[:2]]
    answers = {"agree": first, "disagree": other_than(second), "unsure": "unsure"}
    for position, (verdict, answer) in enumerate(answers.items()):
        hear(review, type="verdict", position=position, answer=answer)
        assert session.stored()[session.candidates[position].file] == verdict
    hear(review, type="verdict", position=3, answer="disagree")
    state = session.last("state")
    assert [int(number) for number in re.findall(r"\d+", state["sentence"])] == [4, 29, 1, 2, 1]
    assert (state["done"], state["total"], state["undo"], state["problem"]) == (4, 29, True, "")


def test_a_review_continues_where_the_file_ends(review: LabelReview, session: Session) -> None:
    for position in range(PAGE_SIZE + 2):
        review.judge(position, "agree")
    again = session.start()
    hear(again, type="hello")
    assert session.last("page")["page"] == 1
    assert [again.verdict(position) for position in (0, PAGE_SIZE + 1, PAGE_SIZE + 2)] == [
        "agree",
        "agree",
        None,
    ]
    assert (session.last("state")["done"], session.last("state")["undo"]) == (PAGE_SIZE + 2, False)


def test_undo_leaves_verdicts_of_earlier_sessions(review: LabelReview, session: Session) -> None:
    review.judge(0, "agree")
    again = session.start()
    for position, answer in ((0, "disagree"), (0, "disagree"), (1, "unsure")):
        again.judge(position, answer)
    hear(again, type="undo")
    assert session.stored() == {session.candidates[0].file: "disagree"}
    assert session.last("card")["card"]["facts"] == []
    again.show(2)
    hear(again, type="undo")
    assert session.last("page")["page"] == 0
    hear(again, type="undo")
    assert session.stored() == {session.candidates[0].file: "agree"}
    assert not session.last("state")["undo"]


def test_what_cannot_be_saved_is_said_and_can_be_tried_again(review: LabelReview, session: Session) -> None:
    review.judge(0, "agree")
    whole = session.path.read_bytes()
    session.path.write_text("something else", encoding="utf-8")
    for message in ({"type": "verdict", "position": 1, "answer": "agree"}, {"type": "undo"}):
        hear(review, **message)
        assert session.last("state")["problem"].startswith("Not saved.")
        assert session.last("state")["undo"]
        assert session.path.read_text(encoding="utf-8") == "something else"
    assert of_type(session.told, "card")[-2]["card"]["verdict"] == ""
    session.path.write_bytes(whole)
    review.undo()
    assert session.stored() == {}
    assert not session.last("state")["undo"]


def test_verdicts_that_another_program_writes_meanwhile_stay(review: LabelReview, session: Session) -> None:
    ours, theirs = session.candidates[:2]
    append_corrections(session.path, [Correction(theirs.file, theirs.label, "disagree")])
    review.judge(0, "agree")
    assert session.stored() == {theirs.file: "disagree", ours.file: "agree"}
    assert session.last("state")["done"] == 2


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
def test_an_invalid_message_changes_nothing(
    message: dict[str, Any], review: LabelReview, session: Session
) -> None:
    hear(review, **message)
    assert (review.page, session.path.exists()) == (0, False)


def test_candidates_without_an_image_are_left_out_and_counted(session: Session) -> None:
    gone = {session.candidates[0].file, session.candidates[3].file}
    review = session.start([cell for cell in session.cells if cell.path.name not in gone])
    review.show(0)
    assert (review.candidates[0], review.missing) == (session.candidates[1], 2)
    assert "2 candidates" in session.last("state")["sentence"]


def test_a_review_that_cannot_work_is_refused_at_the_start(session: Session) -> None:
    file, label = session.candidates[0].file, session.candidates[0].label
    append_corrections(session.path, [Correction(file, other_than(label), "agree")])
    for options, reason in (({"cells": []}, "no_images"), ({"page": 0}, "page_size"), ({}, "other_labels")):
        with pytest.raises(LabelsError) as refused:
            session.start(**options)
        assert refused.value.reason == reason


def test_the_notebook_runs_and_ends_in_a_review(
    drawn_cells: Path, session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = nbformat.read(PROJECT / "notebooks" / "labels.ipynb", as_version=4)
    assert RESEARCH_USE in notebook.cells[0].source
    write_held_out(predictions(session.cells), tmp_path / "predictions.csv")
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
    assert (made.blind, made.research_use) == (True, RESEARCH_USE)
    assert re.findall(r"(\w+): 30 labels, (\d) contradicted", capsys.readouterr().out) == [
        (PARASITIZED, "3"),
        (UNINFECTED, "3"),
    ]
