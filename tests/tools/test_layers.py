"""The figures of the layers of a design."""

from pathlib import Path

import pytest
import torch

from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.registry import find_network
from malaria_detect.training.export import train
from malaria_detect.training.run import run_by_patient
from tools.layers import FOLDER, main


def test_every_layer_has_a_figure_that_names_its_model(
    few_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    design = find_network("small-cnn-64")
    data = labelled_cells(find_cells(few_cells))
    run = run_by_patient(design, design.settings(epochs=1), data, tmp_path / "run", progress=False)
    metadata = train(run, tmp_path / "small.pkl")
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    (FOLDER / "9-Old.svg").write_text("an earlier one")
    monkeypatch.setattr("sys.argv", ["layers", str(tmp_path / "small.pkl")])
    main()
    files = sorted(FOLDER.iterdir())
    assert [file.name for file in files] == [
        *("1-Conv2d.svg", "2-MaxPool2d.svg", "3-Conv2d.svg", "4-MaxPool2d.svg")
    ]
    assert all(metadata.sha256 in file.read_text(encoding="utf-8") for file in files)
