"""Sentences about results, shared by the page and the HTML report; about cells and slides, never about a patient."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.metadata import OperatingPoint
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.metrics import Estimate, PatientCounts
from malaria_detect.metrics.formatting import (
    format_count,
    format_estimate,
    format_interval,
    format_parasitemia,
    format_percent,
    format_points,
    format_probability,
    format_threshold_percent,
)
from malaria_detect.metrics.parasitemia import (
    DetectionLimit,
    ParasitemiaError,
    ParasitemiaEstimate,
    corrected_parasitemia,
    healthy_reading,
    limit_of_detection,
)

if TYPE_CHECKING:
    from malaria_detect.explain import Explanation  # imports torch

VERDICTS = {"Parasitized": "Looks parasitized", "Uninfected": "No parasite found by the model"}
# The smallest number of cells that a guideline asks for on a thin smear (CDC).
FEW_CELLS = 500
NOT_CALIBRATED = (
    "The probabilities are not calibrated: no temperature could be fitted on the validation patients."
)
# What helps with the cells of another laboratory: on the page, and where only a file is read.
TAB, COMMAND = "“Teach it your lab”", "`malaria-detect adapt`"
NO_PATIENTS = (
    "The errors of an adapted model were measured on a few cells of one laboratory. Nobody knows how they differ "
    "between patients. So no corrected estimate and no limit of detection can be given."
)
# Follows every score on corrected labels.
FLATTERED = (
    "only labels that similar networks contradicted were reviewed, so this score is too high and cannot be compared "
    "with other scores"
)
PURPOSES = {
    "screening": "Misses few parasitized cells, but gives more false alarms.",
    "balanced": "Keeps both missed cells and false alarms low.",
    "counting": "Gives few false alarms, for estimating parasitemia, but misses more parasitized cells.",
}


def summary(answers: Sequence[Prediction | Refusal]) -> str:
    """One sentence about all answers; empty without answers.

    Examples
    --------
    >>> summary([])
    ''
    """
    if not answers:
        return ""
    parasitized, cells = count_parasitized(answers)
    refused = len(answers) - cells
    parts = []
    if cells:
        look = "looks" if 1 in (parasitized, cells) else "look"
        parts.append(f"{parasitized} of {format_count(cells, 'cell')} {look} parasitized.")
    if refused:
        parts.append(f"{format_count(refused, 'image')} could not be checked.")
    return " ".join(parts)


def count_parasitized(answers: Sequence[Prediction | Refusal]) -> tuple[int, int]:
    """Number of cells called parasitized, and number of cells checked."""
    predictions = [answer for answer in answers if isinstance(answer, Prediction)]
    return sum(prediction.decision == CLASSES[0] for prediction in predictions), len(predictions)


def scored_on(point: OperatingPoint) -> str:
    """Whose cells the scores of an operating point are from; only an adapted model has no test patients."""
    return "test patients" if point.patients else "your laboratory (cross-validated)"


def caution(point: OperatingPoint) -> str:
    """The known errors of the model at an operating point; shown with all results."""
    scores = point.test
    missed, infected = scores.false_negative, scores.true_positive + scores.false_negative
    alarms, healthy = scores.false_positive, scores.false_positive + scores.true_negative
    return (
        f"The model makes mistakes. On cells of {scored_on(point)}, at the operating point “{point.name}”, it missed "
        f"{missed:,} of {infected:,} parasitized cells ({format_percent(missed / infected)}) and called {alarms:,} of "
        f"{healthy:,} uninfected cells parasitized ({format_percent(alarms / healthy)}). “No parasite found” does not "
        "rule out malaria."
    )


def purpose(point: OperatingPoint) -> str:
    """What an operating point is for, in plain words; its rule if it is not one of the usual three."""
    return PURPOSES.get(point.name, point.rule)


def leakage_gap(difference: Estimate) -> str:
    """How much more accurate the random split is than the split by patient, without a full stop.

    Examples
    --------
    >>> leakage_gap(Estimate(-0.003, -0.012, 0.006)).partition(" points ")[2]
    'lower in accuracy (95 % interval −1.2 to +0.6), within sampling error'
    """
    if difference.low > 0:
        reading = "more than sampling error explains"
    elif difference.high < 0:
        reading = "which leakage cannot explain"
    else:
        reading = "within sampling error"
    points = format_points(abs(difference.value)).removeprefix("+")
    direction = "lower" if difference.value < 0 else "higher"
    return (
        f"the random split scores {points} percentage points {direction} in accuracy "
        f"(95 % interval {format_interval(difference, format_points)}), {reading}"
    )


def rule(point: OperatingPoint) -> str:
    """What an operating point is for, and its threshold."""
    threshold = format_threshold_percent(point.threshold)
    return f"{purpose(point)} A cell is called parasitized if its probability is at least {threshold}."


def unlike(help_from: str) -> str:
    """What is said once of a cell, a field or many cells with a site warning; the help is `TAB` or `COMMAND`."""
    return f"Unlike the cells that the model knows, so less reliable: see {help_from}."


def notes(answer: Prediction, help_from: str) -> list[str]:
    """Reasons to look at a cell yourself; most cells have none. The help is `TAB` or `COMMAND`."""
    found = [*answer.warnings, *([unlike(help_from)] if answer.site_warning else [])]
    other = next(name for name in CLASSES if name != answer.decision)
    if answer.probabilities[answer.decision] < 0.5:
        found.insert(
            0,
            f"Called {answer.decision.lower()} at the operating point “{answer.operating_point}”, although "
            f"{other.lower()} is more probable. Look at this cell yourself.",
        )
    elif answer.uncertain and not answer.poor_quality:
        found.insert(
            0,
            f"The model is less than {format_percent(answer.uncertain_below)} sure. Look at this cell yourself.",
        )
    return found


def slide_sentences(answers: Sequence[Prediction | Refusal], point: OperatingPoint) -> list[str]:
    """What the checked cells mean for a slide.

    Parameters
    ----------
    answers : sequence of Prediction or Refusal
        At the operating point.
    point : OperatingPoint

    Returns
    -------
    list of str
        Five sentences: share called parasitized, corrected share, reading without parasites, limit of detection, and
        what these assume. Two for an adapted model. Empty if no cell was checked.
    """
    parasitized, cells = count_parasitized(answers)
    if not cells:
        return []
    were = "was" if parasitized == 1 else "were"
    few = (
        f" Only {format_count(cells, 'cell')} {'was' if cells == 1 else 'were'} checked; guidelines ask for "
        f"{FEW_CELLS:,} or more on a thin smear."
        if cells < FEW_CELLS
        else ""
    )
    called = (
        f"{parasitized:,} of {format_count(cells, 'cell')} {were} called parasitized: "
        f"{format_percent(parasitized / cells)}."
    )
    if not point.patients:
        return [called, NO_PATIENTS]
    return [
        called,
        _corrected(parasitized, cells, point.patients),
        _without_parasites(point.patients),
        _limit(cells, point.patients),
        "This assumes that all cells come from one slide, that none were selected, and that the slide resembles those "
        f"of the test patients.{few}",
    ]


def _corrected(parasitized: int, cells: int, patients: tuple[PatientCounts, ...]) -> str:
    estimate = correction(parasitized, cells, patients)
    if estimate is None:
        return "At this operating point the share cannot be corrected for classifier error."
    corrected = Estimate(estimate.estimate, estimate.low, estimate.high)
    return f"Corrected for classifier error (Rogan-Gladen): {format_estimate(corrected, format_percent)}."


def _without_parasites(patients: tuple[PatientCounts, ...]) -> str:
    reading = healthy_reading(patients)
    return (
        f"On a slide without parasites, about {format_estimate(reading, format_percent)} of the cells "
        "would be called parasitized, estimated from the uninfected cells of the test patients."
    )


def _limit(cells: int, patients: tuple[PatientCounts, ...]) -> str:
    limit = detection_limit(cells, patients).limit
    if math.isnan(limit):
        return f"With {format_count(cells, 'cell')}, no parasitemia can be distinguished from zero on 95 % of slides."
    return (
        f"With {format_count(cells, 'cell')}, the lowest parasitemia distinguishable from zero on 95 % of slides is "
        f"{format_parasitemia(limit)}."
    )


# Simulated, and needed again whenever a visitor changes the operating point.
@lru_cache(maxsize=256)
def correction(
    parasitized: int, cells: int, patients: tuple[PatientCounts, ...]
) -> ParasitemiaEstimate | None:
    """Cached :func:`~malaria_detect.metrics.parasitemia.corrected_parasitemia`; None if the counts say nothing."""
    try:
        return corrected_parasitemia(parasitized, cells, patients)
    except ParasitemiaError:
        return None


@lru_cache(maxsize=256)
def detection_limit(cells: int, patients: tuple[PatientCounts, ...]) -> DetectionLimit:
    """Cached :func:`~malaria_detect.metrics.parasitemia.limit_of_detection`; NaN if there is none."""
    try:
        return limit_of_detection(cells, patients)
    except ParasitemiaError:
        return DetectionLimit(cells, math.nan, math.nan)


def explanation_sentence(explanation: "Explanation") -> str:
    """What was found about where the model looked."""
    found = explanation.finding
    if found == "not_parasitized":
        return (
            "The model found no parasite in this cell, so there is no place to mark: it looks for signs of a parasite, "
            "not for signs of a healthy cell."
        )
    if found == "reliable":
        after = f"about {format_probability(explanation.probability_without)}"
        if explanation.probability_without >= explanation.threshold:
            return (
                "The model looked mainly at the marked part, but also at others: with that part hidden, the "
                f"probability of parasitized would still be {after}. The model can be wrong."
            )
        return (
            "The model looked at the marked part: with that part hidden, the probability of parasitized falls from "
            f"{format_probability(explanation.probability)} to {after}. Hiding random parts of the same size lowers it "
            "less. The model can be wrong."
        )
    reasons = {
        "no_mark": "no part of this cell speaks more for a parasite than the rest.",
        "mark_too_large": "the marked part is too large a part of this cell to be checked.",
        "not_confirmed": "hiding the part that seemed important hardly changes the answer, or no more than hiding "
        "random parts. This also happens if a cell has several parasites.",
    }
    return f"No reliable explanation was found: {reasons[found]}"
