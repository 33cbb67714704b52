"""Training runs that are killed, interrupted and resumed, and settings that are refused."""

import signal
from dataclasses import replace
from pathlib import Path
from shutil import copy
from statistics import mean
from typing import NamedTuple

import pytest
import torch
from torch import nn

from malaria_detect.cli.training_options import parse_sizes
from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.registry import find_network
from malaria_detect.inference.calibrate import read_logits
from malaria_detect.inference.model_files import read_metadata, read_model
from malaria_detect.training.centred import even_chance
from malaria_detect.training.export import export
from malaria_detect.training.fit import fit
from malaria_detect.training.learner import open_learner
from malaria_detect.training.precision import in_bfloat16
from malaria_detect.training.recalibrate import logits_path
from malaria_detect.training.resnet34 import DESIGN
from malaria_detect.training.run import TrainingRun, run_by_patient
from malaria_detect.training.settings import TrainingError, TrainSettings
from tests.refused import refused
from tests.training.processes import next_epochs, running
from tools.trunk import trunk_of

SIZES = "32x2,48"
AVERAGED = 2
LEARNING_RATE = 1e-4  # small: otherwise so few cells send the loss anywhere, from the least of differences
EPOCHS = 6  # one of them frozen, two averaged


class Resumed(NamedTuple):
    """A run that was stopped three times, and its checkpoint after the first time."""

    work: Path
    lines: list[str]
    after_interrupt: tuple[int, str]
    unfinished: Path

    def checkpoint(self) -> dict[str, dict[str, torch.Tensor]]:
        state: dict[str, dict[str, torch.Tensor]] = torch.load(self.work / "checkpoint.pt", weights_only=True)
        return state


@pytest.fixture(scope="module")
def resumed(few_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    """A run that is killed after an epoch, interrupted after the next, and killed again while weights are averaged."""
    work, unfinished = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("unfinished")
    words = [
        *("train", "--cells", str(few_cells), "--weights", "none", "--sizes", SIZES, "--batch-size", "16"),
        *("--work", str(work), "--output", str(work / "export.pkl")),
        *("--lr", str(LEARNING_RATE), "--average-epochs", str(AVERAGED)),
    ]
    with running(*words) as process:
        lines = next_epochs(process)
    copy(work / "checkpoint.pt", unfinished)
    with running(*words, "--resume") as process:
        lines += next_epochs(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        lines += epoch_lines(out)
        after_interrupt = process.returncode, err
    with running(*words, "--resume") as process:
        lines += next_epochs(process, EPOCHS - 1 - len(lines))
    assert not (work / "export.pkl").exists()
    with running(*words, "--resume") as process:
        out, err = process.communicate()
        assert process.returncode == 0, err
    return Resumed(work, lines + epoch_lines(out), after_interrupt, unfinished)


def epoch_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("epoch ")]


def test_a_killed_run_continues_and_leaves_only_its_results(resumed: Resumed) -> None:
    assert [line.split()[1] for line in resumed.lines] == [f"{n}/{EPOCHS}" for n in range(1, EPOCHS + 1)]
    history = read_metadata(resumed.work / "export.pkl").history
    assert [(epoch.epoch, epoch.size) for epoch in history] == list(enumerate((32, 32, 32, 48, 48, 48), 1))
    left = {path.name for path in resumed.work.iterdir()}
    assert left == {"checkpoint.pt", "export.pkl", "export.graph", "export.json", "export.npz", "reports"}
    assert str(resumed.work) not in (resumed.work / "export.json").read_text(encoding="utf-8")


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_continue(resumed: Resumed) -> None:
    status, err = resumed.after_interrupt
    assert status == 130
    assert "--resume" in err
    assert "Traceback" not in err


def run_of(cells: Path, work: Path, resume: bool = False) -> TrainingRun:
    settings = TrainSettings(
        sizes=parse_sizes(SIZES),
        average_epochs=AVERAGED,
        batch_size=16,
        weights="none",
        base_lr=LEARNING_RATE,
        looks="random",
    )
    data = labelled_cells(find_cells(cells))
    return run_by_patient(DESIGN, settings, data, work, resume=resume, progress=False)


def test_a_resumed_run_gives_the_same_result(resumed: Resumed, few_cells: Path, tmp_path: Path) -> None:
    history = read_metadata(resumed.work / "export.pkl").history
    for one, other in zip(history, fit(run_of(few_cells, tmp_path)).history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, abs=0.02)
        assert one.valid_loss == pytest.approx(other.valid_loss, abs=0.02)


def test_weights_are_averaged_across_an_interruption(resumed: Resumed, few_cells: Path) -> None:
    state = torch.load(resumed.work / "checkpoint.pt", weights_only=True)
    assert state["average"]["n_averaged"] == AVERAGED  # so few cells give one share of the average an epoch
    averaged = state["average"]["module.1.8.weight"]
    assert not torch.equal(averaged, state["model"]["1.8.weight"])
    exported = fit(run_of(few_cells, resumed.work, resume=True)).learner.model.state_dict()
    assert torch.equal(exported["1.8.weight"], averaged)
    assert not torch.equal(exported["0.1.running_mean"], state["model"]["0.1.running_mean"])


def test_a_share_of_the_starting_trunk_is_mixed_into_the_exported_one(
    few_cells: Path, shipped_model: Path, tmp_path: Path
) -> None:
    weights = trunk_of(open_learner(read_model(shipped_model)[1]).model)
    torch.save(weights, tmp_path / "trunk.pth")
    settings = TrainSettings(
        (32, 32), 0, average_epochs=1, batch_size=8, weights=str(tmp_path / "trunk.pth"), start_share=0.25
    )
    data = labelled_cells(find_cells(few_cells))
    fit(run_by_patient(DESIGN, settings, data, tmp_path / "work", progress=False))
    # Again, from the checkpoint, which has no weights of the start.
    run = run_by_patient(DESIGN, settings, data, tmp_path / "work", resume=True, progress=False)
    exported = fit(run).learner.model.state_dict()
    learnt = torch.load(tmp_path / "work" / "checkpoint.pt", weights_only=True)["average"]
    first, last = "0.0.weight", "1.8.weight"
    assert not torch.equal(learnt[f"module.{first}"], weights["conv1.weight"])
    mixed = 0.75 * learnt[f"module.{first}"] + 0.25 * weights["conv1.weight"]
    torch.testing.assert_close(exported[first], mixed)
    assert torch.equal(exported[last], learnt[f"module.{last}"])


@pytest.mark.parametrize("name", ["small-cnn-64", "resnet34"])
def test_what_has_no_starting_trunk_mixes_nothing_in(few_cells: Path, tmp_path: Path, name: str) -> None:
    design = find_network(name)
    settings = design.settings(start_share=0.2, weights="none", keep="last")
    run = run_by_patient(design, settings, labelled_cells(find_cells(few_cells)), tmp_path)
    with refused(TrainingError, "start_share"):
        fit(run)


def test_the_exported_log_odds_are_centred_on_validation_cells(
    resumed: Resumed, few_cells: Path, tmp_path: Path
) -> None:
    run = run_of(few_cells, resumed.work, resume=True)
    export(fit(run), run, tmp_path / "export.pkl")
    validation, _ = read_logits(logits_path(tmp_path / "export.pkl"))
    spread = max(validation.values) - min(validation.values)
    assert even_chance(validation.values, validation.parasitized) == pytest.approx(0, abs=0.05 * spread)


def test_weights_of_a_design_without_a_fastai_head_can_be_averaged(few_cells: Path, tmp_path: Path) -> None:
    design = find_network("small-cnn-64")
    settings = design.settings(
        epochs=1, average_epochs=1, schedule="one-cycle", patience=0, keep="last", batch_size=16
    )
    run = run_by_patient(design, settings, labelled_cells(find_cells(few_cells)), tmp_path, progress=False)
    assert export(fit(run), run, tmp_path / "export.pkl").architecture == "small-cnn-64"


def test_a_checkpoint_of_other_settings_is_refused(resumed: Resumed, few_cells: Path) -> None:
    run = run_of(few_cells, resumed.work, resume=True)
    with refused(TrainingError, "other_run"):
        fit(replace(run, settings=replace(run.settings, seed=99)))


def test_a_finished_run_can_be_exported_twice(resumed: Resumed, few_cells: Path, tmp_path: Path) -> None:
    run = run_of(few_cells, resumed.work, resume=True)
    fitted = fit(run)
    assert fitted.history == read_metadata(resumed.work / "export.pkl").history
    before = {name: tensor.clone() for name, tensor in fitted.learner.model.state_dict().items()}
    dls = fitted.learner.dls
    first, second = (export(fitted, run, tmp_path / name) for name in ("first.pkl", "second.pkl"))
    assert fitted.learner.dls is dls
    assert all(torch.equal(before[name], now) for name, now in fitted.learner.model.state_dict().items())
    assert first.logits_sha256 == second.logits_sha256


def test_an_unfinished_run_is_not_overwritten(resumed: Resumed, few_cells: Path) -> None:
    before = (resumed.unfinished / "checkpoint.pt").read_bytes()
    with refused(TrainingError, "unfinished"):
        fit(run_of(few_cells, resumed.unfinished))
    assert (resumed.unfinished / "checkpoint.pt").read_bytes() == before


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


def test_training_from_weights_in_a_file(drawn_cells: Path, shipped_model: Path, tmp_path: Path) -> None:
    weights = trunk_of(open_learner(read_model(shipped_model)[1]).model)
    torch.save(weights, tmp_path / "trunk.pth")
    file = str(tmp_path / "trunk.pth")
    settings = TrainSettings((96,) * 5, 1, average_epochs=0, batch_size=8, weights=file, base_lr=1e-3)
    data = labelled_cells(find_cells(drawn_cells))
    fitted = fit(run_by_patient(DESIGN, settings, data, tmp_path, progress=False))
    assert fitted.start.loaded == len(weights)
    losses = [epoch.train_loss for epoch in fitted.history]
    # An epoch is four batches of eight cells, seen through dropout: the last one alone goes up and down.
    assert mean(losses[-3:]) < 0.6 * losses[0]
    assert fitted.history[-1].roc_auc > 0.9


def test_a_work_folder_that_cannot_be_written_is_refused(few_cells: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with refused(TrainingError, "files"):
        fit(run_of(few_cells, tmp_path / "taken" / "work"))


@pytest.mark.parametrize(
    ("text", "epochs", "reason"),
    [
        *((text, None, "sizes") for text in ("", "big", "96x", "96x2x3", "96;224")),
        *(("32,48,64", epochs, "epochs") for epochs in ("", "two", "1,2", "1,2,3,4", "-1")),
    ],
)
def test_sizes_and_epochs_that_cannot_be_read_are_refused(text: str, epochs: str | None, reason: str) -> None:
    with refused(TrainingError, reason):
        parse_sizes(text, epochs)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"sizes": ()}, {"sizes": (8,)}, {"batch_size": 1}, {"average_epochs": -1}, {"lr_mult": 0}),
        *({"start_share": 1.0}, {"start_share": 0.2, "keep": "best", "average_epochs": 0}),
        *({"base_lr": float("nan")}, {"patience": -3}, {"label_smoothing": 5}, {"weight_decay": -1}),
        {"optimiser": "lion"},
        # These contradict the frozen and the averaged epochs, and the cycle, of the default.
        *({"schedule": "constant"}, {"patience": 3}, {"keep": "best"}),
    ],
)
def test_settings_that_no_run_can_have_are_refused(wrong: dict[str, object]) -> None:
    with refused(TrainingError, next(iter(wrong))):
        TrainSettings(**wrong)  # type: ignore[arg-type]
