import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

import pytest
import torch
from torch import nn

from malaria_detect.cli import main
from malaria_detect.data.nlm_cells import check_cells, find_cells
from malaria_detect.data.splits import grouped_split
from malaria_detect.inference.model_files import read_metadata, read_model
from malaria_detect.inference.network import open_learner
from malaria_detect.inference.precision import in_bfloat16
from malaria_detect.training.fit import Fitted, fit
from malaria_detect.training.settings import TrainingError, TrainSettings, parse_sizes

SIZES = "32x2,48"
AVERAGED = 2
LEARNING_RATE = 1e-4  # small: otherwise so few cells send the loss anywhere, from the least of differences
EPOCHS = 6  # one of them frozen, two averaged


def training_words(cells: Path, work: Path) -> list[str]:
    return [
        *("train", "--cells", str(cells), "--weights", "none", "--sizes", SIZES, "--batch-size", "16"),
        *("--work", str(work), "--output", str(work / "export.pkl")),
        *("--lr", str(LEARNING_RATE), "--average-epochs", str(AVERAGED)),
    ]


@contextmanager
def training(cells: Path, work: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """``malaria-detect train`` on a few cells, in a process of its own."""
    command = [sys.executable, "-m", "malaria_detect", *training_words(cells, work), *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def epoch_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("epoch ")]


def wait_for_epoch(process: subprocess.Popen[str]) -> str:
    """Block until the line of the next finished epoch."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch "):
            return line
    raise AssertionError(f"training ended without an epoch: {process.stderr and process.stderr.read()}")


@pytest.fixture(scope="module")
def killed_and_resumed(
    few_cells: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], int, str]:
    """A run that is killed after an epoch, interrupted after the next, and killed again while weights are averaged."""
    work = tmp_path_factory.mktemp("run")
    with training(few_cells, work) as process:
        lines = [wait_for_epoch(process)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (work / "export.pkl").exists()
    with training(few_cells, work, "--resume") as process:
        lines.append(wait_for_epoch(process))
        process.send_signal(signal.SIGINT)
        out, interrupted = process.communicate()
        lines += epoch_lines(out)
        status = process.returncode
    with training(few_cells, work, "--resume") as process:
        while len(lines) < EPOCHS - 1:
            lines.append(wait_for_epoch(process))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (work / "export.pkl").exists()
    with training(few_cells, work, "--resume") as process:
        out, err = process.communicate()
        assert process.returncode == 0, err
    lines += epoch_lines(out)
    return work, lines, status, interrupted


def test_a_killed_run_goes_on_where_it_was(
    killed_and_resumed: tuple[Path, list[str], int, str],
) -> None:
    work, lines, _, _ = killed_and_resumed
    assert [line.split()[1] for line in lines] == [f"{epoch}/{EPOCHS}" for epoch in range(1, EPOCHS + 1)]
    history = read_metadata(work / "export.pkl").history
    assert [(epoch.epoch, epoch.size) for epoch in history] == [
        *((1, 32), (2, 32), (3, 32)),
        *((4, 48), (5, 48), (6, 48)),
    ]


def test_a_finished_run_leaves_no_scaled_cells_behind(
    killed_and_resumed: tuple[Path, list[str], int, str],
) -> None:
    left = {path.name for path in killed_and_resumed[0].iterdir()}
    assert left == {"checkpoint.pt", "export.pkl", "export.json", "reports"}


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(
    killed_and_resumed: tuple[Path, list[str], int, str],
) -> None:
    _, _, status, stderr = killed_and_resumed
    assert status == 130
    assert "Finished epochs are kept" in stderr
    assert "--resume" in stderr
    assert "Traceback" not in stderr


def run_in_one_go(cells: Path, work: Path, **options: object) -> Fitted:
    folder, fingerprint = check_cells(find_cells(cells))
    settings = TrainSettings(
        sizes=parse_sizes(SIZES),
        average_epochs=AVERAGED,
        batch_size=16,
        weights="none",
        base_lr=LEARNING_RATE,
    )
    split = grouped_split(folder.cells, settings.valid, settings.test, settings.seed)
    return fit(folder.cells, split, settings, work, fingerprint=fingerprint, progress=False, **options)  # type: ignore[arg-type]


def test_a_resumed_run_learns_what_an_uninterrupted_one_does(
    killed_and_resumed: tuple[Path, list[str], int, str], few_cells: Path, tmp_path: Path
) -> None:
    resumed = read_metadata(killed_and_resumed[0] / "export.pkl").history
    in_one_go = run_in_one_go(few_cells, tmp_path)
    for one, other in zip(resumed, in_one_go.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=0.02)
        assert one.valid_loss == pytest.approx(other.valid_loss, abs=0.02)


def test_weights_are_averaged_over_the_last_epochs_across_an_interruption(
    killed_and_resumed: tuple[Path, list[str], int, str], few_cells: Path
) -> None:
    state = torch.load(killed_and_resumed[0] / "checkpoint.pt", weights_only=True)
    assert state["average"]["n_averaged"] == AVERAGED  # so few cells give one share of the average an epoch
    head = "1.8.weight"
    averaged = state["average"][f"module.{head}"]
    assert not torch.equal(averaged, state["model"][head])
    exported = run_in_one_go(few_cells, killed_and_resumed[0], resume=True).learner.model.state_dict()
    assert torch.equal(exported[head], averaged)


def test_averaged_batch_norms_are_measured_with_the_averaged_weights(
    killed_and_resumed: tuple[Path, list[str], int, str], few_cells: Path
) -> None:
    state = torch.load(killed_and_resumed[0] / "checkpoint.pt", weights_only=True)
    exported = run_in_one_go(few_cells, killed_and_resumed[0], resume=True).learner.model.state_dict()
    assert not torch.equal(exported["0.1.running_mean"], state["model"]["0.1.running_mean"])


def test_a_checkpoint_of_other_settings_is_refused(
    killed_and_resumed: tuple[Path, list[str], int, str], few_cells: Path
) -> None:
    work = killed_and_resumed[0]
    with training(few_cells, work, "--resume", "--seed", "99") as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert "belongs to a run with other settings (seed)" in err
    assert len(err.strip().splitlines()[-1]) < 300


def test_a_finished_run_is_exported_again_without_training(
    killed_and_resumed: tuple[Path, list[str], int, str], few_cells: Path
) -> None:
    fitted = run_in_one_go(few_cells, killed_and_resumed[0], resume=True)
    assert len(fitted.history) == EPOCHS
    exported = read_metadata(killed_and_resumed[0] / "export.pkl")
    assert fitted.history == exported.history


def test_an_unfinished_run_is_not_overwritten(
    few_cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with training(few_cells, tmp_path) as process:
        wait_for_epoch(process)
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    assert main(training_words(few_cells, tmp_path)) == 2
    assert "holds an unfinished run" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == before


def test_an_interrupt_leaves_no_number_format_behind() -> None:
    network = nn.Linear(2, 2)

    def interrupted() -> None:
        with in_bfloat16(network, torch.device("cpu")):
            assert network(torch.ones(1, 2)).dtype is torch.float32
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not torch.is_autocast_enabled("cpu")
    assert "forward" not in vars(network)
    assert network(torch.ones(1, 2)).dtype is torch.float32


def test_training_from_weights_in_a_file_learns_to_tell_drawn_cells_apart(
    drawn_cells: Path, shipped_model: Path, tmp_path: Path
) -> None:
    stages = ("conv1", "bn1", "", "", "layer1", "layer2", "layer3", "layer4")
    trunk = open_learner(read_model(shipped_model)[1]).model[0]
    weights = {
        f"{stage}.{name}": tensor
        for stage, part in zip(stages, trunk, strict=True)
        for name, tensor in part.state_dict().items()
    }
    torch.save(weights, tmp_path / "trunk.pth")
    folder, _ = check_cells(find_cells(drawn_cells))
    settings = TrainSettings(
        sizes=(96,) * 5,
        freeze_epochs=1,
        average_epochs=0,
        batch_size=8,
        weights=str(tmp_path / "trunk.pth"),
        base_lr=1e-3,
    )
    split = grouped_split(folder.cells, settings.valid, settings.test, settings.seed)
    fitted = fit(folder.cells, split, settings, tmp_path, progress=False)
    assert fitted.start.loaded == len(weights)
    losses = [epoch.train_loss for epoch in fitted.history]
    # An epoch is four batches of eight cells, seen through dropout: the last one alone goes up and down.
    assert mean(losses[-3:]) < 0.6 * losses[0]
    assert fitted.history[-1].roc_auc > 0.9


def test_a_folder_that_cannot_be_written_to_is_told(few_cells: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"Training stopped: .*taken.* name another folder with --work"):
        run_in_one_go(few_cells, tmp_path / "taken" / "work")


def test_the_metadata_keeps_no_path(killed_and_resumed: tuple[Path, list[str], int, str]) -> None:
    work = killed_and_resumed[0]
    assert str(work) not in (work / "export.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "big", "96x", "96x2x3", "96;224"])
def test_sizes_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="written like"):
        parse_sizes(text)


@pytest.mark.parametrize("epochs", ["", "two", "1,2", "1,2,3,4", "-1"])
def test_epochs_that_do_not_go_with_the_sizes_are_refused(epochs: str) -> None:
    with pytest.raises(TrainingError, match="one for each of 3"):
        parse_sizes("32,48,64", epochs)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"sizes": ()}, {"sizes": (8,)}, {"batch_size": 1}, {"average_epochs": -1}, {"lr_mult": 0}),
        *({"base_lr": float("nan")}, {"patience": -3}, {"label_smoothing": 5}, {"weight_decay": -1}),
    ],
)
def test_settings_that_no_run_could_have_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match="or more"):
        TrainSettings(**wrong)  # type: ignore[arg-type]


def test_checkpoints_are_opened_without_running_code(
    killed_and_resumed: tuple[Path, list[str], int, str],
) -> None:
    state = torch.load(killed_and_resumed[0] / "checkpoint.pt", weights_only=True)
    assert state["done"] == EPOCHS
