"""Sentences about teaching the model a laboratory, for the page."""

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import LEAST_CELLS, AdaptError
from malaria_detect.inference.judge import Judgement
from malaria_detect.metrics import Estimate
from malaria_detect.metrics.formatting import (
    format_count,
    format_estimate,
    format_list,
    format_points,
    format_score,
    format_signed,
)
from malaria_detect.metrics.formatting import format_percent as percent

SHIPPED, ADAPTED = "the shipped model", "your adapted model"
ANSWERS_OF_ADAPTED = (
    f"Answers of: {ADAPTED}. Here, “test patients” are your labelled cells. "
    "To change back, see “Teach it your lab”."
)
NO_REVIEW = "No cell of a slide has your verdict yet. Review cells in “Analyse a slide” first."
ESTIMATING, PACKING, CUTTING = (
    "Estimating the accuracy …",
    "Writing the model …",
    "Cutting out the cells of the slide …",
)
OUTDATED = "Labels have changed since this estimate. Estimate again to include them."
# By the reason of the error.
_NOT_WORTH = {
    "not_better": "The adapted model is not better on your cells. Label more cells, or keep the shipped model.",
    "home_loss": "The adapted model forgets too much of what the shipped one knows. Check your labels, or label more.",
}
# Of cells; their gains are in points.
_SHARES = ("sensitivity", "specificity")


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
    gain = judgement.gain["roc_auc"]
    certain = "" if gain.low > 0 else " The gain may be chance: label more cells to be certain."
    return True, f"The adapted model is better on your cells.{certain}"


def cost(judgement: Judgement) -> str:
    """What an adapted model loses on the cells of its parent."""
    change = judgement.home_adapted - judgement.home_parent
    return (
        "On the NLM cells of validation patients, its ROC AUC is "
        f"{format_score(judgement.home_adapted, 4)} instead of {format_score(judgement.home_parent, 4)} "
        f"({format_signed(change, 4)})."
    )


def basis(judgement: Judgement) -> str:
    """What an estimate is based on."""
    scores = judgement.parent
    groups = (
        f"{scores.patients} fields or patients"
        if scores.patients < scores.cells
        else "cells whose names tell no field, so the intervals may be too narrow"
    )
    return (
        f"Cross-validated on {format_count(scores.cells, 'cell')} ({scores.parasitized} parasitized) of {groups}: no "
        "cell is judged by a model that has learnt from its field. At the operating point “balanced”; in brackets, "
        "95 % intervals."
    )


def score_rows(judgement: Judgement) -> list[tuple[str, ...]]:
    """Name of each score, before, after, and the gain."""
    rows = []
    for name, title in (("roc_auc", "ROC AUC"), *((one, one.capitalize()) for one in _SHARES)):
        write, signed = (percent, format_points) if name in _SHARES else (format_score, format_signed)
        unit = " points" if name in _SHARES else ""
        before, after = (one.estimates[name] for one in (judgement.parent, judgement.adapted))
        gain: Estimate = judgement.gain[name]
        numbers = (format_estimate(one, write) for one in (before, after))
        rows.append((title, *numbers, format_estimate(gain, signed) + unit))
    return rows
