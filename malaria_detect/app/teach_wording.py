"""Sentences about adapting the model to a laboratory."""

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import LEAST_CELLS, AdaptError
from malaria_detect.inference.judge import Judgement
from malaria_detect.metrics.formatting import (
    format_count,
    format_estimate,
    format_list,
    format_score,
    format_signed,
)

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
# Titles of the scores of an adaptation.
JUDGED = {
    "roc_auc": "ROC AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "mcc": "MCC",
    "brier": "Brier score (0 is best)",
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


def judged_on(judgement: Judgement) -> str:
    """From what the scores of an adaptation are estimated."""
    scores = judgement.parent
    held_out = (
        ". Some cells were held out one by one, because their names tell no field, or because all cells of their class "
        "are from one field. So the scores are too good, and the intervals too narrow"
        if judgement.by_cell
        else f" of {scores.patients} patients or fields; the cells of each are held out together"
    )
    return (
        f"Cross-validated on {format_count(scores.cells, 'cell')} ({scores.parasitized} parasitized){held_out}. "
        "At the operating point “balanced”; 95 % intervals in brackets."
    )


def judgement_rows(judgement: Judgement) -> list[tuple[str, ...]]:
    """Name of each score, before, after, and the gain."""
    rows: list[tuple[str, ...]] = []
    for name, title in JUDGED.items():
        before, after = (
            format_estimate(one.estimates[name]) for one in (judgement.parent, judgement.adapted)
        )
        rows.append((title, before, after, format_estimate(judgement.gain[name], format_signed)))
    return rows


def home_change(judgement: Judgement) -> str:
    """What an adapted model loses on the cells of its parent."""
    change = judgement.home_adapted - judgement.home_parent
    return (
        f"ROC AUC on the validation patients of its training: {format_score(judgement.home_parent, 4)} before, "
        f"{format_score(judgement.home_adapted, 4)} after: {format_signed(change, 4)}."
    )


def judgement_lines(judgement: Judgement) -> list[str]:
    """What an adaptation gains in the laboratory and loses at home, one line each."""
    rows = [
        f"{name}: {before} before, {after} after: {gain}"
        for name, before, after, gain in judgement_rows(judgement)
    ]
    return [judged_on(judgement), *rows, home_change(judgement)]
