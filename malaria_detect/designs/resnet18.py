"""A resnet18 for whole cells at 110 px, from scratch."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from malaria_detect.designs.scratch import one_output, scratch_design
from malaria_detect.training.datablock import cell_augmentations


def _resnet18() -> nn.Module:
    """Four stages of two basic blocks after a 3x3 stem without stride or pooling."""
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
    return network


DESIGN = scratch_design(
    "resnet18-scratch-110",
    110,
    _resnet18,
    {"base_lr": 0.1, "optimiser": "sgd", "weight_decay": 1e-4, "patience": 5},
    title="resnet18 with a 3x3 stem, from scratch",
    where="a resnet18 written from the paper (He et al. 2016, CVPR) for whole cells at 110 px",
    augmentations=cell_augmentations,
    chosen="batches of 64, the augmentation of this project, 30 epochs and a patience of 5",
)
