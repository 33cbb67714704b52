import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import pytest
import torch
from scipy.special import expit
from torchvision.models import mobilenet_v2

from malaria_detect.cli import main
from malaria_detect.core.json_io import to_json
from malaria_detect.data.corrections import BELIEVED
from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs import run_comparison, scoring, timing
from malaria_detect.designs.comparison import Comparison, read_comparison
from malaria_detect.designs.registry import find_network
from malaria_detect.designs.scoring import same_split
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.metrics import score
from malaria_detect.training.fit import Fitted, fit
from malaria_detect.training.run import TrainingRun, run_by_patient
from tests.annotated import write_boxes
from tests.known_finder import FEW


class Compared(NamedTuple):
    """A finished comparison: its folder, the command and the result."""

    folder: Path
    words: list[str]
    found: Comparison


@pytest.fixture(scope="module")
def compared(few_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """A comparison of a small network, of a frozen one and of one whose weights cannot be downloaded."""
    folder = tmp_path_factory.mktemp("compared")
    torch.manual_seed(0)
    torch.save(mobilenet_v2().state_dict(), folder / "trunk.pth")
    words = [
        *("compare", "--cells", str(few_cells), "--work", str(folder / "work")),
        *("--output", str(folder / "compare.json")),
        *("--networks", "small-cnn-64, mobilenetv2-frozen,vgg16-frozen,handcrafted-forest"),
        *("--weights-file", f"mobilenetv2={folder / 'trunk.pth'}"),
        *("--change", "small-cnn-64", "epochs=2", "batch_size=16"),
        *("--change", "mobilenetv2-frozen", "epochs=2"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        _without_a_network(patch, folder)
        assert main(words) == 0
    return Compared(folder, words, read_comparison(folder / "compare.json"))


def _without_a_network(patch: pytest.MonkeyPatch, folder: Path) -> None:
    def unreachable(*_args: object, **_options: object) -> None:
        raise URLError("no network")

    patch.setattr(timing, "_CELLS", 8)  # how fast they are is of no matter here
    patch.setenv("TORCH_HOME", str(folder / "torch"))
    patch.setattr("torch.hub.download_url_to_file", unreachable)


def test_every_named_design_has_a_row_in_the_order_of_the_names(compared: Compared) -> None:
    found = compared.found
    assert [row.network for row in found.rows] == [
        *("small-cnn-64", "mobilenetv2-frozen", "vgg16-frozen", "handcrafted-forest")
    ]
    small, frozen, vgg, forest = found.rows
    assert vgg.trained is None
    assert "could not be downloaded" in vgg.not_run
    assert small.trained is not None
    assert frozen.trained is not None
    assert small.trained.changed == ("2 epochs instead of 30", "batch size 16 instead of 32")
    assert frozen.trained.changed == ("2 epochs instead of 12",)
    assert small.trained.parameters == 822_337
    assert all(one.cells_per_second > 0 and one.training_seconds > 0 for one in found.trained.values())
    assert frozen.reported is not None
    assert frozen.reported.scores["roc_auc"] == 0.9941
    assert forest.trained is not None
    assert (forest.trained.input_size, forest.trained.start, forest.trained.settings) == (None, None, {})
    assert forest.trained.parameters > 300  # a node or more in each tree


def test_scores_are_those_of_the_table_of_cells(compared: Compared) -> None:
    with (compared.folder / "compare-cells.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    parasitized = np.array([row["label"] == "Parasitized" for row in rows])
    groups = [row["patient_group"] for row in rows]
    for name, trained in compared.found.trained.items():
        probability = expit([float(row[name]) for row in rows])
        again = score(parasitized, probability, groups, trained.scores.threshold)
        for score_name, estimate in trained.scores.estimates.items():
            # Nearly equal probabilities may change their order, and one cell its side of the threshold.
            assert again.estimates[score_name].value == pytest.approx(estimate.value, abs=0.02), score_name
        assert again.cells == trained.scores.cells


def test_no_test_patient_was_trained_on_or_chose_an_epoch(compared: Compared) -> None:
    metadata = read_metadata(compared.folder / "work" / "small-cnn-64.pkl")
    assert not set(metadata.test.groups) & (set(metadata.train.groups) | set(metadata.valid.groups))
    assert not set(metadata.train.groups) & set(metadata.valid.groups)


def test_a_finished_network_is_not_trained_again(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained_again(run: TrainingRun) -> Fitted:
        assert run.design.name == "vgg16-frozen", "it was trained again"
        return fit(run)

    monkeypatch.setattr(scoring, "fit", trained_again)
    _without_a_network(monkeypatch, compared.folder)
    assert main(compared.words) == 0
    after = read_comparison(compared.folder / "compare.json")
    assert _without_times(after) == _without_times(compared.found)


def _without_times(found: Comparison) -> str:
    # As text, because the interval of a score that is the same for every patient is not a number.
    rows = (
        replace(row, trained=row.trained and replace(row.trained, cells_per_second=0.0, training_seconds=0.0))
        for row in found.rows
    )
    return to_json(replace(found, rows=tuple(rows)))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        # Other settings, other weights of the same name.
        (
            ["--networks", "small-cnn-64", "--change", "small-cnn-64", "epochs=3", "--output", "other.json"],
            "(sizes)",
        ),
        (
            [
                *("--networks", "mobilenetv2-frozen", "--output", "other.json"),
                *("--weights", "mobilenetv2=trunk.pth"),
            ],
            "(weights)",
        ),
    ],
)
def test_a_result_of_something_else_is_neither_used_nor_lost(
    words: list[str],
    problem: str,
    compared: Compared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (compared.folder / "compare.json").read_bytes()
    monkeypatch.chdir(tmp_path)
    torch.save(mobilenet_v2().state_dict(), "trunk.pth")
    assert main([*compared.words, *words]) == 2
    assert problem in capsys.readouterr().err
    assert (compared.folder / "compare.json").read_bytes() == before


def test_only_a_resnet34_of_the_same_cells_is_used_as_ours(compared: Compared, few_cells: Path) -> None:
    design = find_network("resnet34")
    run = run_by_patient(design, design.settings(), labelled_cells(find_cells(few_cells)), compared.folder)
    small = read_metadata(compared.folder / "work" / "small-cnn-64.pkl")
    twin = replace(small, architecture="resnet34")
    assert same_split(twin, run)
    assert not same_split(small, run)
    assert not same_split(replace(twin, data_fingerprint="x"), run)
    assert not same_split(twin, replace(run, settings=replace(run.settings, seed=1)))
    assert not same_split(replace(twin, preprocess=("hsv",)), run)
    assert same_split(replace(twin, data_fingerprint=twin.data_fingerprint + BELIEVED + "x"), run)


def test_differences_are_at_each_networks_threshold(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The small network plays ours, as a resnet34 takes long to train.
    monkeypatch.setattr(run_comparison, "OURS", "small-cnn-64")
    monkeypatch.setattr(timing, "_CELLS", 8)
    output = str(compared.folder / "against.json")
    names = ["small-cnn-64", "mobilenetv2-frozen"]
    assert main([*compared.words, "--networks", ",".join(names), "--output", output]) == 0
    small, frozen = (read_comparison(output).trained[name] for name in names)
    assert small.minus_ours == {}
    for name, estimate in frozen.minus_ours.items():
        expected = frozen.scores.estimates[name].value - small.scores.estimates[name].value
        assert estimate.value == pytest.approx(expected, abs=1e-9)
        # So few steps can teach a network nothing: then its sensitivity has no interval.
        if name == "roc_auc" or np.isfinite(estimate.low):
            assert estimate.low <= estimate.value <= estimate.high


def test_rows_of_other_designs_are_kept_in_any_order(
    compared: Compared,
    few_cells: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(timing, "_CELLS", 8)
    output, table = tmp_path / "compare.json", tmp_path / "compare-cells.csv"
    work = compared.folder / "work"
    names = ["handcrafted-forest", "mobilenetv2-frozen", "small-cnn-64", "handcrafted-forest"]
    for name in names:
        capsys.readouterr()
        assert main([*compared.words, "--networks", name, "--output", str(output), "--work", str(work)]) == 0
        printed = capsys.readouterr().out
        assert [other for other in names if f"{other}: " in printed] == [one for one in names if one == name]
    found = read_comparison(output)
    assert [row.network for row in found.rows] == names[:3]
    for name, one in found.trained.items():
        assert one.scores == compared.found.trained[name].scores
    # One cell fewer is another comparison; so is a table of other trainings.
    fewer = tmp_path / "fewer" / "cell_images"
    shutil.copytree(few_cells, fewer)
    next((fewer / "Uninfected").glob("*.png")).unlink()
    words = ["compare", "--networks", "handcrafted-forest", "--output", str(output), "--work", str(tmp_path)]
    before, right = output.read_bytes(), table.read_text(encoding="utf-8-sig")
    assert main([*words, "--cells", str(fewer)]) == 2
    for wrong in (
        right.replace(",", ";"),
        right.replace(",-", ","),
        "",
        right.replace("Uninfected,", "Uninfected,x"),
    ):
        table.write_text(wrong, encoding="utf-8-sig")
        assert main([*words, "--cells", str(few_cells)]) == 2
    assert output.read_bytes() == before


def test_designs_are_scored_in_other_laboratories_and_the_scores_are_kept(
    compared: Compared, shipped_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_CELLS", 8)
    (tmp_path / "elsewhere").mkdir()
    folder = write_boxes(tmp_path / "elsewhere", (1,), FEW)
    words = [*compared.words, "--output", str(tmp_path / "compare.json"), "--model", str(shipped_model)]
    words += ["--networks", "small-cnn-64"]
    assert main([*words, "--laboratories", str(folder)]) == 0
    (row,) = read_comparison(tmp_path / "compare.json").rows
    assert row.trained is not None
    by_box = next(one for one in row.trained.laboratories if one.cut == "box")
    assert (by_box.name, by_box.fields) == (folder.name, 1)
    assert set(by_box.called) == {"sensitivity", "specificity"}
    assert main(words) == 0
    (again,) = read_comparison(tmp_path / "compare.json").rows
    assert again.trained is not None
    # As text, because one field gives no interval.
    assert (
        to_json(again.trained).partition("parameters")[0] == to_json(row.trained).partition("parameters")[0]
    )
    assert main([*words, "--protocol", "author", "--laboratories", str(folder)]) == 2


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--networks", "alexnet"], "'alexnet'. Choose one of resnet34, "),
        (["--change", "alexnet", "epochs=1"], "'alexnet'"),
        (["--change", "small-cnn-64", "depth=1"], "got 'depth=1'"),
        (["--change", "small-cnn-64", "sizes=large"], "got 'large'"),
        (["--change", "small-cnn-64", "sizes=96x2"], "small-cnn-64 needs images of 64 px"),
        (["--change", "small-cnn-64", "network=resnet34"], "got 'network=resnet34'"),
        (["--change", "small-cnn-64", "seed=3"], "seed of small-cnn-64"),
        (["--change", "small-cnn-64"], "--change"),
        (["--output", "nowhere/compare.json"], "nowhere/compare.json"),
        (["--output", "compare.csv"], "compare.csv"),
        (["--model", "mistyped.pkl"], "mistyped"),
    ],
)
def test_wrong_options_are_refused_before_training(
    words: list[str], problem: str, few_cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["compare", "--cells", str(few_cells), "--work", str(tmp_path / "work"), *words]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
