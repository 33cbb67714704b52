"""The runtime form of a network: the same answers as torch's, from the same weights, and made where it is missing."""

import copy
import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.resnet import resnet18

from malaria_detect.core.json_io import to_json
from malaria_detect.inference import runtime
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.graph import Graph, GraphError, members, with_members
from malaria_detect.inference.input import INPUT_SIZE, RESIZE, InputTransform
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.inference.model_files import graph_path, metadata_path, read_metadata, read_model
from malaria_detect.training.convert import classifier_of, graph_of
from malaria_detect.training.learner import open_learner
from tests.refused import refused


def in_halves(network: nn.Module) -> nn.Module:
    """A copy of a network with its weights rounded to float16."""
    return copy.deepcopy(network).half().float().eval()


def odds_of(network: nn.Module, pictures: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        logits = network(pictures)
    return (logits[:, 0] - logits[:, 1]).numpy()


@pytest.fixture(scope="module")
def learner_network(shipped_model: Path) -> nn.Module:
    network: nn.Module = open_learner(read_model(shipped_model)[1]).model.eval()
    return network


@pytest.fixture(scope="module")
def exact(shipped_model: Path) -> Classifier:
    graph = Graph.read(graph_path(shipped_model).read_bytes())
    return Classifier.open(graph, shipped_model.read_bytes(), exact=True)


def test_a_converted_network_answers_as_before_with_norms_that_have_learnt() -> None:
    torch.manual_seed(0)
    network = resnet18(num_classes=2)
    network(torch.rand(8, 3, 96, 96))  # in training, so that the norms are no identities
    pictures = torch.rand(3, 3, 96, 96)
    found = classifier_of(network, 96, exact=True).log_odds(pictures.numpy())
    assert found == pytest.approx(odds_of(in_halves(network), pictures), abs=1e-4)
    assert network.training


def test_a_layer_that_occurs_twice_keeps_its_place() -> None:
    torch.manual_seed(0)
    relu, twice = nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)
    layers = nn.Conv2d(3, 4, 3), relu, twice, relu, twice, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)
    network, pictures = nn.Sequential(*layers).eval(), torch.rand(2, 3, 8, 8)
    found = classifier_of(network, 8, exact=True).log_odds(pictures.numpy())
    assert found == pytest.approx(odds_of(in_halves(network), pictures), abs=1e-5)


def test_weights_that_are_stored_channels_last_are_found() -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2)
    network = in_halves(nn.Sequential(*layers)).to(memory_format=torch.channels_last)
    file = io.BytesIO()
    torch.save({name: value.half() for name, value in network.state_dict().items()}, file)
    classifier = Classifier.open(graph_of(network, members(file.getvalue()), 8), file.getvalue(), exact=True)
    pictures = torch.rand(2, 3, 8, 8)
    assert classifier.log_odds(pictures.numpy()) == pytest.approx(odds_of(network, pictures), abs=1e-5)


def test_one_pass_shows_what_torch_computes_on_the_way(learner_network: nn.Module, exact: Classifier) -> None:
    for side in (INPUT_SIZE, 112):
        pictures = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))
        seen = exact.see(pictures.numpy())
        assert seen is not None
        trunk, head = learner_network.children()
        stages = []
        with torch.inference_mode():
            x = pictures
            for part in trunk.children():
                x = part(x)
                if isinstance(part, nn.Sequential):
                    variance, mean = torch.var_mean(x.flatten(2), dim=2, correction=0)
                    stages += [variance, mean]
            features = head.get_submodule("1")(head.get_submodule("0")(x))
        for found, expected in (
            (seen.odds, torch.from_numpy(odds_of(learner_network, pictures))),
            (seen.features, features),
            (seen.layers, torch.cat(stages, dim=1)),
            (seen.map, x),
        ):
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=1e-4)
        assert exact.head is not None
        np.testing.assert_allclose(exact.head.log_odds(seen.features), seen.odds, atol=1e-4)


def test_a_network_without_a_trunk_and_a_head_gives_log_odds_alone() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    classifier, pictures = classifier_of(network, 4), np.ones((1, 3, 4, 4), np.float32)
    assert classifier.see(pictures) is None
    assert classifier.log_odds(pictures).shape == (1,)


def test_a_graph_holds_no_weights_and_is_the_same_for_the_same_model(
    learner_network: nn.Module, shipped_model: Path
) -> None:
    weights = members(shipped_model.read_bytes())
    content = graph_of(learner_network, weights).content()
    assert content == graph_of(learner_network, weights).content()
    assert len(content) < 2**16
    shipped = graph_path(shipped_model).read_bytes()
    assert Graph.read(shipped).weights == Graph.read(content).weights
    assert hashlib.sha256(shipped).hexdigest() == read_metadata(shipped_model).graph_sha256


def test_weights_of_another_network_are_refused(shipped_model: Path) -> None:
    data = shipped_model.read_bytes()
    with pytest.raises(GraphError):
        graph_of(resnet18(num_classes=2), members(data))
    graph = Graph.read(graph_path(shipped_model).read_bytes())
    member = next(iter(graph.weights.values()))
    for other in (b"", data[:-100], with_members(data, {member: b"short"})):
        with pytest.raises(GraphError):
            graph.model(members(other))
    with pytest.raises(GraphError):
        Graph.read(data)


def test_a_copied_detector_answers_the_same(detector: Detector) -> None:
    pictures = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    again: Detector = pickle.loads(pickle.dumps(detector))
    assert detector.classifier is not None
    assert again.classifier is not None
    assert again.classifier.engine.settings == detector.classifier.engine.settings
    np.testing.assert_allclose(
        again.classifier.log_odds(pictures), detector.classifier.log_odds(pictures), atol=1e-6
    )


@pytest.mark.parametrize("how", ["missing", "stale", "unnamed"])
def test_a_runtime_form_that_is_missing_or_stale_is_made_once(
    pair: Path, how: str, shipped_model: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_path(pair)
    if how == "missing":
        graph.unlink()
    elif how == "stale":
        graph.write_bytes(b"of another model")
    else:
        metadata = replace(read_metadata(pair), graph_sha256=None)
        metadata_path(pair).write_text(to_json(metadata), encoding="utf-8")
    monkeypatch.setattr("malaria_detect.inference.detector._OPENED", {})
    opened = load_detector(pair)
    shipped = Graph.read(graph_path(shipped_model).read_bytes())
    assert Graph.read(graph.read_bytes()).weights == shipped.weights
    assert read_metadata(pair).graph_sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()
    pictures = np.zeros((1, 3, 64, 64), np.float32)
    assert opened.classifier is not None
    assert detector.classifier is not None
    assert opened.classifier.log_odds(pictures) == pytest.approx(detector.classifier.log_odds(pictures))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was made again")

    monkeypatch.setattr(subprocess, "run", never)
    monkeypatch.setattr("malaria_detect.inference.detector._OPENED", {})
    load_detector(pair)


def test_without_torch_a_missing_runtime_form_says_what_to_install(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph_path(pair).unlink()
    monkeypatch.setattr("malaria_detect.inference.detector._OPENED", {})
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with refused(MetadataError, "no_graph", naming="malaria-detect[train]"):
        load_detector(pair)


def test_a_learner_that_cannot_be_converted_says_why(
    pair: Path, shipped_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"no learner"
    pair.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    metadata = replace(read_metadata(shipped_model), sha256=digest, graph_sha256=None)
    metadata_path(pair).write_text(to_json(metadata), encoding="utf-8")
    monkeypatch.setattr("malaria_detect.inference.detector._OPENED", {})
    with refused(MetadataError, "no_graph"):
        load_detector(pair)


def test_an_image_has_the_same_input_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    padded = [rng.integers(0, 256, (RESIZE, RESIZE, 3), dtype=np.uint8) for _ in range(3)]
    whole = InputTransform().tensor(padded)
    assert whole.shape == (3, 3, INPUT_SIZE, INPUT_SIZE)
    for one, array in zip(padded, whole, strict=True):
        assert np.array_equal(InputTransform().tensor([one])[0], array)


_WITHOUT_TORCH = """
import sys
for name in ("torch", "fastai", "torchvision"):
    sys.modules[name] = None
from malaria_detect import load_detector
print(load_detector(sys.argv[1]).predict(sys.argv[2]).decision)
# OpenVINO would report to its makers that it is used.
assert sys.modules["openvino_telemetry"] is None
"""


def test_a_prediction_needs_no_torch(sample_cells: Path, shipped_model: Path, detector: Detector) -> None:
    cell = next(sample_cells.rglob("*.png"))
    command = [sys.executable, "-c", _WITHOUT_TORCH, str(shipped_model), str(cell)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == detector.predict(cell).decision


@pytest.mark.parametrize("module", ["torch", "numpy"])
def test_nothing_is_imported_from_the_current_folder(
    pair: Path, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph_path(pair).unlink()
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / f"{module}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(strange)
    monkeypatch.setattr("malaria_detect.inference.detector._OPENED", {})
    load_detector(pair)
    assert graph_path(pair).is_file()


def test_a_model_that_is_replaced_during_the_conversion_keeps_its_metadata(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph_path(pair).unlink()
    metadata = read_metadata(pair)
    monkeypatch.setattr(runtime, "read_metadata", lambda _: replace(metadata, sha256="0" * 64))
    before = metadata_path(pair).read_bytes()
    assert runtime.graph_content(pair, metadata)
    assert metadata_path(pair).read_bytes() == before
    assert not graph_path(pair).exists()


def test_a_graph_of_another_version_is_refused(shipped_model: Path) -> None:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(graph_path(shipped_model)) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        about = json.loads(old.read("graph.json"))
        new.writestr("graph.json", json.dumps(about | {"version": about["version"] + 1}))
    with pytest.raises(GraphError, match="version"):
        Graph.read(file.getvalue())
