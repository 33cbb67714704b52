"""Designs on the split of their author."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models import mobilenet_v2

from malaria_detect.cli import main
from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.authors_split import run_on_authors_split
from malaria_detect.designs.comparison import read_comparison
from malaria_detect.designs.registry import find_network
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.training.described import PatientFolds


def test_an_authors_protocol_has_patients_on_both_sides_and_says_so(few_cells: Path, tmp_path: Path) -> None:
    output = tmp_path / "author.json"
    words = [
        *("compare", "--cells", str(few_cells), "--work", str(tmp_path), "--output", str(output)),
        *("--protocol", "author", "--networks", "keras-cnn-128,resnet18-scratch-110"),
        *("--change", "keras-cnn-128", "epochs=1"),
    ]
    assert main(words) == 0
    found = read_comparison(output)
    keras, resnet18 = found.rows
    assert resnet18.author is None
    assert "not known" in resnet18.not_run
    assert keras.author is not None
    assert keras.trained is None
    cells = len(find_cells(few_cells).cells)
    assert keras.author.scores.cells == pytest.approx(0.3 * cells, abs=1)
    assert keras.author.scores.threshold == 0.5
    assert keras.author.split == "random 70/30"
    assert keras.author.changed == ("1 epoch instead of 30",)
    metadata = read_metadata(tmp_path / "keras-cnn-128-author.pkl")
    assert metadata.split.startswith("random 70/30, seed 1337, patients on both sides")
    assert set(metadata.train.groups) & set(metadata.valid.groups)
    assert not list(tmp_path.glob("*-cells.csv"))
    # Both protocols are in one result.
    assert main([*words[:7], "--networks", "handcrafted-forest"]) == 0
    rows = {row.network: row for row in read_comparison(output).rows}
    assert rows["keras-cnn-128"].author == keras.author
    assert rows["handcrafted-forest"].trained is not None


def test_an_author_who_cross_validated_by_patient_is_followed(few_cells: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(mobilenet_v2().state_dict(), tmp_path / "trunk.pth")
    design = replace(find_network("mobilenetv2-frozen"), split=PatientFolds(2))
    settings = design.settings(weights={"mobilenetv2": str(tmp_path / "trunk.pth")}, epochs=2)
    data = labelled_cells(find_cells(few_cells))
    found = run_on_authors_split(design, settings, data, tmp_path / "work", progress=False)
    assert found.split == "2 folds, patients kept apart"
    assert found.scores.cells == len(data.cells)
    assert found.changed == ("2 epochs instead of 12", "keep last instead of best")
    again = run_on_authors_split(design, settings, data, tmp_path / "work", progress=False)
    assert again == found
