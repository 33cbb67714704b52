import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v2

from malaria_detect.cli import main
from malaria_detect.data.nlm_cells import check_cells, find_cells
from malaria_detect.designs import run_comparison as comparing
from malaria_detect.designs import scoring, timing
from malaria_detect.designs.comparison import ComparisonError, read_comparison
from malaria_detect.designs.registry import find_network
from malaria_detect.designs.scoring import stands_in
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.metrics import score
from malaria_detect.training.fit import Fitted, fit
from malaria_detect.training.settings import TrainSettings


@pytest.fixture(scope="module")
def compared(few_cells: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A comparison of a small network, of a frozen one and of one whose weights cannot be had; and its command."""
    folder = tmp_path_factory.mktemp("compared")
    torch.manual_seed(0)
    torch.save(mobilenet_v2().state_dict(), folder / "trunk.pth")
    words = [
        *("compare", "--cells", str(few_cells), "--work", str(folder / "work")),
        *("--output", str(folder / "compare.json"), "--model", str(folder / "nowhere.pkl")),
        *("--networks", "small-cnn-64, mobilenetv2-frozen,vgg16-frozen"),
        *("--weights-file", f"mobilenetv2={folder / 'trunk.pth'}"),
        *("--change", "small-cnn-64", "epochs=2", "batch_size=16"),
        *("--change", "mobilenetv2-frozen", "epochs=2"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        _without_a_network(patch, folder)
        assert main(words) == 0
    return folder, words


def _without_a_network(patch: pytest.MonkeyPatch, folder: Path) -> None:
    def unreachable(*_args: object, **_options: object) -> None:
        raise URLError("no network")

    patch.setattr(timing, "_CELLS", 8)  # how fast they are is of no matter here
    patch.setenv("TORCH_HOME", str(folder / "torch"))
    patch.setattr("torch.hub.download_url_to_file", unreachable)


def test_every_named_network_has_a_row_in_the_order_of_the_registry(compared: tuple[Path, list[str]]) -> None:
    found = read_comparison(compared[0] / "compare.json")
    assert [row.network for row in found.rows] == ["small-cnn-64", "vgg16-frozen", "mobilenetv2-frozen"]
    small, vgg, frozen = found.rows
    assert vgg.trained is None
    assert "could not be downloaded" in vgg.not_run
    assert small.trained is not None
    assert frozen.trained is not None
    assert small.trained.changed == ("2 epochs instead of 30", "batch size 16 instead of 32")
    assert frozen.trained.changed == ("2 epochs instead of 20",)
    assert small.trained.parameters == 822_337
    for trained in found.trained.values():
        assert trained.pictures_per_second > 0
        assert trained.training_seconds > 0
    assert frozen.reported is not None
    assert frozen.reported.scores["roc_auc"] == 0.9941


def test_scores_are_those_of_the_cells_that_are_written_beside(compared: tuple[Path, list[str]]) -> None:
    found = read_comparison(compared[0] / "compare.json")
    with (compared[0] / "compare-cells.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, trained in found.trained.items():
        parasitized = np.array([row["label"] == "Parasitized" for row in rows])
        probability = [float(row[name]) for row in rows]
        again = score(
            parasitized, probability, [row["patient_group"] for row in rows], trained.scores.threshold
        )
        assert again.estimates["roc_auc"].value == pytest.approx(
            trained.scores.estimates["roc_auc"].value, abs=1e-3
        )
        assert again.cells == trained.scores.cells


def test_no_test_patient_was_trained_on_or_chose_an_epoch(compared: tuple[Path, list[str]]) -> None:
    metadata = read_metadata(compared[0] / "work" / "small-cnn-64.pkl")
    assert not set(metadata.test.groups) & (set(metadata.train.groups) | set(metadata.valid.groups))
    assert not set(metadata.train.groups) & set(metadata.valid.groups)


def test_what_is_finished_is_not_trained_again(
    compared: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, words = compared
    before = json.loads((folder / "compare.json").read_text(encoding="utf-8"))

    def trained_again(cells: Any, split: Any, settings: TrainSettings, *more: Any, **options: Any) -> Fitted:
        assert settings.network == "vgg16-frozen", "it was trained again"
        return fit(cells, split, settings, *more, **options)

    monkeypatch.setattr(scoring, "fit", trained_again)
    _without_a_network(monkeypatch, folder)
    assert main(words) == 0
    after = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    for one, other in zip(before["rows"], after["rows"], strict=True):
        for row in (one, other):
            if row["trained"]:
                del row["trained"]["pictures_per_second"]
        assert one == other


def test_a_model_of_other_settings_is_not_taken_for_this_one(
    compared: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, words = compared
    other = ["--networks", "small-cnn-64", "--change", "small-cnn-64", "epochs=3"]
    assert main([*words, *other, "--output", str(folder / "other.json")]) == 2
    assert "was trained with other settings (sizes)" in capsys.readouterr().err


def test_rows_of_other_networks_are_not_lost(
    compared: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, words = compared
    before = (folder / "compare.json").read_bytes()
    assert main([*words, "--networks", "small-cnn-64"]) == 2
    assert "which would be lost (vgg16-frozen, mobilenetv2-frozen)" in capsys.readouterr().err
    assert (folder / "compare.json").read_bytes() == before


def test_weights_are_told_apart_by_what_they_are(
    compared: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, words = compared
    other = mobilenet_v2().state_dict()
    torch.save(other, tmp_path / "trunk.pth")  # of the same name
    alone = [*words, "--networks", "mobilenetv2-frozen", "--output", str(folder / "other.json")]
    assert main([*alone, "--weights", f"mobilenetv2={tmp_path / 'trunk.pth'}"]) == 2
    assert "was trained with other settings (weights)" in capsys.readouterr().err


def test_only_a_resnet34_of_the_same_cells_stands_in_for_ours(
    compared: tuple[Path, list[str]], few_cells: Path
) -> None:
    folder, _ = compared
    fingerprint = check_cells(find_cells(few_cells))[1]
    settings = find_network("resnet34").settings()
    small = read_metadata(folder / "work" / "small-cnn-64.pkl")
    twin = replace(small, architecture="resnet34")
    split = (fingerprint, "grouped by patient")
    assert stands_in(twin, settings, *split)
    assert not stands_in(small, settings, *split)
    assert not stands_in(replace(twin, data_fingerprint="x"), settings, *split)
    assert not stands_in(twin, replace(settings, seed=1), *split)
    assert not stands_in(replace(twin, preprocess=("hsv",)), settings, *split)


def test_differences_are_taken_at_each_networks_own_threshold(
    compared: tuple[Path, list[str]], few_cells: Path
) -> None:
    folder, _ = compared
    # The small network plays ours, as a resnet34 takes long to train.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "OURS", "small-cnn-64")
        patch.setattr(timing, "_CELLS", 8)
        found = comparing.compare(
            find_cells(few_cells),
            ["small-cnn-64", "mobilenetv2-frozen"],
            folder / "work",
            folder / "against.json",
            changed={
                "small-cnn-64": {"sizes": (64, 64), "batch_size": 16},
                "mobilenetv2-frozen": {"sizes": (224, 224)},
            },
            weights=f"mobilenetv2={folder / 'trunk.pth'}",
            progress=False,
        )
    small, frozen = (found.trained[name] for name in ("small-cnn-64", "mobilenetv2-frozen"))
    assert small.minus_ours == {}
    for name, estimate in frozen.minus_ours.items():
        wanted = frozen.scores.estimates[name].value - small.scores.estimates[name].value
        assert estimate.value == pytest.approx(wanted, abs=1e-9)
        assert estimate.low <= estimate.value <= estimate.high


def test_an_authors_protocol_puts_patients_on_both_sides_and_says_so(few_cells: Path, tmp_path: Path) -> None:
    output = tmp_path / "author.json"
    words = [
        *("compare", "--cells", str(few_cells), "--work", str(tmp_path), "--output", str(output)),
        *("--protocol", "author", "--networks", "keras-cnn-128,small-cnn-64"),
        *("--change", "keras-cnn-128", "epochs=1"),
    ]
    assert main(words) == 0
    found = read_comparison(output)
    keras, small = found.rows
    assert small.trained is None
    assert "not known" in small.not_run
    assert keras.trained is not None
    cells = len(find_cells(few_cells).cells)
    assert keras.trained.scores.cells == pytest.approx(0.3 * cells, abs=1)
    assert keras.trained.scores.threshold == 0.5
    assert keras.trained.minus_ours == {}
    metadata = read_metadata(tmp_path / "keras-cnn-128-author.pkl")
    assert metadata.split.startswith(
        "random 70/30, seed 1337, patients on both sides; the test cells also chose"
    )
    assert set(metadata.train.groups) & set(metadata.valid.groups)
    assert not list(tmp_path.glob("*-cells.csv"))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--networks", "alexnet"], "There is no network 'alexnet'"),
        (["--change", "alexnet", "epochs=1"], "There is no network 'alexnet'"),
        (["--change", "small-cnn-64", "depth=1"], "got 'depth=1'"),
        (["--change", "small-cnn-64", "network=resnet34"], "got 'network=resnet34'"),
        (["--change", "small-cnn-64", "seed=3"], "seed of small-cnn-64 cannot be changed"),
        (["--change", "small-cnn-64"], "says not what"),
        (["--output", "nowhere/compare.json"], "a folder that can be written to"),
        (["--output", "compare.csv"], "must end in .json"),
    ],
)
def test_wrong_words_cost_nothing(
    words: list[str], problem: str, few_cells: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["compare", "--cells", str(few_cells), "--work", str(tmp_path / "work"), *words]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"protocol": "grouped", "rows": 3}'])
def test_what_is_no_comparison_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "compare.json").write_text(text, encoding="utf-8")
    with pytest.raises(ComparisonError, match="is no comparison of networks"):
        read_comparison(tmp_path / "compare.json")
    with pytest.raises(ComparisonError, match="malaria-detect compare"):
        read_comparison(tmp_path / "missing.json")
