"""Designs that can be trained by name: the shipped one, and those of other published systems.

All are trained and exported in the same way. Exported learners name these by their path, so they must stay where they
are: ``malaria_detect.training.datablock.Preprocess``, ``malaria_detect.designs.frozen.Trunks`` and
``malaria_detect.designs.keras_cnn.sheared``.
"""

from malaria_detect.designs import frozen, keras_cnn, scratch
from malaria_detect.training import resnet34
from malaria_detect.training.design import Design
from malaria_detect.training.settings import TrainingError

# The shipped one first.
DESIGNS: dict[str, Design] = {
    design.name: design
    for design in (
        resnet34.DESIGN,
        scratch.RESNET18,
        keras_cnn.DESIGN,
        scratch.SMALL_CNN,
        frozen.VGG16,
        frozen.RESNET50V2,
        frozen.MOBILENETV2,
        frozen.FUSION,
        frozen.FUSION_MOBILENETV2,
    )
}


def find_design(name: str) -> Design:
    """A design by its name; for an unknown one TrainingError lists all names."""
    if name not in DESIGNS:
        raise TrainingError(
            f"There is no design {name!r}. Choose one of {', '.join(DESIGNS)}.", "unknown_design"
        )
    return DESIGNS[name]
