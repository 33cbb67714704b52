import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision.models.resnet import resnet18, resnet34

from malaria_detect.inference.model_files import sha256_of
from malaria_detect.training.pretrained import WeightsError, load_matching, read_state_dict
from malaria_detect.training.resnet34 import start as start_resnet34
from malaria_detect.training.settings import TrainingError, TrainSettings, parse_weights, recorded


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
    assert "of the file unused 0: none" in report
    assert all(torch.equal(own[name], tensor.to(own[name].dtype)) for name, tensor in state.items())


def test_blocks_that_got_nothing_start_as_the_identity(resnet18_file: Path) -> None:
    started = start_resnet34(str(resnet18_file))
    network, start = started.network, started.start
    assert start.identity_blocks[:3] == ("layer1.2", "layer2.2", "layer2.3")
    network.eval()
    features = torch.rand(1, 64, 8, 8)
    assert torch.equal(network.get_submodule("layer1.2")(features), features)
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
    assert loaded.startswith(f"loaded {len(state) - 2} tensors: conv1, bn1, layer1.0")
    assert missing == "not in the file, at random 2: fc, layer4.2 (as the identity: none)"
    assert unused == "of the file unused 2: extra, fc"


def test_no_weights_start_at_random_in_every_block() -> None:
    started = start_resnet34("none")
    network, start = started.network, started.start
    assert (start.source, start.sha256, start.loaded) == ("none", "", 0)
    assert network.get_parameter("layer4.2.bn2.weight").eq(1).all()


def test_a_download_that_fails_names_the_other_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing was downloaded before
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens on the discard port
    with pytest.raises(
        WeightsError, match=r"could not be downloaded.*--weights FILE.*resnet34=FILE"
    ) as caught:
        start_resnet34("imagenet")
    assert isinstance(caught.value.__cause__, URLError)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_code_in_a_file_of_weights_never_runs(tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"conv1.weight": Malicious(mark)}, path)
    with pytest.raises(WeightsError, match="not a state dict that can be opened safely"):
        read_state_dict(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"not a model", pickle.dumps({"a": object})])
def test_what_is_no_state_dict_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.pth"):
        start_resnet34(str(path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="takes imagenet, none or the path"):
        start_resnet34(str(tmp_path / "nowhere.pth"))


def test_a_state_dict_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(WeightsError, match="None of the 1 tensors fits"):
        load_matching(resnet34(weights=None), {"encoder.weight": torch.zeros(3)})


@pytest.mark.parametrize("state", [{3: torch.zeros(1)}, {"layer.weight": 1.0}, [torch.zeros(1)]])
def test_what_holds_no_named_tensors_is_refused(state: object, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="something else than names and tensors"):
        read_state_dict(tmp_path / "odd.pth")


def test_pairs_are_told_from_paths(tmp_path: Path) -> None:
    odd = tmp_path / "lr=0.1" / "net.pth"
    odd.parent.mkdir()
    odd.touch()
    assert parse_weights(str(odd)) == {"": str(odd)}
    assert parse_weights("vgg16=a.pth, resnet50v2=b.pth") == {"vgg16": "a.pth", "resnet50v2": "b.pth"}
    assert (
        recorded(TrainSettings(weights=f"vgg16={odd},resnet34=/x/y.pth"))["weights"]
        == "vgg16=net.pth,resnet34=y.pth"
    )


@pytest.mark.parametrize("text", ["resnet50=a.pth", "vgg16=a.pth,b.pth", "vgg16="])
def test_a_pair_that_names_no_trunk_is_an_error_and_no_download(text: str) -> None:
    with pytest.raises(TrainingError, match=r"pairs like vgg16=FILE with resnet34, vgg16"):
        start_resnet34(text)
