"""VGG-16 from ImageNet, frozen, with a dense head."""

from torch import nn
from torchvision.models import VGG16_Weights, vgg16

from malaria_detect.designs.frozen import frozen_design, pooled
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.training.pretrained import starting_network
from malaria_detect.training.reported import Reported
from malaria_detect.training.settings import Weights


def vgg16_trunk(weights: Weights) -> tuple[nn.Module, int, StartWeights, str]:
    """Torchvision's VGG-16 up to its last pooling; 512 features, averaged over the image.

    Raises
    ------
    WeightsError
        If the ImageNet weights are not available, or a file lacks tensors of ``features``.
    """
    whole, start, report = starting_network(
        weights, "vgg16", _build, VGG16_Weights.IMAGENET1K_V1, required="features."
    )
    return pooled(whole.get_submodule("features")), 512, start, report


def _build() -> nn.Module:
    # Its own initialization takes seconds, and all tensors in use are replaced.
    network: nn.Module = vgg16(weights=None, init_weights=False)
    return network


DESIGN = frozen_design(
    "vgg16-frozen",
    "VGG-16 from ImageNet, frozen, with a dense head",
    "transfer learning as in many notebooks; the published scores are of Rajaraman 2018",
    [vgg16_trunk],
    reported=Reported(
        "five folds, patients kept apart",
        {"accuracy": 0.945},
        "best patient-level accuracy of the paper 0.959",
        "PeerJ 6:e4568, PMC5907772, read at second hand",
    ),
)
