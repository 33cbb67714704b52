"""The view "Teach it your lab" from uploaded cells to an adapted model, with a teacher that is known."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from malaria_detect.app.teach_wording import ADAPTED, SHIPPED, needed
from malaria_detect.app.widgets import CheckCells, build_dashboard
from malaria_detect.app.widgets.lab_cells import LEFT_OUT
from malaria_detect.app.widgets.slide import AnalyseSlide
from malaria_detect.app.widgets.teach import MAX_AT_ONCE, MAX_CELLS, TeachLab
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CLASSES
from tests.app.widgets.fakes import (
    METADATA,
    BrightnessDetector,
    KnownAnalyser,
    Messages,
    hear,
    of_type,
    png_of,
    saved,
)
from tests.app.widgets.known_teacher import ARCHIVE, KnownTeacher, cell_png
from tests.drawn_fields import drawn_field
from tests.known_finder import FEW

PARASITIZED, UNINFECTED = CLASSES
CELLS = [
    (UploadedFile(f"secret{number % 4}__{number}.png", cell_png(number, label)), label)
    for label in CLASSES
    for number in range(12)
]


@pytest.fixture
def use() -> Mock:
    return Mock()


@pytest.fixture
def view(told: Messages, use: Mock, monkeypatch: pytest.MonkeyPatch) -> TeachLab:
    monkeypatch.setattr("malaria_detect.inference.judge._REPEATS", 1)  # for the time that it takes
    return TeachLab(KnownTeacher(), list, use)


@pytest.fixture
def labelled(view: TeachLab) -> TeachLab:
    """All cells uploaded, those that the model has wrong corrected, and the others accepted."""
    view.upload.take([file for file, _ in CELLS])
    for number, (cell, (_, label)) in enumerate(zip(view.lab.cells, CELLS, strict=True)):
        if cell.answer.decision != label:
            hear(view.lab, type="label", id=number, label=label)
    hear(view.lab, type="accept")
    return view


def state(told: Messages) -> dict[str, Any]:
    return of_type(told, "state")[-1]


def test_each_cell_comes_with_the_models_answer_which_is_no_label_yet(view: TeachLab, told: Messages) -> None:
    view.upload.take([file for file, _ in CELLS[:3]])
    cells = of_type(told, "cell")
    assert [(cell["guess"], cell["label"]) for cell in cells] == [
        (UNINFECTED, ""),
        (PARASITIZED, ""),
        (PARASITIZED, ""),
    ]
    assert all(cell["buffers"][0].startswith(b"\x89PNG") for cell in cells)
    assert (state(told)["open"], state(told)["enough"], view.lab.counts) == (3, False, (0, 0))
    assert [cell.group for cell in view.lab.cells] == ["secret0", "secret1", "secret2"]
    assert not any("secret" in saved(one) for one in (view, view.upload, view.lab))


def test_labels_are_counted_and_those_that_are_still_needed(view: TeachLab, told: Messages) -> None:
    view.upload.take([file for file, _ in CELLS])
    for number in range(9):
        hear(view.lab, type="label", id=number, label=PARASITIZED)
    hear(view.lab, type="label", id=9, label=LEFT_OUT)
    assert view.lab.counts == (9, 0)
    assert state(told)["needed"] == needed(9, 0)
    assert ("1 more parasitized" in needed(9, 0), "10 more uninfected" in needed(9, 0)) == (True, True)
    hear(view.lab, type="accept")
    assert view.lab.cells[9].label == LEFT_OUT
    assert (state(told)["open"], sum(view.lab.counts)) == (0, 23)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "label", "id": 99, "label": PARASITIZED},
        {"type": "label", "id": -1, "label": PARASITIZED},
        {"type": "label", "id": 0, "label": "healthy"},
        {"type": "label", "id": "0", "label": PARASITIZED},
        {"type": "estimate"},
        {"type": "download"},
        {"type": "adapted"},
        {"type": "anything"},
        {},
    ],
)
def test_an_invalid_or_early_message_changes_nothing(
    message: dict[str, Any], view: TeachLab, told: Messages, use: Mock
) -> None:
    view.upload.take([CELLS[0][0]])
    hear(view.lab, **message)
    assert (view.lab.cells[0].label, view.lab.estimate, view.lab.in_use) == (None, None, SHIPPED)
    assert not of_type(told, "file")
    use.assert_not_called()


def test_the_adapted_model_is_estimated_downloaded_and_used(
    labelled: TeachLab, told: Messages, use: Mock
) -> None:
    hear(labelled.lab, type="estimate")
    found = state(told)["estimate"]
    assert (found["better"], found["outdated"], len(found["rows"])) == (True, "", 5)
    estimate = labelled.lab.estimate
    assert estimate is not None
    assert estimate.judgement.gain["roc_auc"].value > 0.1
    assert set(estimate.cells.groups) == {f"secret{number}" for number in range(4)}
    hear(labelled.lab, type="download")
    (file,) = of_type(told, "file")
    assert (file["name"], file["buffers"]) == ("mylab.zip", [ARCHIVE])
    hear(labelled.lab, type="adapted")
    (detector,) = use.call_args.args
    assert detector.metadata.parent.parasitized == 12
    assert state(told)["in_use"] == ADAPTED
    hear(labelled.lab, type="label", id=0, label=LEFT_OUT)
    assert state(told)["estimate"]["outdated"]
    hear(labelled.lab, type="clear")
    assert (labelled.lab.cells, state(told)["estimate"]["better"]) == ([], True)  # of the model in use
    hear(labelled.lab, type="shipped")
    use.assert_called_with(None)


def test_a_model_that_is_not_better_is_neither_downloaded_nor_used(
    view: TeachLab, told: Messages, use: Mock
) -> None:
    view.upload.take([file for file, _ in CELLS])
    hear(view.lab, type="accept")  # the model is always right
    hear(view.lab, type="estimate")
    assert state(told)["estimate"]["better"] is False
    for request in ("download", "adapted"):
        hear(view.lab, type=request)
    assert not of_type(told, "file")
    use.assert_not_called()


def test_what_cannot_be_used_is_named_and_copies_count_once(view: TeachLab, told: Messages) -> None:
    cell = CELLS[0][0]
    view.upload.take([cell, UploadedFile("copy.png", cell.content), UploadedFile("broken.png", b"broken")])
    view.upload.take([UploadedFile(cell.name, CELLS[1][0].content)])
    assert len(view.lab.cells) == len({one.name for one in view.lab.cells}) == 2
    assert [name in text for name, text in zip(("copy", "broken"), state(told)["refused"], strict=True)] == [
        True,
        True,
    ]


def test_no_more_cells_are_taken_than_the_page_keeps(view: TeachLab, told: Messages) -> None:
    view.lab.cells.extend([Mock()] * (MAX_CELLS - 1))
    view.upload.take([file for file, _ in CELLS[:2]])
    view.upload.take([CELLS[0][0]] * (MAX_AT_ONCE + 1))
    assert len(of_type(told, "refused")) == 2


def test_an_error_of_the_server_is_shown_and_the_labels_stay(
    labelled: TeachLab, told: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Mock(side_effect=MalariaDetectError("No answer. Try again later.", "no_answer"))
    monkeypatch.setattr(labelled._teacher, "judge", lost)
    hear(labelled.lab, type="estimate")
    assert state(told)["problem"] == "No answer. Try again later."
    assert (labelled.lab.counts, labelled.lab.estimate, state(told)["doing"]) == ((12, 12), None, "")


def test_reviewed_cells_of_a_slide_come_with_their_verdicts(told: Messages) -> None:
    slide = AnalyseSlide(KnownAnalyser(), METADATA)
    slide.take(UploadedFile("field.png", png_of(drawn_field(0, FEW)[0])))
    teach = TeachLab(KnownTeacher(), slide.reviewed, Mock())
    hear(teach.lab, type="slide")
    assert (state(told)["problem"] != "", teach.lab.cells) == (True, [])
    for cell, verdict in ((6, UNINFECTED), (3, PARASITIZED), (2, "Not a red cell")):
        hear(slide.review, type="judge", field=0, cell=cell, verdict=verdict)
    hear(teach.lab, type="slide")
    assert [(cell.name, cell.group, cell.label) for cell in teach.lab.cells] == [
        ("field.png__3.png", "field.png", PARASITIZED),
        ("field.png__6.png", "field.png", UNINFECTED),
    ]
    hear(teach.lab, type="slide")
    assert len(teach.lab.cells) == 2


def test_the_page_answers_with_the_adapted_model_and_then_with_its_own_again(told: Messages) -> None:
    analyser = KnownAnalyser()
    analyser.with_detector = lambda detector: KnownAnalyser()  # type: ignore[method-assign]
    teacher = KnownTeacher()
    page = build_dashboard(
        "anywhere/export.pkl", lambda _: teacher.parent, lambda _: analyser, lambda _: teacher
    )
    check, _, teach, *others = page.views
    assert isinstance(teach, TeachLab)
    assert isinstance(check, CheckCells)
    check.upload.take([CELLS[0][0]])
    points = tuple(replace(point, threshold=0.123) for point in METADATA.operating_points)
    teach._use(BrightnessDetector(replace(METADATA, operating_points=points)))  # type: ignore[arg-type]
    new, *_ = page.views
    assert isinstance(new, CheckCells)
    assert new is not check
    assert page.views[2:] == [teach, *others]
    assert page.notice
    assert [result.name for result in new.cards.results] == [CELLS[0][0].name]
    assert new.cards.point.threshold == 0.123
    teach._use(None)
    assert (page.views[0], page.notice) == (check, "")
    assert len(check.cards.results) == 1
