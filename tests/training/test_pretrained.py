import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision.models.resnet import ResNet34_Weights, resnet18, resnet34

from malaria_detect.cli.training_options import parse_weights
from malaria_detect.inference.model_files import sha256_of
from malaria_detect.training.pretrained import WeightsError, load_matching, read_state_dict
from malaria_detect.training.resnet34 import start as start_resnet34
from malaria_detect.training.settings import TrainingError
from tests.refused import refused


@pytest.fixture(scope="module")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A resnet18's state dict up to layer3, as half floats: it fits the first two blocks of resnet34's layers."""
    torch.manual_seed(0)
    state = {
        name: tensor.half() if tensor.ndim > 1 else tensor
        for name, tensor in resnet18(weights=None).state_dict().items()
        if not name.startswith(("layer4", "fc"))
    }
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(state, path)
    return path


def test_a_file_is_loaded_wherever_name_and_shape_match(resnet18_file: Path) -> None:
    started = start_resnet34(str(resnet18_file))
    network, start, report = started.network, started.start, started.report
    state = torch.load(resnet18_file, weights_only=True)
    own = network.state_dict()
    assert start.source == "file"
    assert start.name == "resnet18.pth"
    assert start.sha256 == sha256_of(resnet18_file)
    assert start.loaded == len(state)
    assert start.missing == len(own) - len(state)
    assert f"loaded {len(state)} tensors: conv1, bn1, layer1.0, layer1.1, layer2.0" in report
    assert all(torch.equal(own[name], tensor.to(own[name].dtype)) for name, tensor in state.items())
    # A block without a tensor starts as the identity.
    assert start.identity_blocks[:3] == ("layer1.2", "layer2.2", "layer2.3")
    features = torch.rand(1, 64, 8, 8)
    assert torch.equal(network.eval().get_submodule("layer1.2")(features), features)
    assert not torch.equal(network.get_submodule("layer1.1")(features), features)


def test_the_report_says_what_was_and_was_not_loaded() -> None:
    network = resnet34(weights=None)
    state = dict(network.state_dict())
    removed = state.pop("layer4.2.conv2.weight")
    state["fc.weight"] = torch.zeros(2, 512)
    state["extra"] = removed
    report = load_matching(network, state)
    assert set(report.missing) == {"fc.weight", "layer4.2.conv2.weight"}
    assert set(report.unused) == {"extra", "fc.weight"}
    assert report.identity_blocks == ()
    loaded, missing, unused = str(report).splitlines()
    assert "conv1, bn1, layer1.0" in loaded
    assert "fc, layer4.2" in missing
    assert "extra, fc" in unused


def test_no_weights_start_at_random_in_every_block() -> None:
    started = start_resnet34("none")
    network, start = started.network, started.start
    assert (start.source, start.sha256, start.loaded) == ("none", "", 0)
    assert network.get_parameter("layer4.2.bn2.weight").eq(1).all()


def test_a_failed_download_names_the_other_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing was downloaded before
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens on the discard port
    with pytest.raises(WeightsError, match=r"--weights FILE.*resnet34=FILE") as caught:
        start_resnet34("imagenet")
    assert caught.value.reason == "no_download"
    assert isinstance(caught.value.__cause__, URLError)
    assert "Errno" not in str(caught.value)
    cached = tmp_path / "hub" / "checkpoints" / Path(ResNet34_Weights.DEFAULT.url).name
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(b"half a download")
    with refused(WeightsError, "no_download"):
        start_resnet34("imagenet")


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_code_in_a_file_of_weights_never_runs(tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"conv1.weight": Malicious(mark)}, path)
    with refused(WeightsError, "unsafe"):
        read_state_dict(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *((None, "missing"), (b"", "unsafe"), (b"not a model", "unsafe")),
        (pickle.dumps({"a": object}), "unsafe"),
        *(({3: torch.zeros(1)}, "no_state_dict"), ({"layer.weight": 1.0}, "no_state_dict")),
        *(([torch.zeros(1)], "no_state_dict"), ({"encoder.weight": torch.zeros(3)}, "nothing_fits")),
    ],
)
def test_a_file_that_is_no_fitting_state_dict_is_refused(
    content: object, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with refused(WeightsError, reason):
        start_resnet34(str(path))


def test_pairs_and_paths_are_distinguished(tmp_path: Path) -> None:
    odd = tmp_path / "lr=0.1" / "net.pth"
    odd.parent.mkdir()
    odd.touch()
    assert parse_weights(str(odd)) == str(odd)
    assert parse_weights("vgg16=a.pth, resnet50v2=b.pth") == {"vgg16": "a.pth", "resnet50v2": "b.pth"}


@pytest.mark.parametrize("text", ["resnet50=a.pth", "vgg16=a.pth,b.pth", "vgg16="])
def test_an_unknown_trunk_is_refused(text: str) -> None:
    with refused(TrainingError, "weights"):
        parse_weights(text)
