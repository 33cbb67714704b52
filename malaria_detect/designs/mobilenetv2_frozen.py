"""MobileNetV2 from ImageNet, frozen, with a dense head."""

from torch import nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from malaria_detect.designs.frozen import frozen_design, pooled
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.training.pretrained import starting_network
from malaria_detect.training.reported import Reported
from malaria_detect.training.settings import Weights


def mobilenetv2_trunk(weights: Weights) -> tuple[nn.Module, int, StartWeights, str]:
    """Torchvision's MobileNetV2 without its classifier; 1,280 features, averaged over the image.

    Raises
    ------
    WeightsError
        If the ImageNet weights are not available, or a file lacks tensors of ``features``.
    """
    whole, start, report = starting_network(
        weights,
        "mobilenetv2",
        lambda: mobilenet_v2(weights=None),
        MobileNet_V2_Weights.IMAGENET1K_V1,
        required="features.",
    )
    return pooled(whole.get_submodule("features")), 1280, start, report


DESIGN = frozen_design(
    "mobilenetv2-frozen",
    "MobileNetV2 from ImageNet, frozen, with a dense head",
    "transfer learning for phones; the published scores are of a MobileNetV2 of which we do not know what was frozen",
    [mobilenetv2_trunk],
    reported=Reported(
        "grouped",
        {"sensitivity": 0.9809, "specificity": 0.9435, "roc_auc": 0.9941},
        "ECE 0.026, after temperature scaling 0.0089",
        "repository Cyerme/DDLS_final_project_malaria_screening",
    ),
)
