"""The shipped design: resnet34 from ImageNet, fine-tuned with fastai."""

from fastai.vision.all import DataLoaders, Learner, vision_learner
from torch import nn
from torchvision.models import ResNet34_Weights
from torchvision.models.resnet import resnet34

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.input import INPUT_SIZE, MEAN, STD
from malaria_detect.training.datablock import augmentations
from malaria_detect.training.design import AuthorSplit, Design, Started, training_parts
from malaria_detect.training.pretrained import starting_network
from malaria_detect.training.reported import Reported
from malaria_detect.training.settings import TrainSettings, Weights


def start(weights: Weights) -> Started:
    """Torchvision's resnet34 with the weights that training starts from; errors as in `starting_network`."""
    return Started(
        *starting_network(weights, "resnet34", lambda: resnet34(weights=None), ResNet34_Weights.IMAGENET1K_V1)
    )


def cell_learner(dls: DataLoaders, network: nn.Module, settings: TrainSettings) -> Learner:
    """A ``vision_learner`` with the weights of a resnet34; nothing is frozen.

    Parameters
    ----------
    dls : DataLoaders
        With the classes Parasitized and Uninfected.
    network : torch.nn.Module
        A resnet34 from :func:`start`. fastai's head replaces its last layer.
    settings : TrainSettings
    """
    learner = vision_learner(dls, resnet34, n_out=len(CLASSES), pretrained=False, **training_parts(settings))
    # fastai names the layers of its trunk by their position in torchvision's network.
    position = {name: str(number) for number, (name, _) in enumerate(network.named_children())}
    state = {
        ".".join([position[layer], *rest]): tensor
        for layer, *rest, tensor in (
            (*name.split("."), value) for name, value in network.state_dict().items()
        )
        if layer != "fc"
    }
    learner.model[0].load_state_dict(state)  # raises an error if a tensor is missing or left over
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
    augmentations=augmentations,
    wrap=cell_learner,
    reported=Reported(
        "random 80/20", {"accuracy": 0.9663}, "", "repository of gaetanlop, a twin of this design"
    ),
    split=AuthorSplit(0.2, None),
)
