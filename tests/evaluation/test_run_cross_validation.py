import os
import signal
import subprocess
import sys
from pathlib import Path

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


def test_a_killed_cross_validation_goes_on_in_the_fold_and_epoch_where_it_was(
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
    assert (run.split, run.folds, len(run.histories)) == ("grouped", 2, 2)
    assert all(len(history) == 2 for history in run.histories)
    assert "/" not in run.settings["weights"]


def test_a_fold_of_another_run_is_refused(killed_and_resumed: tuple[Path, str], few_cells: Path) -> None:
    work = killed_and_resumed[0]
    other = subprocess.run(
        command(few_cells, work, "--resume", "--seed", "3"), capture_output=True, text=True, check=False
    )
    assert other.returncode == 2
    assert "contains a fold with other settings" in other.stderr


def test_finished_folds_are_not_overwritten_by_a_run_that_starts_anew(
    killed_and_resumed: tuple[Path, str], few_cells: Path, tmp_path: Path
) -> None:
    (tmp_path / "grouped-1-of-2").mkdir()
    (tmp_path / "grouped-1-of-2" / "fold.json").write_bytes(
        (killed_and_resumed[0] / "grouped-1-of-2" / "fold.json").read_bytes()
    )
    with pytest.raises(TrainingError) as caught:
        cross_validate(
            labelled_cells(find_cells(few_cells)), plan_in(tmp_path, "grouped", 2), tmp_path / "grouped.csv"
        )
    assert caught.value.reason == "unfinished"


def test_corrections_are_learnt_and_kept_beside_the_published_labels(few_cells: Path, tmp_path: Path) -> None:
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
