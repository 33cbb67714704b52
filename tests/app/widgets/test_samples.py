"""A sample of labelled cells to try."""

import random
from pathlib import Path
from unittest.mock import Mock

import pytest

from malaria_detect.app.widgets import CheckCells
from malaria_detect.app.widgets.samples import HANDFUL, CellSamples, handful
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, find_cells
from malaria_detect.inference.detector import Detector
from tests.app.widgets.fakes import GROUPS


@pytest.fixture
def cells_folder(drawn_cells: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CELLS_VARIABLE, str(drawn_cells))
    return drawn_cells


def test_cells_come_with_their_labels_and_without_their_folder(cells_folder: Path, receiver: Mock) -> None:
    CellSamples(receiver, seed=1).draw()
    labels = {cell.path.name: cell.label for cell in find_cells(cells_folder).cells}
    (files,) = receiver.call_args.args
    assert len(files) == HANDFUL
    assert {file.name: file.label for file in files}.items() <= labels.items()


@pytest.mark.parametrize(("groups", "note"), [(GROUPS, "not trained on them"), (GROUPS[:1], "may have been")])
def test_cells_of_test_patients_are_preferred_if_there_are_enough(
    groups: tuple[str, ...], note: str, cells_folder: Path, receiver: Mock
) -> None:
    samples = CellSamples(receiver, groups, seed=1)
    samples.draw()
    drawn = {file.name.partition("_IMG_")[0] for file in receiver.call_args.args[0]}
    assert (drawn == set(groups)) == (groups == GROUPS)
    assert note in samples.note


def test_a_sample_is_random_and_repeatable(cells_folder: Path) -> None:
    cells = find_cells(cells_folder).cells
    first, again, other = (handful(cells, (), random.Random(seed))[0] for seed in (1, 1, 2))
    assert first == again != other


def test_a_folder_without_cells_and_a_refusal_are_said(
    cells_folder: Path, tmp_path: Path, receiver: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = CellSamples(receiver)
    receiver.return_value = "Wait."
    samples.draw()
    assert samples.note == "Wait."
    monkeypatch.setenv(CELLS_VARIABLE, str(tmp_path))
    samples.draw()
    receiver.assert_called_once()
    assert str(tmp_path) in samples.note


def test_samples_become_cards_with_labels(cells_folder: Path, detector: Detector) -> None:
    view = CheckCells(detector)
    assert view.samples is not None
    view.samples.draw()
    assert [result.label is None for result in view.cards.results] == [False] * HANDFUL


def test_without_a_cells_folder_there_is_no_button(detector: Detector, no_cells: None) -> None:
    view = CheckCells(detector)
    assert view.samples is None
    assert view.parts == [view.upload, view.choice, view.cards]
