"""MobileNetV2 from ImageNet, frozen, with a dense head."""

from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from malaria_detect.designs.frozen import frozen_design, torchvision_trunk
from malaria_detect.training.described import Reported

TRUNK = torchvision_trunk("mobilenetv2", mobilenet_v2, MobileNet_V2_Weights.IMAGENET1K_V1, 1280)
DESIGN = frozen_design(
    "mobilenetv2-frozen",
    "MobileNetV2 from ImageNet, frozen, with a dense head",
    "transfer learning for phones; the published scores are of a MobileNetV2; which layers were frozen is not known",
    [TRUNK],
    reported=Reported(
        "grouped",
        {"sensitivity": 0.9809, "specificity": 0.9435, "roc_auc": 0.9941},
        "ECE 0.026, after temperature scaling 0.0089",
        "repository Cyerme/DDLS_final_project_malaria_screening",
    ),
)
