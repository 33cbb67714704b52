"""What is said of results: the same sentences on the page and in the report of a visit, never of a patient."""

import math
from collections.abc import Sequence
from functools import lru_cache

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.metadata import OperatingPoint
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.metrics import Estimate, PatientCounts
from malaria_detect.metrics.formatting import (
    format_count,
    format_estimate,
    format_percent,
    format_threshold_percent,
)
from malaria_detect.metrics.parasitemia import (
    DetectionLimit,
    SlideError,
    SlideEstimate,
    corrected_parasitemia,
    healthy_reading,
    limit_of_detection,
)

VERDICTS = {"Parasitized": "Looks parasitized", "Uninfected": "No parasite found by the model"}
# Fewer cells than the least that a microscopist counts on a thin smear (CDC) are few.
FEW_CELLS = 500
NOT_CALIBRATED = (
    "No temperature could be fitted on the validation patients: the probabilities are those of the network itself, "
    "not calibrated."
)
# Stands beside every score on corrected labels.
FLATTERED = (
    "only labels that networks of this kind doubted were looked at again, so that this flatters them and is no score "
    "to compare with others"
)


def summary(answers: Sequence[Prediction | Refusal]) -> str:
    """One sentence for all answers.

    Examples
    --------
    >>> summary([])
    ''
    """
    if not answers:
        return ""
    parasitized, cells = called(answers)
    refused = len(answers) - cells
    parts = []
    if cells:
        look = "looks" if 1 in (parasitized, cells) else "look"
        parts.append(f"{parasitized} of {format_count(cells, 'cell')} {look} parasitized.")
    if refused:
        parts.append(f"{format_count(refused, 'picture')} could not be checked.")
    return " ".join(parts)


def called(answers: Sequence[Prediction | Refusal]) -> tuple[int, int]:
    """How many cells were called parasitized, and how many were checked at all."""
    predictions = [answer for answer in answers if isinstance(answer, Prediction)]
    return sum(prediction.decision == CLASSES[0] for prediction in predictions), len(predictions)


def caution(point: OperatingPoint) -> str:
    """What the model misses at an operating point, counted on test patients: stands wherever results stand."""
    scores = point.test
    missed, infected = scores.false_negative, scores.true_positive + scores.false_negative
    alarms, healthy = scores.false_positive, scores.false_positive + scores.true_negative
    return (
        f"Read with care: on test patients the model, set to “{point.name}”, missed {missed:,} of {infected:,} "
        f"parasitized cells ({format_percent(missed / infected)}) and called {alarms:,} of {healthy:,} uninfected ones "
        f"parasitized ({format_percent(alarms / healthy)}). “No parasite found” never rules malaria out."
    )


def rule(point: OperatingPoint) -> str:
    """How an operating point's threshold was chosen, and what it is."""
    threshold = format_threshold_percent(point.threshold)
    return f"{point.rule.rstrip('.')}. Parasitized is called from a probability of {threshold} on."


def notes(answer: Prediction) -> list[str]:
    """Why a person should look at a cell, or why its answer may be worth less than usual; most cells have none."""
    found = list(answer.warnings)
    if answer.decision != answer.label:
        found.insert(
            0,
            f"Called {answer.decision.lower()} by the rule of “{answer.operating_point}”, though the other class is "
            "more probable: look at this cell yourself.",
        )
    elif answer.uncertain:
        found.insert(
            0,
            f"The model is less than {format_percent(answer.uncertain_below)} sure: look at this cell yourself.",
        )
    return found


def slide_sentences(answers: Sequence[Prediction | Refusal], point: OperatingPoint) -> list[str]:
    """What the checked cells mean for a slide: share called, corrected share, a healthy person's reading, the limit.

    Parameters
    ----------
    answers : sequence of Prediction or Refusal
        Decided at the operating point.
    point : OperatingPoint

    Returns
    -------
    list of str
        Sentences to be read one after the other; none where no cell was checked. The last one says what they rest on.
    """
    parasitized, cells = called(answers)
    if not cells:
        return []
    few = cells < FEW_CELLS
    were = "was" if parasitized == 1 else "were"
    return [
        f"Of {format_count(cells, 'cell')}, {parasitized:,} {were} called parasitized: "
        f"{format_percent(parasitized / cells)}.",
        _corrected(parasitized, cells, point.patients),
        _healthy(point.patients),
        _limit(cells, point.patients, few),
        (
            f"{format_count(cells, 'cell')} {'is' if cells == 1 else 'are'} few: on a thin smear {FEW_CELLS:,} and "
            "more are counted. "
            if few
            else ""
        )
        + "This takes them for cells of one slide, all that were counted and none chosen, from a slide like those of "
        "the test patients.",
    ]


def _corrected(parasitized: int, cells: int, patients: tuple[PatientCounts, ...]) -> str:
    estimate = correction(parasitized, cells, patients)
    if estimate is None:
        return "At this operating point it cannot be corrected for what the model misses and over-calls."
    corrected = Estimate(estimate.estimate, estimate.low, estimate.high)
    return (
        "Corrected for what the model misses and over-calls, that is about "
        f"{format_estimate(corrected, format_percent)}."
    )


def _healthy(patients: tuple[PatientCounts, ...]) -> str:
    reading = healthy_reading(patients)
    return (
        f"A person without parasites would read about {format_estimate(reading, format_percent)} at "
        "this operating point, to go by the uninfected cells of the test patients, infected ones among them."
    )


def _limit(cells: int, patients: tuple[PatientCounts, ...], few: bool) -> str:
    limit = detection_limit(cells, patients).limit
    with_these = f"With {'so few' if few else f'{cells:,}'} cells"
    if math.isnan(limit):
        return f"{with_these} no slide is told from one without parasites in 95 of 100 cases."
    return (
        f"{with_these} a slide is told from one without parasites in 95 of 100 cases from {format_percent(limit)} on; "
        "below that it is often missed."
    )


# Simulated: the same slides are asked for with every look, and there are three operating points.
@lru_cache(maxsize=256)
def correction(parasitized: int, cells: int, patients: tuple[PatientCounts, ...]) -> SlideEstimate | None:
    """Cached :func:`~malaria_detect.metrics.parasitemia.corrected_parasitemia`; None if the counts say nothing."""
    try:
        return corrected_parasitemia(parasitized, cells, patients)
    except SlideError:
        return None


@lru_cache(maxsize=256)
def detection_limit(cells: int, patients: tuple[PatientCounts, ...]) -> DetectionLimit:
    """:func:`malaria_detect.metrics.parasitemia.limit_of_detection`, remembered; NaN where the calls say nothing."""
    try:
        return limit_of_detection(cells, patients)
    except SlideError:
        return DetectionLimit(cells, math.nan, math.nan)
