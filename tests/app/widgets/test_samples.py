"""A handful of labelled cells to try."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from malaria_detect.app.widgets import CheckCells
from malaria_detect.app.widgets.samples import HANDFUL, CellSamples, handful
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, find_cells
from tests.app.widgets.fakes import BrightnessDetector


class Receiver:
    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.uploads: list[UploadedFile] = []

    def __call__(self, uploads: Sequence[UploadedFile]) -> str | None:
        self.uploads.extend(uploads)
        return self.answer


@pytest.fixture
def cells_folder(drawn_cells: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CELLS_VARIABLE, str(drawn_cells))
    return drawn_cells


def test_cells_come_with_their_labels_and_without_their_folder(cells_folder: Path) -> None:
    receiver = Receiver()
    CellSamples(receiver, seed=1).draw()
    true_label = {cell.path.name: cell.label for cell in find_cells(cells_folder).cells}
    assert len(receiver.uploads) == HANDFUL
    assert {upload.name: upload.label for upload in receiver.uploads}.items() <= true_label.items()


def test_cells_of_test_patients_are_preferred_and_called_so(cells_folder: Path) -> None:
    unseen = {"C100P61ThinF", "C101P62ThinF"}
    receiver = Receiver()
    samples = CellSamples(receiver, unseen, seed=1)
    samples.draw()
    assert {upload.name.partition("_IMG_")[0] for upload in receiver.uploads} == unseen
    assert "was not trained on them" in samples.note


def test_without_enough_of_them_the_page_says_that_the_model_may_know_the_cells(cells_folder: Path) -> None:
    samples = CellSamples(Receiver(), {"C100P61ThinF"}, seed=1)
    samples.draw()
    assert "may have been trained on these cells" in samples.note


def test_a_handful_is_random_and_repeatable(cells_folder: Path) -> None:
    cells = find_cells(cells_folder).cells
    first, again, other = (handful(cells, (), random.Random(seed))[0] for seed in (1, 1, 2))
    assert first == again != other


def test_a_folder_without_cells_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CELLS_VARIABLE, str(tmp_path))
    receiver = Receiver()
    samples = CellSamples(receiver)
    samples.draw()
    assert receiver.uploads == []
    assert samples.note.startswith("No cells in")


def test_a_refusal_is_told(cells_folder: Path) -> None:
    samples = CellSamples(Receiver("Wait."))
    samples.draw()
    assert samples.note == "Wait."


def test_samples_go_the_way_of_uploads_to_cards_with_labels(
    cells_folder: Path, detector: BrightnessDetector
) -> None:
    view = CheckCells(detector)  # type: ignore[arg-type]  # quacks like a Detector
    assert view.samples is not None
    view.samples.draw()
    assert [result.label is None for result in view.cards.results] == [False] * HANDFUL


def test_without_a_cells_folder_there_is_no_button(
    detector: BrightnessDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CELLS_VARIABLE, str(tmp_path / "nowhere"))
    view = CheckCells(detector)  # type: ignore[arg-type]  # quacks like a Detector
    assert view.samples is None
    assert view.parts == [view.upload, view.choice, view.cards]
