import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, resnet18, resnet50

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.explain import Explainer
from malaria_detect.inference import network as inference
from malaria_detect.inference import packed as packing
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.input import INPUT_SIZE, RESIZE, InputTransform, run_threaded
from malaria_detect.inference.network import ROUNDING, UNSURE, Light, lightened, log_odds, prepared
from malaria_detect.inference.packed import packed
from malaria_detect.inference.precision import bfloat16_is_fast

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pictures(sample_cells: Path) -> torch.Tensor:
    """At most 64 cells, as the network sees them."""
    cells = find_cells(sample_cells).cells
    paths = [cell.path for cell in cells[:: -(-len(cells) // 64)]]
    return InputTransform()([read_image(path) for path in paths])


@pytest.fixture(scope="module")
def exact(detector: Detector, pictures: torch.Tensor) -> np.ndarray:
    """Log-odds in float32, by the network as it was opened."""
    return together(detector, pictures, None)


def together(detector: Detector, pictures: torch.Tensor, light: Light | None) -> np.ndarray:
    return np.concatenate([log_odds(detector.network, part, light) for part in pictures.split(8)])


def test_the_zone_that_is_asked_again_is_the_one_that_was_measured_for_this_model(detector: Detector) -> None:
    report = json.loads((PROJECT / "reports" / "speed.json").read_text(encoding="utf-8"))
    zone = report["zone"]
    assert report["model"] == detector.metadata.sha256
    assert (zone["cells"], zone["unsure"]) == (detector.metadata.valid.cells, UNSURE)
    assert zone["largest_change_of_log_odds"] < ROUNDING
    (row,) = [row for row in zone["rows"] if row["unsure"] == UNSURE]
    assert row["largest_change"] < 1e-3


def test_where_the_processor_knows_bfloat16_it_is_used_and_rounds(
    detector: Detector, pictures: torch.Tensor, exact: np.ndarray
) -> None:
    light = detector.light
    assert light is not None
    rounded = np.array(log_odds(light.network, pictures))
    assert light.rounds == bfloat16_is_fast(torch.device("cpu"))
    if light.rounds:
        assert 0 < np.abs(rounded - exact).max() < ROUNDING
    else:
        assert rounded == pytest.approx(exact, abs=1e-4)


def test_without_bfloat16_the_answers_are_those_of_float32(
    detector: Detector, pictures: torch.Tensor, exact: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "bfloat16_is_fast", lambda _: False)
    light = lightened(detector.network, detector.metadata.architecture)
    assert light is not None
    assert not light.rounds
    assert together(detector, pictures, light) == pytest.approx(exact, abs=1e-4)


def test_wherever_something_is_decided_the_network_itself_decides(detector: Detector) -> None:
    metadata = detector.metadata
    points = [replace(metadata.operating_points[0], threshold=0.0005), *metadata.operating_points[1:]]
    strict = Detector(detector.network, replace(metadata, operating_points=tuple(points)))
    assert strict.light is not None
    edge = metadata.temperature * np.log(0.0005 / 0.9995)
    assert abs(edge) > UNSURE + ROUNDING
    odds = torch.tensor([edge, edge + ROUNDING / 2, edge + 2 * ROUNDING, 0.0, 100.0])
    asked = strict.light.rounds_too_much(odds).tolist()
    assert asked == ([True, True, False, True, False] if strict.light.rounds else 5 * [False])


def test_a_design_whose_rounding_nobody_measured_is_packed_in_float32(detector: Detector) -> None:
    light = lightened(detector.network, "resnet18-scratch-110")
    assert light is not None
    assert not light.rounds
    picture = torch.ones(1, 3, 64, 64)
    assert log_odds(light.network, picture) == pytest.approx(log_odds(detector.network, picture), abs=1e-4)


def test_without_torchs_packing_the_network_is_used_as_it_is(
    detector: Detector, sample_cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_torch_packs", lambda: False)
    plain = Detector(detector.network, detector.metadata)
    assert plain.light is None
    cell = find_cells(sample_cells).cells[0].path
    assert plain.predict(cell).probability_parasitized == pytest.approx(
        detector.predict(cell).probability_parasitized, abs=1e-3
    )


# A processor of 2013, as far as torch's library of convolutions can tell.
_OLD = """
import sys
import torch
torch.cpu.get_capabilities = lambda: {}
from malaria_detect.detector import load_detector
detector = load_detector(sys.argv[1])
assert detector.light is not None and not detector.light.rounds
print(detector.predict(sys.argv[2]).raw_probability_parasitized)
"""


def test_an_older_processor_gives_the_same_answers(
    detector: Detector, sample_cells: Path, shipped_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    cell = find_cells(sample_cells).cells[0].path
    said = _run(_OLD, shipped_model, cell)
    assert float(said) == pytest.approx(detector.predict(cell).raw_probability_parasitized, abs=1e-3)


# No thread may run in a process that is forked, and its copies shall not lay out the weights again.
_FORKING = """
import os, sys
from pathlib import Path
import torch
from malaria_detect.detector import load_detector
torch.set_num_threads(1)
detector = load_detector(sys.argv[1])
assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread was started"
if os.fork() == 0:
    torch.set_num_threads(2)
    again = load_detector(sys.argv[1])
    assert again.light is detector.light
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
    cells = [cell.path for cell in find_cells(sample_cells).cells[::20]]
    said = _run(_FORKING, shipped_model, *cells)
    assert float(said) == pytest.approx(detector.predict(cells[0]).raw_probability_parasitized, abs=1e-3)


def _run(program: str, *arguments: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=PROJECT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return done.stdout


class Says(nn.Module):
    """Gives each picture's first value as its log-odds, plus something; counts what it is asked."""

    def __init__(self, more: float) -> None:
        super().__init__()
        self.more, self.asked = more, 0

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.asked += len(pictures)
        odds = pictures[:, 0, 0, 0] + self.more
        return torch.stack([odds, torch.zeros_like(odds)], dim=1)


def test_only_answers_that_are_unclear_or_close_to_an_edge_are_asked_again() -> None:
    network, rough = Says(0.0), Says(0.25)
    pictures = torch.tensor([-4.0, -2.0, 0.0, 2.5, 4.0])[:, None, None, None].expand(-1, 3, 2, 2)
    light = Light(rough, rounds=True, edges=(-3.75,))
    assert log_odds(network, pictures, light) == [-4.0, -2.0, 0.0, 2.75, 4.25]
    assert (rough.asked, network.asked) == (5, 3)
    assert log_odds(network, pictures[3:], light) == [2.75, 4.25]
    assert network.asked == 3
    assert log_odds(network, pictures, Light(rough, rounds=False)) == [-3.75, -1.75, 0.25, 2.75, 4.25]


@pytest.fixture
def random_network() -> nn.Module:
    torch.manual_seed(0)
    network = resnet18(num_classes=2)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            nn.init.uniform_(part.running_mean, -0.1, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return prepared(network)


def test_a_packed_network_gives_the_same_and_leaves_the_first_as_it_is(random_network: nn.Module) -> None:
    pictures = torch.rand(3, 3, 96, 80)
    before = random_network(pictures)
    fast = packed(random_network, torch.float32)
    assert fast is not None
    assert torch.allclose(fast(pictures), before, atol=1e-5)
    assert torch.equal(random_network(pictures), before)
    assert sum(isinstance(part, BasicBlock) for part in random_network.modules()) == 8
    assert not any(isinstance(part, BasicBlock) for part in fast.modules())


def test_what_cannot_be_packed_is_not() -> None:
    assert packed(prepared(resnet50(num_classes=2)), torch.float32) is None
    not_folded = resnet18(num_classes=2).eval()
    assert packed(not_folded, torch.float32) is None


def test_an_explainer_shares_the_fast_network(
    detector: Detector, sample_cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_copy(*_: object) -> None:
        raise AssertionError("the network was copied")

    monkeypatch.setattr(copy, "deepcopy", no_copy)
    assert detector.light is not None
    cell = next(cell.path for cell in find_cells(sample_cells).cells if cell.label == "Parasitized")
    assert Explainer(detector).explain(cell).sentence


def test_work_run_threaded_keeps_its_order_and_lets_errors_through() -> None:
    assert run_threaded(lambda number: number**2, range(5)) == [0, 1, 4, 9, 16]
    assert run_threaded(str, []) == []
    with pytest.raises(ZeroDivisionError):
        run_threaded(lambda number: 1 / number, [1, 0, 2])


def test_one_picture_is_prepared_as_it_is_among_others() -> None:
    rng = np.random.default_rng(0)
    squares = [rng.integers(0, 256, (RESIZE, RESIZE, 3), dtype=np.uint8) for _ in range(3)]
    whole = InputTransform().tensor(squares)
    assert whole.shape == (3, 3, INPUT_SIZE, INPUT_SIZE)
    assert whole.is_contiguous(memory_format=torch.channels_last)
    for one, picture in zip(squares, whole, strict=True):
        assert torch.equal(InputTransform().tensor([one])[0], picture)
