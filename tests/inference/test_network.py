"""Networks for prediction: folded norms, and float32 wherever rounding could change a decision."""

import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.resnet import resnet18

from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.frozen import Trunks
from malaria_detect.designs.keras_cnn import sheared
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.input import INPUT_SIZE, RESIZE, InputTransform, run_threaded
from malaria_detect.inference.network import (
    MARGIN,
    log_odds,
    mixed_log_odds,
    open_learner,
    prepared,
    seen_by,
)
from malaria_detect.training.datablock import Preprocess

PROJECT = Path(__file__).parents[2]


class Rounding(nn.Module):
    """Returns the first value of each image as log-odds, plus an error under autocast; counts the images."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {True: 0, False: 0}

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        rounded = torch.is_autocast_enabled("cpu")
        self.counts[rounded] += len(pictures)
        odds = pictures[:, 0, 0, 0] + (MARGIN / 4 if rounded else 0)
        return torch.stack([odds, torch.zeros_like(odds)], dim=1)


@pytest.mark.parametrize(
    ("named", "then"),
    [
        (Preprocess, "malaria_detect.recipe"),
        (Trunks, "malaria_detect.networks.frozen"),
        (sheared, "malaria_detect.networks.keras_cnn"),
    ],
)
def test_learners_exported_before_their_modules_moved_are_opened(
    named: Any, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    with monkeypatch.context() as old:
        module = ModuleType(then)
        setattr(module, named.__name__, named)
        for parent in ("malaria_detect.networks", then):
            old.setitem(sys.modules, parent, module)
        old.setattr(named, "__module__", then)
        torch.save(named, file)
    assert then.encode() in file.getvalue()
    assert open_learner(file.getvalue()) is named


def test_only_answers_near_the_thresholds_are_computed_again() -> None:
    network = Rounding()
    odds = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0])
    pictures = odds[:, None, None, None].expand(-1, 3, 2, 2)
    error = MARGIN / 4
    mixed = mixed_log_odds(network, pictures, log_odds(network, pictures, True), (-2.0, 0.25))
    assert mixed == pytest.approx([-4 + error, -2, 0, 2 + error, 4 + error])
    assert network.counts == {True: 5, False: 2}
    mixed_log_odds(network, pictures[3:], log_odds(network, pictures[3:], True), (-2.0, 0.25))
    assert network.counts == {True: 7, False: 2}


def test_an_overflow_in_bfloat16_is_computed_again() -> None:
    class Overflowing(Rounding):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            answer = super().forward(pictures)
            return answer * torch.nan if torch.is_autocast_enabled("cpu") else answer

    assert mixed_log_odds(Overflowing(), torch.full((1, 3, 2, 2), 3.0), [np.nan], (0.0, 1.0)) == [3.0]


def test_folded_norms_change_nothing() -> None:
    torch.manual_seed(0)
    network = resnet18(num_classes=2)
    network(torch.rand(8, 3, 96, 80))  # in training, so that the norms are no identities
    pictures = torch.rand(3, 3, 96, 80)
    with torch.inference_mode():
        before = network.eval()(pictures)
    expected = (before[:, 0] - before[:, 1]).tolist()
    assert log_odds(prepared(network), pictures) == pytest.approx(expected, abs=1e-4)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())


def test_a_layer_that_occurs_twice_keeps_its_place_between_others() -> None:
    torch.manual_seed(0)
    relu = nn.ReLU()
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2)
    ).eval()
    pictures = torch.rand(2, 3, 8, 8)
    with torch.inference_mode():
        before = network(pictures)
        assert torch.allclose(prepared(network)(pictures), before, atol=1e-6)


# No thread may run in a process that is forked, and the copies must not open the model again.
_FORKING = """
import os, sys
from pathlib import Path
import torch
from malaria_detect.inference.detector import load_detector
torch.set_num_threads(1)
detector = load_detector(sys.argv[1])
assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread was started"
if os.fork() == 0:
    torch.set_num_threads(2)
    again = load_detector(sys.argv[1])
    assert again.network is detector.network
    many = list(again.predict_many(2 * sys.argv[2:]))
    print(many[0].raw_probability_parasitized, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
def test_a_model_opened_before_a_fork_answers_after_it_with_more_threads(
    detector: Detector, sample_cells: Path, shipped_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("OMP", "OPENBLAS", "MKL"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
    cells = [cell.path for cell in find_cells(sample_cells).cells[::80]]
    command = [sys.executable, "-c", _FORKING, str(shipped_model), *map(str, cells)]
    done = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True)
    expected = detector.predict(cells[0]).raw_probability_parasitized
    assert float(done.stdout) == pytest.approx(expected, abs=0.01)


def test_threaded_results_keep_their_order_and_errors_are_raised() -> None:
    assert run_threaded(lambda number: number**2, range(5)) == [0, 1, 4, 9, 16]
    assert run_threaded(str, []) == []
    with pytest.raises(ZeroDivisionError):
        run_threaded(lambda number: 1 / number, [1, 0, 2])


def test_an_image_has_the_same_input_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    padded = [rng.integers(0, 256, (RESIZE, RESIZE, 3), dtype=np.uint8) for _ in range(3)]
    whole = InputTransform().tensor(padded)
    assert whole.shape == (3, 3, INPUT_SIZE, INPUT_SIZE)
    assert whole.is_contiguous(memory_format=torch.channels_last)
    for one, tensor in zip(padded, whole, strict=True):
        assert torch.equal(InputTransform().tensor([one])[0], tensor)


def test_features_come_with_the_same_log_odds_from_one_pass(detector: Detector) -> None:
    pictures = torch.rand(2, 3, 64, 64)
    passes = []
    hook = detector.network.get_submodule("0.0").register_forward_hook(lambda *_: passes.append(1))
    seen = seen_by(detector.network, pictures)
    hook.remove()
    assert len(passes) == 1
    assert seen is not None
    assert (seen.features.shape, seen.features.dtype) == ((2, 1024), np.float32)
    assert seen.odds == pytest.approx(log_odds(detector.network, pictures), abs=1e-5)


def test_of_a_network_without_a_trunk_and_a_head_nothing_is_seen() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    assert seen_by(network, torch.ones(1, 3, 2, 2)) is None
