"""The shipped design: resnet34 from ImageNet, fine-tuned with fastai."""

from fastai.vision.all import DataLoaders, Learner, vision_learner
from torch import nn
from torchvision.models import ResNet34_Weights
from torchvision.models.resnet import resnet34

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.input import INPUT_SIZE, MEAN, STD
from malaria_detect.training.datablock import cell_augmentations
from malaria_detect.training.described import RandomSplit, Reported
from malaria_detect.training.design import Design, Started, training_parts
from malaria_detect.training.pretrained import starting_network
from malaria_detect.training.settings import TrainSettings, Weights


def start(weights: Weights) -> Started:
    """Torchvision's resnet34 with the weights that training starts from; errors as in `starting_network`."""
    return starting_network(weights, "resnet34", resnet34, ResNet34_Weights.IMAGENET1K_V1)


def cell_learner(dls: DataLoaders, network: nn.Module, settings: TrainSettings) -> Learner:
    """A ``vision_learner`` for two classes with the weights of a resnet34; nothing is frozen.

    fastai's head replaces the last layer of the network.
    """
    learner = vision_learner(dls, resnet34, n_out=len(CLASSES), pretrained=False, **training_parts(settings))
    # fastai's trunk is torchvision's network without its pooling and its last layer; strict, so that all tensors fit.
    learner.model[0].load_state_dict(nn.Sequential(*list(network.children())[:-2]).state_dict())
    return learner


DESIGN = Design(
    name="resnet34",
    title="resnet34 from ImageNet, fine-tuned with fastai",
    where="the recipe of this project, after fastai's tutorials",
    input_size=INPUT_SIZE,
    any_size=True,
    mean=MEAN,
    std=STD,
    start=start,
    augmentations=cell_augmentations,
    wrap=cell_learner,
    reported=Reported("random 80/20", {"accuracy": 0.9663}, "", "repository gaetanlop (same design)"),
    split=RandomSplit(0.2),
)
