"""VGG-16 from ImageNet, frozen, with a dense head."""

from functools import partial

from torchvision.models import VGG16_Weights, vgg16

from malaria_detect.designs.frozen import frozen_design, torchvision_trunk
from malaria_detect.training.described import PatientFolds, Reported

TRUNK = torchvision_trunk(
    "vgg16",
    # Its own initialization takes seconds, and all tensors in use are replaced.
    partial(vgg16, init_weights=False),
    VGG16_Weights.IMAGENET1K_V1,
    512,
)
DESIGN = frozen_design(
    "vgg16-frozen",
    "VGG-16 from ImageNet, frozen, with a dense head",
    "transfer learning as in many notebooks; the published scores are of Rajaraman 2018",
    [TRUNK],
    reported=Reported(
        "five folds, patients kept apart",
        {"accuracy": 0.945},
        "best patient-level accuracy of the paper 0.959",
        "PeerJ 6:e4568, PMC5907772 (quoted from a secondary source)",
    ),
    split=PatientFolds(5),
)
