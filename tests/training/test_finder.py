import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.fields.finder import load_finder
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.training.finder import CHECKPOINT_FILE, train_finder
from malaria_detect.training.finder_export import export_finder
from malaria_detect.training.finder_settings import FinderEpoch, FinderSettings
from malaria_detect.training.settings import TrainingError
from tests.refused import refused

SMALL = FinderSettings(
    epochs=2, batches=2, batch_size=2, side=64, cells=40, valid_cells=20, valid_pictures=2, valid_fields=1
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("start") / "resnet18.pth"
    torch.save(resnet18(weights=None).state_dict(), path)
    return path


def test_a_resumed_run_ends_like_an_uninterrupted_one(
    sample_cells: Path, start: Path, tmp_path: Path
) -> None:
    cells = find_cells(sample_cells).cells
    whole = train_finder(cells, start, SMALL, tmp_path / "whole")
    checkpoint = tmp_path / "whole" / CHECKPOINT_FILE
    state = torch.load(checkpoint, weights_only=True)
    assert len(state["history"]) == 2

    def interrupt(_epoch: FinderEpoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_finder(cells, start, SMALL, tmp_path / "cut", report=interrupt)
    resumed = train_finder(cells, start, SMALL, tmp_path / "cut", resume=True)
    assert [epoch.train_loss for epoch in resumed.history] == pytest.approx(
        [epoch.train_loss for epoch in whole.history], rel=1e-4
    )
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(
            value.float(), resumed.network.state_dict()[name].float(), rtol=1e-3, atol=1e-5
        ), name


def test_a_checkpoint_of_other_settings_is_refused(sample_cells: Path, start: Path, tmp_path: Path) -> None:
    cells = find_cells(sample_cells).cells
    one = FinderSettings(**{**SMALL.__dict__, "epochs": 1, "batches": 1})
    train_finder(cells, start, one, tmp_path)
    with refused(TrainingError, "other_run"):
        train_finder(cells, start, SMALL, tmp_path, resume=True)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"seed": -1}, {"lr": 0.0}, {"lr": float("nan")}, {"side": 250}, {"valid_fields": 0}],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with refused(TrainingError, "bad_setting"):
        FinderSettings(**wrong)


def test_weights_of_another_network_are_refused(sample_cells: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, other)
    with refused(TrainingError, "bad_weights"):
        train_finder(find_cells(sample_cells).cells, other, SMALL, tmp_path / "work")


def test_the_files_of_a_finder_are_checked_when_they_are_opened(
    sample_cells: Path, start: Path, tmp_path: Path
) -> None:
    finder = tmp_path / "finder.pt"
    trained = train_finder(find_cells(sample_cells).cells, start, SMALL, tmp_path / "work")
    export_finder(finder, trained, SMALL, "fingerprint")
    opened = load_finder(finder)
    assert opened.metadata.size_bytes == finder.stat().st_size < 10 * 2**20
    assert opened.metadata.settings["epochs"] == 2
    picture = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        maps = vars(trained.network(picture))
    for name, found in opened.engine(picture.numpy()).items():
        assert np.allclose(found, maps[name].numpy(), rtol=0.05, atol=0.05), name

    finder.write_bytes(finder.read_bytes()[:-1] + b"x")
    with refused(MetadataError, "wrong_sha256"):
        load_finder(finder)
    with refused(MetadataError, "missing"):
        load_finder(tmp_path / "none.pt")
    described = finder.with_suffix(".json")
    described.write_text(json.dumps({"schema_version": 1}))
    with refused(MetadataError, "damaged"):
        load_finder(finder)
