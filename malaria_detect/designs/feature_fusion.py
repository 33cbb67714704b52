"""Features of two frozen trunks, concatenated, with one dense head."""

from malaria_detect.designs.frozen import frozen_design
from malaria_detect.designs.mobilenetv2_frozen import mobilenetv2_trunk
from malaria_detect.designs.resnet50v2_frozen import resnet50v2_trunk
from malaria_detect.designs.vgg16_frozen import vgg16_trunk

DESIGN = frozen_design(
    "feature-fusion",
    "concatenated features of VGG-16 and ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "feature fusion of two ImageNet networks",
    [vgg16_trunk, resnet50v2_trunk],
)

WITH_MOBILENETV2 = frozen_design(
    "feature-fusion-mobilenetv2",
    "concatenated features of MobileNetV2 and ResNet-50 v2 from ImageNet, frozen, with a dense head",
    "feature fusion with MobileNetV2 instead of VGG-16",
    [mobilenetv2_trunk, resnet50v2_trunk],
)
