"""Features of two frozen trunks, laid side by side, under one dense head."""

from malaria_detect.designs.frozen import frozen_design
from malaria_detect.designs.mobilenetv2_frozen import mobilenetv2_trunk
from malaria_detect.designs.resnet50v2_frozen import resnet50v2_trunk
from malaria_detect.designs.vgg16_frozen import vgg16_trunk

DESIGN = frozen_design(
    "feature-fusion",
    "features of VGG-16 and ResNet-50 v2 from ImageNet side by side, frozen, under a dense head",
    "feature fusion of two ImageNet networks",
    [vgg16_trunk, resnet50v2_trunk],
)

WITH_MOBILENETV2 = frozen_design(
    "feature-fusion-mobilenetv2",
    "features of MobileNetV2 and ResNet-50 v2 from ImageNet side by side, frozen, under a dense head",
    "feature fusion as above, with MobileNetV2 in the place of VGG-16",
    [mobilenetv2_trunk, resnet50v2_trunk],
)
