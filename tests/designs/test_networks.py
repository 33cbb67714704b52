from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import nn
from torchvision.models import mobilenet_v2, vgg16

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.activations import activations
from malaria_detect.designs.keras_cnn import sheared
from malaria_detect.designs.registry import all_designs, find_network
from malaria_detect.designs.scoring import cut_off
from malaria_detect.designs.scratch import one_output
from malaria_detect.evaluation.literature import read_published
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.training.convert import classifier_of
from malaria_detect.training.datablock import design_dataloaders
from malaria_detect.training.design import Design
from malaria_detect.training.half_pickle import export_learner
from malaria_detect.training.learner import open_learner
from malaria_detect.training.pretrained import WeightsError
from malaria_detect.training.settings import Weights
from tests.refused import refused

PROJECT = Path(__file__).resolve().parents[2]
NETWORKS = {name: design for name, design in all_designs().items() if isinstance(design, Design)}
FROZEN = tuple(name for name, design in NETWORKS.items() if design.frozen)


def state_of(network: nn.Module, path: Path, drop: str = "nothing") -> Path:
    """A network's state dict in a file, without the tensors whose names begin with ``drop``."""
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(drop)}
    torch.save(state, path)
    return path


def zoo_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A timm ResNet-50 v2's first two stages as the ONNX model zoo names them, with its three further norms."""
    named = {"conv1.weight": state["stem.conv.weight"]}
    for name, tensor in state.items():
        match name.split("."):
            case ["stages", stage, "blocks", block, "downsample", "conv", "weight"] if int(stage) < 2:
                named[f"layer{int(stage) + 1}.{block}.downsample.weight"] = tensor
            case ["stages", stage, "blocks", block, part, leaf] if int(stage) < 2:
                named[f"layer{int(stage) + 1}.{block}.{part.replace('norm', 'bn')}.{leaf}"] = tensor
    for norm, channels in (("bn0", 3), ("bn1", 64), ("bn_next", 512)):
        named |= {f"{norm}.{name}": tensor for name, tensor in nn.BatchNorm2d(channels).state_dict().items()}
    return named


@pytest.fixture(scope="module")
def trunk_files(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """State dicts of all trunks; that of the ResNet-50 v2 ends after two stages."""
    folder = tmp_path_factory.mktemp("trunks")
    torch.manual_seed(0)
    files = {
        "vgg16": state_of(vgg16(init_weights=False), folder / "vgg16.pth", drop="classifier"),
        "mobilenetv2": state_of(mobilenet_v2(), folder / "mobilenetv2.pth"),
        "resnet50v2": folder / "resnet50v2.pth",
    }
    torch.save(zoo_names(timm.create_model("resnetv2_50").state_dict()), files["resnet50v2"])
    return {name: str(file) for name, file in files.items()}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("keras-cnn-128", 8_417_634), ("resnet18-scratch-110", 12_549_697), ("small-cnn-64", 822_337)],
)
def test_a_design_from_scratch_has_its_layers_and_takes_no_weights(name: str, parameters: int) -> None:
    network = find_network(name).start("none").network
    assert sum(tensor.numel() for tensor in network.parameters()) == parameters
    with refused(WeightsError, "not_used"):
        find_network(name).start("weights.pth")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_goes_through_export_detector_and_activations(
    name: str, trunk_files: Weights, shipped_model: Path, few_cells: Path, tmp_path: Path
) -> None:
    design = find_network(name)
    assert design.any_size or set(design.settings().epochs) == {design.input_size}
    network = design.start(trunk_files if design.frozen else "none").network
    paths = [cell.path for cell in find_cells(few_cells).cells[::20]]
    block = {"size": design.input_size, "batch_tfms": design.augmentations(design.input_size)}
    dls = design_dataloaders(paths, **block, mean=design.mean, std=design.std)
    export_learner(design.wrap(dls, network, design.settings()), tmp_path / "any.pkl")
    learner, again = (open_learner((tmp_path / "any.pkl").read_bytes()) for _ in range(2))
    metadata = replace(
        read_metadata(shipped_model), input_size=design.input_size, mean=design.mean, std=design.std
    )
    detector = Detector(classifier_of(again.model, design.input_size, exact=True), metadata)
    with learner.no_bar(), learner.no_logging():
        _, _, probabilities = learner.predict(paths[0])
    prediction = detector.predict(paths[0])
    assert prediction.raw_probability_parasitized == pytest.approx(float(probabilities[0]), abs=1e-3)
    picture = torch.from_numpy(metadata.input_transform([read_image(paths[0])]))
    layers = activations(again.model, picture)
    assert len(layers) >= 4
    assert all(np.isfinite(layer.maps).all() for layer in layers)


def test_one_output_is_a_sigmoid_as_two_logits() -> None:
    logits = one_output(8)(torch.rand(3, 8)).detach()
    assert logits[:, 1].eq(0).all()
    labels = torch.tensor([0, 1, 0])
    cross_entropy = nn.functional.cross_entropy(logits, labels)
    binary = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], (labels == 0).float())
    assert float(cross_entropy) == pytest.approx(float(binary), rel=1e-5)


def test_a_shear_leaves_columns_upright() -> None:
    torch.manual_seed(0)
    matrices = sheared(torch.zeros(500, 3, 8, 8))
    assert matrices.shape == (500, 3, 3)
    slant = torch.atan2(-matrices[:, 1, 0], matrices[:, 0, 0])
    assert slant.abs().max() <= 0.2
    assert slant.min() < -0.15
    assert slant.max() > 0.15
    assert matrices[:, 0, 1].eq(0).all()


def test_published_scores_are_those_that_the_report_quotes() -> None:
    quoted = [
        (work.protocol, work.scores)
        for work in read_published(PROJECT / "reports/published.json").on_these_cells
    ]
    reported = [design.reported for design in all_designs().values() if design.reported is not None]
    assert all((one.protocol, one.scores) in quoted for one in reported)


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_trunk_needs_weights(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_args: object, **_options: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing was downloaded before
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setattr("timm.create_model", unreachable)
    for weights, reason in (("imagenet", "no_download"), ("none", "frozen")):
        with refused(WeightsError, reason):
            find_network(name).start(weights)


def test_an_incomplete_trunk_is_refused(tmp_path: Path) -> None:
    path = state_of(mobilenet_v2(), tmp_path / "mobilenetv2.pth", drop="features.7.")
    with pytest.raises(WeightsError, match="lacks 15 tensors") as caught:
        find_network("mobilenetv2-frozen").start(str(path))
    assert caught.value.reason == "incomplete"


def test_as_many_stages_are_built_as_the_file_contains(trunk_files: Weights) -> None:
    started = find_network("resnet50v2-frozen").start(trunk_files)
    trunk, head = started.network.get_submodule("0"), started.network.get_submodule("1")
    with torch.inference_mode():
        features = trunk.eval()(torch.rand(1, 3, 64, 64))
    # Maximum and mean of each of 512 channels.
    assert features.shape == (1, 1024)
    assert head.get_submodule("0").num_features == 1024
    assert started.start.missing == 0
    assert cut_off(started.network) == ("the pretrained network was cut after stage 2 of 4",)


def test_timms_own_state_dict_is_loaded_whole_and_sees_timms_own_scale(tmp_path: Path) -> None:
    whole = timm.create_model("resnetv2_50", num_classes=0, global_pool="catavgmax").eval()
    started = find_network("resnet50v2-frozen").start(str(state_of(whole, tmp_path / "timm.pth")))
    wanted = resolve_model_data_config(whole)
    design = find_network("resnet50v2-frozen")
    pictures = torch.rand(2, 3, 64, 64)

    def scaled(mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
        return (pictures - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)

    with torch.inference_mode():
        ours = started.network.eval().get_submodule("0")(scaled(design.mean, design.std))
        theirs = whole(scaled(wanted["mean"], wanted["std"]))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_fused_features_are_concatenated(trunk_files: Weights) -> None:
    pictures = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        alone = [
            find_network(name).start(trunk_files).network.get_submodule("0").eval()(pictures)
            for name in ("mobilenetv2-frozen", "resnet50v2-frozen")
        ]
        fused = (
            find_network("feature-fusion-mobilenetv2").start(trunk_files).network.get_submodule("0").eval()
        )
        assert torch.allclose(fused(pictures), torch.cat(alone, dim=1), atol=1e-5)
