"""How a training differed from that of its design, in words."""

from collections.abc import Mapping
from typing import Any

from malaria_detect.data.corrections import BELIEVED
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.training.design import Design
from malaria_detect.training.settings import recorded, sizes_in_words

# Settings that are not part of a design's own training.
NOT_THE_DESIGNS = ("weights", "network", "seed", "valid", "test")


def phrases(design: Design, metadata: ModelMetadata) -> tuple[str, ...]:
    """How the training of a model differed from its design's own, such as ``10 epochs instead of 30``."""
    found = changed_settings(design, metadata.settings)
    if BELIEVED in metadata.data_fingerprint:
        found.append("labels softened by what cross-validation says of the cell")
    if metadata.borrowed:
        found.append(f"uninfected cells of {' and '.join(metadata.borrowed)} added")
    return tuple(found)


def changed_settings(design: Design, settings: Mapping[str, Any]) -> list[str]:
    """Phrases for the settings that differ from the design's own."""
    # What is left out if it is not used.
    unused = {"class_weights": "none", "start_share": 0.0, "looks": "own"}
    own, settings = {**unused, **recorded(design.settings())}, {**unused, **settings}
    parts = []
    if "sizes" in settings and settings["sizes"] != own["sizes"]:
        epochs, planned = len(settings["sizes"]), len(own["sizes"])
        parts.append(
            f"{epochs} {'epoch' if epochs == 1 else 'epochs'} instead of {planned}"
            if set(settings["sizes"]) == set(own["sizes"])
            else f"{sizes_in_words(settings['sizes'])} instead of {sizes_in_words(own['sizes'])}"
        )
    parts += [
        f"{name.replace('_', ' ')} {settings[name]} instead of {own[name]}"
        for name in own
        if name not in ("sizes", *NOT_THE_DESIGNS) and settings.get(name, own[name]) != own[name]
    ]
    return parts
