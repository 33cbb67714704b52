"""Concatenated features of two frozen ImageNet networks, with a dense head."""

from malaria_detect.designs import mobilenetv2, vgg16
from malaria_detect.designs.frozen import frozen_design
from malaria_detect.designs.resnet50v2 import resnet50v2_trunk

DESIGN = frozen_design(
    "feature-fusion",
    "concatenated features of VGG-16 and ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "feature fusion of two ImageNet networks",
    [vgg16.TRUNK, resnet50v2_trunk],
)
WITH_MOBILENETV2 = frozen_design(
    "feature-fusion-mobilenetv2",
    "concatenated features of MobileNetV2 and ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "feature fusion with MobileNetV2 instead of VGG-16",
    [mobilenetv2.TRUNK, resnet50v2_trunk],
    listed=False,
)
