"""Training runs that are killed, interrupted and resumed, and settings that are refused."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import pytest
import torch
from torch import nn

from malaria_detect.cli import main
from malaria_detect.cli.training_options import parse_sizes
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.inference.model_files import read_metadata, read_model
from malaria_detect.inference.network import open_learner
from malaria_detect.inference.precision import in_bfloat16
from malaria_detect.training.export import export
from malaria_detect.training.fit import fit
from malaria_detect.training.resnet34 import DESIGN
from malaria_detect.training.run import TrainingRun, labelled_cells, run_by_patient
from malaria_detect.training.settings import TrainingError, TrainSettings

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


class Resumed(NamedTuple):
    """A run that was stopped three times: its folder, its epoch lines, and how Ctrl-C ended it."""

    work: Path
    lines: list[str]
    status: int
    stderr: str

    def checkpoint(self) -> dict[str, dict[str, torch.Tensor]]:
        state: dict[str, dict[str, torch.Tensor]] = torch.load(self.work / "checkpoint.pt", weights_only=True)
        return state


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
def resumed(few_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
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
    return Resumed(work, lines + epoch_lines(out), status, interrupted)


def test_a_killed_run_continues_after_its_last_epoch(resumed: Resumed) -> None:
    assert [line.split()[1] for line in resumed.lines] == [f"{n}/{EPOCHS}" for n in range(1, EPOCHS + 1)]
    history = read_metadata(resumed.work / "export.pkl").history
    assert [(epoch.epoch, epoch.size) for epoch in history] == [
        *((1, 32), (2, 32), (3, 32)),
        *((4, 48), (5, 48), (6, 48)),
    ]


def test_a_finished_run_leaves_no_image_cache_and_its_metadata_no_path(resumed: Resumed) -> None:
    left = {path.name for path in resumed.work.iterdir()}
    assert left == {"checkpoint.pt", "export.pkl", "export.json", "reports"}
    assert str(resumed.work) not in (resumed.work / "export.json").read_text(encoding="utf-8")


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_continue(resumed: Resumed) -> None:
    assert resumed.status == 130
    assert "--resume" in resumed.stderr
    assert "Traceback" not in resumed.stderr


def run_of(cells: Path, work: Path, resume: bool = False) -> TrainingRun:
    settings = TrainSettings(
        sizes=parse_sizes(SIZES),
        average_epochs=AVERAGED,
        batch_size=16,
        weights="none",
        base_lr=LEARNING_RATE,
    )
    data = labelled_cells(find_cells(cells))
    return run_by_patient(DESIGN, settings, data, work, resume=resume, progress=False)


def test_a_resumed_run_gives_the_result_of_an_uninterrupted_one(
    resumed: Resumed, few_cells: Path, tmp_path: Path
) -> None:
    history = read_metadata(resumed.work / "export.pkl").history
    for one, other in zip(history, fit(run_of(few_cells, tmp_path)).history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=0.02)
        assert one.valid_loss == pytest.approx(other.valid_loss, abs=0.02)


def test_weights_are_averaged_across_an_interruption_and_batch_norms_measured_with_them(
    resumed: Resumed, few_cells: Path
) -> None:
    state = resumed.checkpoint()
    assert state["average"]["n_averaged"] == AVERAGED  # so few cells give one share of the average an epoch
    averaged = state["average"]["module.1.8.weight"]
    assert not torch.equal(averaged, state["model"]["1.8.weight"])
    exported = fit(run_of(few_cells, resumed.work, resume=True)).learner.model.state_dict()
    assert torch.equal(exported["1.8.weight"], averaged)
    assert not torch.equal(exported["0.1.running_mean"], state["model"]["0.1.running_mean"])


def test_a_checkpoint_of_other_settings_is_refused(resumed: Resumed, few_cells: Path) -> None:
    run = run_of(few_cells, resumed.work, resume=True)
    with pytest.raises(TrainingError, match=r"\(seed\)") as caught:
        fit(replace(run, settings=replace(run.settings, seed=99)))
    assert caught.value.reason == "other_run"


def test_a_finished_run_is_exported_again_to_the_same_model_and_stays_as_it_is(
    resumed: Resumed, few_cells: Path, tmp_path: Path
) -> None:
    run = run_of(few_cells, resumed.work, resume=True)
    fitted = fit(run)
    assert fitted.history == read_metadata(resumed.work / "export.pkl").history
    before = {name: tensor.clone() for name, tensor in fitted.learner.model.state_dict().items()}
    dls = fitted.learner.dls
    first, second = (export(fitted, run, tmp_path / name) for name in ("first.pkl", "second.pkl"))
    assert fitted.learner.dls is dls
    assert all(torch.equal(before[name], now) for name, now in fitted.learner.model.state_dict().items())
    assert first.logits_sha256 == second.logits_sha256


def test_an_unfinished_run_is_not_overwritten(
    few_cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with training(few_cells, tmp_path) as process:
        wait_for_epoch(process)
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    assert main(training_words(few_cells, tmp_path)) == 2
    assert "--resume" in capsys.readouterr().err
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


def test_training_from_weights_in_a_file_learns_drawn_cells(
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
    settings = TrainSettings(
        sizes=(96,) * 5,
        freeze_epochs=1,
        average_epochs=0,
        batch_size=8,
        weights=str(tmp_path / "trunk.pth"),
        base_lr=1e-3,
    )
    data = labelled_cells(find_cells(drawn_cells))
    fitted = fit(run_by_patient(DESIGN, settings, data, tmp_path, progress=False))
    assert fitted.start.loaded == len(weights)
    losses = [epoch.train_loss for epoch in fitted.history]
    # An epoch is four batches of eight cells, seen through dropout: the last one alone goes up and down.
    assert mean(losses[-3:]) < 0.6 * losses[0]
    assert fitted.history[-1].roc_auc > 0.9


def test_a_work_folder_that_cannot_be_written_is_refused(few_cells: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(TrainingError) as caught:
        fit(run_of(few_cells, tmp_path / "taken" / "work"))
    assert caught.value.reason == "files"


@pytest.mark.parametrize(
    ("text", "epochs", "reason"),
    [
        *((text, None, "sizes") for text in ("", "big", "96x", "96x2x3", "96;224")),
        *(("32,48,64", epochs, "epochs") for epochs in ("", "two", "1,2", "1,2,3,4", "-1")),
    ],
)
def test_sizes_and_epochs_that_cannot_be_read_are_refused(text: str, epochs: str | None, reason: str) -> None:
    with pytest.raises(TrainingError) as caught:
        parse_sizes(text, epochs)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "wrong",
    [
        *({"sizes": ()}, {"sizes": (8,)}, {"batch_size": 1}, {"average_epochs": -1}, {"lr_mult": 0}),
        *({"base_lr": float("nan")}, {"patience": -3}, {"label_smoothing": 5}, {"weight_decay": -1}),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TrainingError) as caught:
        TrainSettings(**wrong)  # type: ignore[arg-type]
    assert caught.value.reason in wrong
