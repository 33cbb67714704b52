import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from malaria_detect.data.corrections import Correction, Corrections
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.data.splits import folds_of
from malaria_detect.evaluation.cross_validation import read_run
from malaria_detect.evaluation.run_cross_validation import CrossValidationPlan, cross_validate
from malaria_detect.inference.metadata import CORRECTED
from malaria_detect.training.resnet34 import DESIGN
from malaria_detect.training.run import labelled_cells
from malaria_detect.training.settings import TrainingError, TrainSettings

SETTINGS = TrainSettings(
    sizes=(32, 32), freeze_epochs=0, average_epochs=0, batch_size=16, base_lr=1e-4, weights="none"
)


def plan_in(work: Path, how: str, folds: int) -> CrossValidationPlan:
    return CrossValidationPlan(DESIGN, SETTINGS, work, how, folds, progress=False)


def command(cells: Path, work: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "malaria_detect", "evaluate", "--cells", str(cells), "--folds", "2"),
        *("--work", str(work), "--output", str(work / "grouped.csv"), "--weights", "none", "--sizes", "32x2"),
        *("--freeze-epochs", "0", "--batch-size", "16", "--lr", "1e-4", *options),
    ]


@pytest.fixture(scope="module")
def killed_and_resumed(few_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cross-validation that is killed in its second fold, and what it prints when it goes on."""
    work = tmp_path_factory.mktemp("crossval")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command(few_cells, work), stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        epochs = (line for line in process.stdout if line.startswith("epoch "))
        for _ in range(3):
            next(epochs)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(
        command(few_cells, work, "--resume"), capture_output=True, text=True, env=environment, check=True
    )
    return work, done.stdout


def test_a_killed_cross_validation_continues_in_its_fold_and_epoch(
    killed_and_resumed: tuple[Path, str],
) -> None:
    work, out = killed_and_resumed
    assert [line for line in out.splitlines() if "fold" in line] == ["fold grouped-2-of-2"]
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch")] == ["2/2"]
    assert f"{work / 'grouped.csv'} written: accuracy" in out


def test_every_cell_is_held_out_by_the_fold_that_did_not_train_on_its_patient(
    killed_and_resumed: tuple[Path, str], few_cells: Path
) -> None:
    held_out, run = read_run(killed_and_resumed[0] / "grouped.csv")
    cells = find_cells(few_cells).cells
    assert sorted(held_out.files) == sorted(cell.path.name for cell in cells)
    fold_of = dict(zip(held_out.files, held_out.folds, strict=True))
    for number, fold in enumerate(folds_of(cells, "grouped", 2, SETTINGS.seed), start=1):
        assert all(fold_of[cells[index].path.name] == number for index in fold.valid)
    assert (run.split, run.folds) == ("grouped", 2)
    assert [len(history) for history in run.histories] == [2, 2]


@pytest.mark.parametrize(
    ("changed", "resume", "reason"), [({"seed": 3}, True, "other_run"), ({}, False, "unfinished")]
)
def test_finished_folds_are_neither_used_for_another_run_nor_overwritten(
    changed: dict[str, Any],
    resume: bool,
    reason: str,
    killed_and_resumed: tuple[Path, str],
    few_cells: Path,
    tmp_path: Path,
) -> None:
    fold = "grouped-1-of-2"
    copytree(killed_and_resumed[0] / fold, tmp_path / fold)
    plan = plan_in(tmp_path, "grouped", 2)
    plan = replace(plan, settings=replace(plan.settings, **changed), resume=resume)
    with pytest.raises(TrainingError) as caught:
        cross_validate(labelled_cells(find_cells(few_cells)), plan, tmp_path / "grouped.csv")
    assert caught.value.reason == reason


def test_corrected_labels_are_learnt_and_the_published_ones_kept(few_cells: Path, tmp_path: Path) -> None:
    folder = find_cells(few_cells)
    first, second = folder.cells[0], folder.cells[-1]
    corrections = Corrections(
        (
            Correction(first.path.name, first.label, "disagree"),
            Correction(second.path.name, second.label, "unsure"),
        )
    )
    held_out, run = cross_validate(
        labelled_cells(folder, corrections), plan_in(tmp_path, "random", 1), tmp_path / "random.csv"
    )
    assert run.patients_on_both_sides
    assert CORRECTED in run.cells
    changed = {
        file: corrected
        for file, label, corrected in zip(held_out.files, held_out.labels, held_out.corrected, strict=True)
        if label != corrected
    }
    here = {first.path.name: second.label, second.path.name: ""}
    assert changed == {file: label for file, label in here.items() if file in held_out.files}


def test_an_output_that_cannot_be_written_is_refused_before_training(few_cells: Path, tmp_path: Path) -> None:
    for output in (tmp_path / "table.txt", tmp_path / "nowhere" / "table.csv"):
        with pytest.raises(TrainingError) as caught:
            cross_validate(labelled_cells(find_cells(few_cells)), plan_in(tmp_path, "grouped", 2), output)
        assert caught.value.reason == "output"
