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
from torchvision.models.resnet import BasicBlock

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.keras_cnn import sheared
from malaria_detect.designs.registry import NETWORKS, find_network
from malaria_detect.designs.run_comparison import _cut_off
from malaria_detect.evaluation.literature import read_published
from malaria_detect.explain import activations
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.inference.network import open_learner, prepared
from malaria_detect.metrics import Scores
from malaria_detect.training.datablock import design_dataloaders
from malaria_detect.training.design import AuthorSplit
from malaria_detect.training.half_pickle import export_learner
from malaria_detect.training.pretrained import WeightsError
from malaria_detect.training.settings import TrainingError, parse_fields

PROJECT = Path(__file__).resolve().parents[2]
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
def trunk_files(tmp_path_factory: pytest.TempPathFactory) -> str:
    """State dicts of all trunks, as --weights takes them; that of the ResNet-50 v2 ends after two stages."""
    folder = tmp_path_factory.mktemp("trunks")
    torch.manual_seed(0)
    files = {
        "vgg16": state_of(vgg16(init_weights=False), folder / "vgg16.pth", drop="classifier"),
        "mobilenetv2": state_of(mobilenet_v2(), folder / "mobilenetv2.pth"),
        "resnet50v2": folder / "resnet50v2.pth",
    }
    torch.save(zoo_names(timm.create_model("resnetv2_50").state_dict()), files["resnet50v2"])
    return ",".join(f"{name}={file}" for name, file in files.items())


@pytest.mark.parametrize("name", [name for name in NETWORKS if "vgg" not in name and "fusion" not in name])
def test_every_network_answers_for_two_classes(name: str, trunk_files: str) -> None:
    design = find_network(name)
    weights = trunk_files if design.frozen else "none"
    network = design.start(weights).network.eval()
    pictures = torch.rand(2, 3, design.input_size, design.input_size)
    with torch.inference_mode():
        answers = network(pictures)
        assert answers.shape == (2, 1000 if name == "resnet34" else 2)
        # Folding batch norms away changes nothing but the last digits.
        assert torch.allclose(prepared(network)(pictures), answers, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_design_has_a_training_of_its_own(name: str) -> None:
    design = find_network(name)
    settings = design.settings()
    assert settings.network == name
    assert design.any_size or set(settings.epochs) == {design.input_size}
    assert design.title
    assert design.where


def test_layers_are_those_of_the_designs() -> None:
    keras = find_network("keras-cnn-128").start("none").network
    assert [layer.out_channels for layer in keras.children() if isinstance(layer, nn.Conv2d)] == [32, 32, 64]
    assert [layer.out_features for layer in keras.children() if isinstance(layer, nn.Linear)] == [128, 2]
    resnet = find_network("resnet18-scratch-110").start("none").network
    blocks = [block for block in resnet.modules() if isinstance(block, BasicBlock)]
    assert [block.conv2.out_channels for block in blocks] == [64, 64, 128, 128, 256, 256, 512, 512]
    shortcuts = [block.downsample[0] for block in blocks if block.downsample is not None]
    assert {(layer.kernel_size, layer.stride) for layer in shortcuts} == {((3, 3), (2, 2))}
    small = find_network("small-cnn-64").start("none").network
    assert {nn.Conv2d, nn.MaxPool2d, nn.Dropout, nn.Linear} <= {type(layer) for layer in small.children()}
    stem, pooling = resnet.get_submodule("conv1"), resnet.get_submodule("avgpool")
    assert (stem.kernel_size, stem.stride, pooling.kernel_size) == ((3, 3), (1, 1), 4)
    assert {layer.padding for layer in keras.children() if isinstance(layer, nn.Conv2d)} == {(1, 1)}


def test_trainings_are_those_of_the_designs() -> None:
    keras = find_network("keras-cnn-128").settings()
    assert (keras.optimiser, keras.base_lr, keras.batch_size, len(keras.epochs)) == (
        "keras-adam",
        1e-4,
        16,
        30,
    )
    assert (keras.keep, keras.schedule) == ("best", "constant")
    assert find_network("keras-cnn-128").split == AuthorSplit(0.3, 1337)
    resnet = find_network("resnet18-scratch-110").settings()
    assert (resnet.optimiser, resnet.base_lr, resnet.weight_decay) == ("sgd", 0.1, 1e-4)
    assert resnet.patience > 0
    assert find_network("small-cnn-64").settings().patience > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_goes_through_export_detector_and_activations(
    name: str, trunk_files: str, shipped_model: Path, few_cells: Path, tmp_path: Path
) -> None:
    design = find_network(name)
    network = design.start(trunk_files if design.frozen else "none").network
    paths = [cell.path for cell in find_cells(few_cells).cells[::20]]
    block = {"size": design.input_size, "batch_tfms": design.augmentations(design.input_size)}
    dls = design_dataloaders(paths, **block, mean=design.mean, std=design.std)
    export_learner(design.wrap(dls, network, design.settings()), tmp_path / "any.pkl")
    learner, again = (open_learner((tmp_path / "any.pkl").read_bytes()) for _ in range(2))
    metadata = replace(
        read_metadata(shipped_model), input_size=design.input_size, mean=design.mean, std=design.std
    )
    detector = Detector(prepared(again.model), metadata)
    with learner.no_bar(), learner.no_logging():
        _, _, probabilities = learner.predict(paths[0])
    prediction = detector.predict(paths[0])
    assert prediction.raw_probability_parasitized == pytest.approx(float(probabilities[0]), abs=1e-3)
    layers = activations(detector.network, detector.metadata.input_transform([read_image(paths[0])]))
    assert len(layers) >= 4
    assert all(np.isfinite(layer.maps).all() for layer in layers)


@pytest.mark.parametrize("name", ["resnet18-scratch-110", "small-cnn-64"])
def test_one_sigmoid_is_two_logits_of_which_one_is_nothing(name: str) -> None:
    design = find_network(name)
    network = design.start("none").network.eval()
    with torch.inference_mode():
        answers = network(torch.rand(3, 3, design.input_size, design.input_size))
    assert answers[:, 1].eq(0).all()
    assert answers[:, 0].ne(0).all()
    assert torch.allclose(answers.softmax(dim=1)[:, 0], answers[:, 0].sigmoid())
    labels = torch.tensor([0, 1, 0])
    cross_entropy = nn.functional.cross_entropy(answers, labels)
    binary = nn.functional.binary_cross_entropy_with_logits(answers[:, 0], (labels == 0).float())
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


def test_what_an_author_printed_is_what_the_report_quotes() -> None:
    known = set(Scores.__dataclass_fields__) | {"accuracy", "sensitivity", "specificity", "roc_auc"}
    quoted = [
        (work.protocol, work.scores)
        for work in read_published(PROJECT / "reports/published.json").on_these_cells
    ]
    reported = [design.reported for design in NETWORKS.values() if design.reported is not None]
    assert len(reported) >= 4
    for one in reported:
        assert set(one.scores) <= known
        assert (one.protocol, one.scores) in quoted


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        TrainingError, match=r"no network 'alexnet': choose one of resnet34, .*feature-fusion"
    ):
        find_network("alexnet")


# Weights


@pytest.mark.parametrize("name", FROZEN)
def test_without_network_and_file_a_sentence_says_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing was downloaded before

    def unreachable(*_args: object, **_options: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(WeightsError, match=r"could not be downloaded .*no network.* use --weights FILE"):
        find_network(name).start("imagenet")


def test_a_trunk_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = state_of(mobilenet_v2(), tmp_path / "mobilenetv2.pth", drop="features.7.")
    with pytest.raises(WeightsError, match="lacks 15 tensors of the frozen trunk"):
        find_network("mobilenetv2-frozen").start(str(path))


def test_as_many_stages_are_built_as_the_file_holds(trunk_files: str) -> None:
    started = find_network("resnet50v2-frozen").start(trunk_files)
    trunk, head = started.network.get_submodule("0"), started.network.get_submodule("1")
    with torch.inference_mode():
        features = trunk.eval()(torch.rand(1, 3, 64, 64))
    assert features.shape == (1, 512)
    assert head.get_submodule("0").num_features == 512
    assert started.start.missing == 0
    assert _cut_off(started.network) == ("a trunk that ends after stage 2 of 4",)


def test_timms_own_state_dict_is_loaded_whole_and_sees_timms_own_scale(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model("resnetv2_50", num_classes=0).eval()
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


def test_fused_features_stand_side_by_side(trunk_files: str) -> None:
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


@pytest.mark.parametrize("name", FROZEN)
def test_a_trunk_that_never_learns_does_not_start_at_random(name: str) -> None:
    with pytest.raises(WeightsError, match="is frozen here and would stay at random"):
        find_network(name).start("none")


@pytest.mark.parametrize("name", ["keras-cnn-128", "small-cnn-64", "resnet18-scratch-110"])
def test_what_starts_at_random_takes_no_weights(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="starts at random and takes no weights"):
        find_network(name).start(str(tmp_path / "weights.pth"))


# Settings


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["depth=3"], "got 'depth=3'"),
        (["patience"], "got 'patience'"),
        (["patience=long"], "patience is a number; got 'long'"),
    ],
)
def test_fields_that_cannot_be_read_are_refused(words: list[str], problem: str) -> None:
    with pytest.raises(TrainingError, match=problem):
        parse_fields(words)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"optimiser": "lion"}, "optimiser is one of adam, keras-adam, sgd"),
        ({"schedule": "constant", "freeze_epochs": 1}, "neither frozen nor averaged"),
        ({"schedule": "one-cycle", "patience": 3}, "cycle must be run to its end"),
        ({"average_epochs": 2}, "best epoch is kept, or epochs are averaged"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changed: dict[str, object], problem: str) -> None:
    schedule = {} if "freeze_epochs" in changed else {"schedule": "one-cycle", "patience": 0}
    with pytest.raises(TrainingError, match=problem):
        find_network("small-cnn-64").settings(**{**schedule, **changed})


def test_epochs_are_counted_at_the_networks_own_size() -> None:
    design = find_network("keras-cnn-128")
    assert design.settings(**design.changes({"epochs": 2})).sizes == (128, 128)
