"""Designs that can be trained by name: the shipped one, and those of other published systems.

Each is a :class:`malaria_detect.training.design.Design` in a file of its own, and all are trained and exported in the
same way. Exported learners name classes by their path: ``malaria_detect.training.datablock.Preprocess`` and
``malaria_detect.designs.frozen.Trunks`` must stay where they are.
"""

from malaria_detect.designs import (
    feature_fusion,
    keras_cnn,
    mobilenetv2_frozen,
    resnet18_scratch,
    resnet50v2_frozen,
    small_cnn,
    vgg16_frozen,
)
from malaria_detect.training import resnet34
from malaria_detect.training.design import Design
from malaria_detect.training.settings import TrainingError

# The shipped one first.
DESIGNS: dict[str, Design] = {
    design.name: design
    for design in (
        resnet34.DESIGN,
        resnet18_scratch.DESIGN,
        keras_cnn.DESIGN,
        small_cnn.DESIGN,
        vgg16_frozen.DESIGN,
        resnet50v2_frozen.DESIGN,
        mobilenetv2_frozen.DESIGN,
        feature_fusion.DESIGN,
        feature_fusion.WITH_MOBILENETV2,
    )
}


def find_design(name: str) -> Design:
    """A design by its name.

    Raises
    ------
    TrainingError
        If there is none; the message lists all names.

    Examples
    --------
    >>> find_design("small-cnn-64").input_size
    64
    """
    if name not in DESIGNS:
        raise TrainingError(
            f"There is no design {name!r}. Choose one of {', '.join(DESIGNS)}.", "unknown_design"
        )
    return DESIGNS[name]
