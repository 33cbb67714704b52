from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from malaria_detect.core.atomic import WriteError
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.corrections import CORRECTED, Correction, Corrections
from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.data.splits import folds_of
from malaria_detect.evaluation.cross_validation import read_run
from malaria_detect.evaluation.run_cross_validation import CrossValidationPlan, cross_validate
from malaria_detect.training.resnet34 import DESIGN
from malaria_detect.training.settings import TrainingError, TrainSettings
from tests.refused import refused
from tests.training.processes import next_epochs, running

SETTINGS = TrainSettings(
    sizes=(32, 32), freeze_epochs=0, average_epochs=0, batch_size=16, base_lr=1e-4, weights="none"
)


def plan_in(work: Path, how: str, folds: int) -> CrossValidationPlan:
    return CrossValidationPlan(DESIGN, SETTINGS, work, how, folds, progress=False)


@pytest.fixture(scope="module")
def killed_and_resumed(few_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cross-validation that is killed in its second fold, and what it prints when it is resumed."""
    work = tmp_path_factory.mktemp("crossval")
    words = [
        *("evaluate", "--cells", str(few_cells), "--folds", "2", "--weights", "none", "--sizes", "32x2"),
        *("--work", str(work), "--output", str(work / "grouped.csv")),
        *("--freeze-epochs", "0", "--batch-size", "16", "--lr", "1e-4"),
    ]
    with running(*words) as process:
        next_epochs(process, 3)
    with running(*words, "--resume") as process:
        out, err = process.communicate()
        assert process.returncode == 0, err
    return work, out


def test_a_killed_cross_validation_continues(killed_and_resumed: tuple[Path, str]) -> None:
    work, out = killed_and_resumed
    assert [line for line in out.splitlines() if "fold" in line] == ["fold grouped-2-of-2"]
    assert [line.split()[1] for line in out.splitlines() if line.startswith("epoch")] == ["2/2"]
    assert f"{work / 'grouped.csv'} written: accuracy" in out


def test_every_cell_is_held_out_with_its_patient(
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


def test_finished_folds_are_neither_used_for_another_run_nor_overwritten(
    killed_and_resumed: tuple[Path, str], few_cells: Path, tmp_path: Path
) -> None:
    copytree(killed_and_resumed[0] / "grouped-1-of-2", tmp_path / "grouped-1-of-2")
    data, plan = labelled_cells(find_cells(few_cells)), plan_in(tmp_path, "grouped", 2)
    other = replace(plan, settings=replace(SETTINGS, seed=3), resume=True)
    for one, reason in ((other, "other_run"), (plan, "unfinished")):
        with refused(TrainingError, reason):
            cross_validate(data, one, tmp_path / "grouped.csv")


def test_corrected_labels_are_learnt_and_the_published_ones_kept(few_cells: Path, tmp_path: Path) -> None:
    folder = find_cells(few_cells)
    first, second = folder.cells[0], folder.cells[-1]
    verdicts = ((first, "disagree"), (second, "unsure"))
    corrections = Corrections(tuple(Correction(one.path.name, one.label, said) for one, said in verdicts))
    data, plan = labelled_cells(folder, corrections), plan_in(tmp_path, "random", 1)
    held_out, run = cross_validate(data, plan, tmp_path / "random.csv")
    assert run.patients_on_both_sides
    assert CORRECTED in run.cells
    columns = zip(held_out.files, held_out.labels, held_out.corrected, strict=True)
    changed = {file: corrected for file, label, corrected in columns if label != corrected}
    here = {first.path.name: second.label, second.path.name: ""}
    assert changed == {file: label for file, label in here.items() if file in held_out.files}


def test_an_output_that_cannot_be_written_is_refused_before_training(few_cells: Path, tmp_path: Path) -> None:
    expected: dict[str, tuple[type[MalariaDetectError], str]] = {
        "table.txt": (TrainingError, "output"),
        "nowhere/table.csv": (WriteError, "not_writable"),
    }
    for name, (kind, reason) in expected.items():
        output = tmp_path / name
        with refused(kind, reason):
            cross_validate(labelled_cells(find_cells(few_cells)), plan_in(tmp_path, "grouped", 2), output)
