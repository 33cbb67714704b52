"""Designs that can be trained by name: the shipped one, those of other published systems, and those of other packages.

A package adds designs by entry points of the group ``malaria_detect.designs``; see docs/how-to/add-a-design.md.

Exported learners name these by their path, so they must stay where they are:
``malaria_detect.training.datablock.Preprocess``, ``malaria_detect.designs.frozen.Trunks`` and
``malaria_detect.designs.keras_cnn.sheared``.
"""

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from malaria_detect.designs import (
    feature_fusion,
    handcrafted_forest,
    keras_cnn,
    mobilenetv2,
    resnet18,
    resnet50v2,
    small_cnn,
    vgg16,
)
from malaria_detect.designs.handcrafted import FeatureDesign
from malaria_detect.training import resnet34
from malaria_detect.training.described import DescribedDesign
from malaria_detect.training.design import Design
from malaria_detect.training.settings import TrainingError

GROUP = "malaria_detect.designs"
# The shipped one first.
_OURS: tuple[DescribedDesign, ...] = (
    resnet34.DESIGN,
    resnet18.DESIGN,
    keras_cnn.DESIGN,
    small_cnn.DESIGN,
    vgg16.DESIGN,
    resnet50v2.DESIGN,
    mobilenetv2.DESIGN,
    feature_fusion.DESIGN,
    feature_fusion.WITH_MOBILENETV2,
    handcrafted_forest.DESIGN,
)


@cache
def all_designs() -> dict[str, DescribedDesign]:
    """All designs by name: first those of this package, then those that others register.

    Raises
    ------
    TrainingError
        If another package registers what is not a design, or a name that is taken; ``reason`` is ``broken_design``.
    """
    found = {design.name: design for design in _OURS}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        design = _loaded(point)
        if design.name in found:
            raise _broken(point, f"the name {design.name} is taken")
        found[design.name] = design
    return found


def find_design(name: str) -> DescribedDesign:
    """A design by its name; for an unknown one TrainingError lists all names.

    Designs of other packages are only loaded if this package has none of this name.
    """
    ours = {design.name: design for design in _OURS}
    if name in ours:
        return ours[name]
    found = all_designs()
    if name not in found:
        raise TrainingError(
            f"There is no design {name!r}. Choose one of {', '.join(found)}.", "unknown_design"
        )
    return found[name]


def find_network(name: str) -> Design:
    """A design with a network, which can be exported as a model; ``reason`` for another one is ``no_network``."""
    design = find_design(name)
    if not isinstance(design, Design):
        raise TrainingError(
            f"{name} has no network: it has no settings to change, and no model can be exported. "
            "`malaria-detect compare` scores it.",
            "no_network",
        )
    return design


def _loaded(point: EntryPoint) -> DescribedDesign:
    try:
        design = point.load()
    # What the code of another package usually raises while it is imported.
    except (ImportError, AttributeError, SyntaxError, TypeError, ValueError, NameError, OSError) as error:
        raise _broken(point, str(error)) from error
    if not isinstance(design, Design | FeatureDesign):
        raise _broken(point, f"{point.value} is not a design")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", design.name):
        raise _broken(point, f"the name {design.name!r} needs small letters, digits and hyphens")
    return design


def _broken(point: EntryPoint, why: str) -> TrainingError:
    package = point.dist.name if point.dist else point.value
    return TrainingError(
        f"The design {point.name} of the package {package} cannot be used ({why}). Update or uninstall that package.",
        "broken_design",
    )
