"""A resnet18 from scratch, for images of 110 px that its stem does not shrink."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from malaria_detect.training.datablock import augmentations
from malaria_detect.training.design import FROM_SCRATCH, Design, Started, one_output
from malaria_detect.training.pretrained import random_start
from malaria_detect.training.settings import Weights

_SIZE = 110


def start(weights: Weights) -> Started:
    """Four stages of two basic blocks after a 3x3 stem without stride or pooling, with random weights."""
    network = ResNet(BasicBlock, [2, 2, 2, 2])
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    for layer in (network.layer2, network.layer3, network.layer4):
        narrow, wide = layer[0].conv1.in_channels, layer[0].conv1.out_channels
        layer[0].downsample[0] = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)
    for convolution in network.modules():
        if isinstance(convolution, nn.Conv2d):
            # As in torchvision (He et al. 2015, arXiv 1502.01852), also for the convolutions that were replaced.
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    # 110 px are halved three times to 14, and pooled to 3.
    network.avgpool = nn.AvgPool2d(4)
    network.fc = one_output(512 * 3 * 3)
    return Started(network, *random_start(weights, "resnet18-scratch-110"))


DESIGN = Design(
    name="resnet18-scratch-110",
    title="resnet18 with a 3x3 stem, from scratch",
    where="a resnet18 written from the paper (He et al. 2016, CVPR) for whole cells at 110 px",
    input_size=_SIZE,
    any_size=False,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    start=start,
    augmentations=augmentations,
    training={
        **FROM_SCRATCH,
        "sizes": (_SIZE,) * 30,
        "base_lr": 0.1,
        "optimiser": "sgd",
        "weight_decay": 1e-4,
        "patience": 5,
    },
    chosen="batches of 64, the augmentation of this project, 30 epochs and a patience of 5",
)
