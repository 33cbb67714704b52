"""The networks that can be trained by name: ours, and those of other published systems.

One file each, and one interface, :class:`malaria_detect.training.design.Design`: how it is built, its input, its
author's training, where it comes from, and what its author printed. All train through
:func:`malaria_detect.training.fit.fit` and are exported with the same kind of metadata.
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

__all__ = ["NETWORKS", "Design", "find_network"]

# Ours first.
NETWORKS: dict[str, Design] = {
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


def find_network(name: str) -> Design:
    """A network's design.

    Raises
    ------
    TrainingError
        Where there is none of that name.

    Examples
    --------
    >>> find_network("small-cnn-64").input_size
    64
    """
    if name not in NETWORKS:
        raise TrainingError(f"There is no network {name!r}: choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]
