"""Sentences about teaching the model a laboratory, for the page."""

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import LEAST_CELLS, AdaptError
from malaria_detect.inference.judge import Judgement
from malaria_detect.metrics.formatting import format_count, format_list

SHIPPED, ADAPTED = "the shipped model", "your adapted model"
ANSWERS_OF_ADAPTED = f"Answers of: {ADAPTED}. To change back, see “Teach it your lab”."
NO_REVIEW = "No cell of a slide has your verdict yet. Review cells in “Analyse a slide” first."
ESTIMATING, PACKING, CUTTING = (
    "Estimating the accuracy …",
    "Writing the model …",
    "Cutting out the cells of the slide …",
)
OUTDATED = "Labels have changed since this estimate. Estimate again to include them."
# By the reason of the error.
_NOT_WORTH = {
    "not_better": "The adapted model shows no clear gain on your cells. Label more cells, or keep the shipped model.",
    "home_loss": "The adapted model forgets too much of what the shipped one knows. Check your labels, or label more.",
}


def labelled(parasitized: int, uninfected: int) -> str:
    """How many cells have a label."""
    return f"{parasitized} parasitized and {format_count(uninfected, 'uninfected cell')} labelled."


def needed(parasitized: int, uninfected: int) -> str:
    """How many more cells must be labelled."""
    missing = {
        name.lower(): max(0, LEAST_CELLS - cells)
        for name, cells in zip(CLASSES, (parasitized, uninfected), strict=True)
    }
    parts = [f"{number} more {name}" for name, number in missing.items() if number]
    if parts:
        return f"Needed: {format_list(parts)} (at least {LEAST_CELLS} of each)."
    return (
        "This is enough for an estimate. More cells, from several fields or patients, make the model better and the "
        "estimate more certain."
    )


def verdict(judgement: Judgement) -> tuple[bool, str]:
    """Whether an adapted model is worth using, and a sentence that says so."""
    try:
        judgement.check()
    except AdaptError as error:
        return False, _NOT_WORTH.get(error.reason, str(error))
    return True, "The adapted model is better on your cells."
