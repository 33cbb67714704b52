"""The pre-activation ResNet-50 (v2) from ImageNet, frozen, with a dense head."""

import itertools
import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import torch
from fastai.layers import AdaptiveConcatPool2d
from torch import nn

from malaria_detect.designs.frozen import frozen_design
from malaria_detect.inference.input import MEAN, STD
from malaria_detect.training.design import Started
from malaria_detect.training.pretrained import (
    WeightsError,
    no_download,
    read_state_dict,
    source_of,
    started_from_file,
    started_from_imagenet,
)
from malaria_detect.training.settings import Weights

_TIMM = "resnetv2_50"
STAGES = 4


def resnet50v2_trunk(weights: Weights) -> tuple[Started, int]:
    """timm's ``resnetv2_50`` (He et al. 2016, Identity mappings in deep residual networks, arXiv 1603.05027).

    A file contains the names of timm, or those of the network in the ONNX model zoo, which has batch norms on the image
    and after its first convolution. Of the latter, as many stages are built as the file contains. There are 4,096
    features, the maximum and the mean of each channel, or 2,048 if the file ends after stage 3.

    Raises
    ------
    WeightsError
        If the ImageNet weights are not available, or a file lacks tensors of the trunk.
    """
    source = source_of(weights, "resnet50v2", frozen=True)
    if source == "imagenet":
        try:
            whole = _whole(pretrained=True)
        except OSError as error:
            raise no_download("resnet50v2", error) from error
        return _with_own_scale(started_from_imagenet(whole, f"timm {_TIMM}, its default weights")), 4096
    path = Path(source)
    state = read_state_dict(path)
    if "bn0.weight" not in state:
        whole = _whole()
        return _with_own_scale(started_from_file(whole, path, state, required="")), 4096
    state = {timm_name(name): tensor for name, tensor in state.items()}
    stages = len({name.split(".")[1] for name in state if name.startswith("stages.")})
    if not 1 <= stages <= STAGES:
        raise WeightsError(
            f"{path.name} contains {stages} stages of a ResNet-50 v2, which has {STAGES}.", "stages"
        )
    return started_from_file(_zoo_trunk(stages), path, state, required=""), 512 * 2 ** (stages - 1)


def timm_name(name: str) -> str:
    """Name of a tensor in timm's network, from its name in the model zoo.

    Examples
    --------
    >>> timm_name("layer2.0.bn1.weight"), timm_name("layer1.0.downsample.weight"), timm_name("bn_next.bias")
    ('stages.1.blocks.0.norm1.weight', 'stages.0.blocks.0.downsample.conv.weight', 'bn_next.bias')
    """
    match = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", name)
    if match is None:
        return name
    inner = re.sub(r"^bn(\d)", r"norm\1", match[3]).replace("downsample.", "downsample.conv.")
    return f"stages.{int(match[1]) - 1}.blocks.{match[2]}.{inner}"


def _with_own_scale(started: Started) -> Started:
    """A network of timm after a layer that converts our normalization to that of timm's weights."""
    from timm.data.config import resolve_model_data_config

    needed = resolve_model_data_config(started.network)
    mean, std, own_mean, own_std = (torch.tensor(x) for x in (MEAN, STD, needed["mean"], needed["std"]))
    layer = nn.Conv2d(3, 3, 1, groups=3)
    state = {"weight": (std / own_std).reshape(3, 1, 1, 1), "bias": (mean - own_mean) / own_std}
    layer.load_state_dict(state)
    return replace(started, network=nn.Sequential(layer, started.network))


def _whole(pretrained: bool = False) -> nn.Module:
    import timm

    network: nn.Module = timm.create_model(
        _TIMM, pretrained=pretrained, num_classes=0, global_pool="catavgmax"
    )
    return network


def _zoo_trunk(stages: int) -> nn.Module:
    from timm.layers.norm_act import BatchNormAct2d

    whole = _whole()
    parts = {
        "bn0": nn.BatchNorm2d(3),
        "conv1": whole.get_submodule("stem.conv"),
        "bn1": nn.BatchNorm2d(64),
        "relu": nn.ReLU(),
        "pool": whole.get_submodule("stem.pool"),
        "stages": nn.Sequential(*itertools.islice(whole.get_submodule("stages").children(), stages)),
        "bn_next": BatchNormAct2d(256 * 2 ** (stages - 1)),
        "concat": AdaptiveConcatPool2d(1),
        "flatten": nn.Flatten(),
    }
    return nn.Sequential(OrderedDict(parts))


DESIGN = frozen_design(
    "resnet50v2-frozen",
    "ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "transfer learning as in many notebooks (ResNet50V2 of Keras)",
    [resnet50v2_trunk],
)
