"""What the model made of each picture, and what is said of it: no widgets here, only results, sentences and CSV."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from malaria_detect.detector import Detector, Prediction, Refusal
from malaria_detect.images import ImageRefused, read_image
from malaria_detect.metrics import Scores
from malaria_detect.table import row, write_csv
from malaria_detect.widgets.upload import Upload

# What is shown is no larger than this: a card is about 240 px wide, on screens with up to two pixels for one.
SHOWN_SIDE = 480
# Below this probability of its own decision the model is called doubtful: on the validation patients that is one cell
# in eight, and most of its mistakes are among them.
SURE = 0.9
VERDICTS = {"Parasitized": "Looks parasitized", "Uninfected": "No parasite found by the model"}
NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Result:
    """One picture and what came of it.

    Attributes
    ----------
    name : str
        File name as the visitor has it.
    answer : Prediction or Refusal
    picture : bytes
        PNG of what the model saw, at most `SHOWN_SIDE` px a side; empty for a refused picture.
    label : str or None
        Published label, for cells from the cells folder.
    """

    name: str
    answer: Prediction | Refusal
    picture: bytes
    label: str | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the model is not sure of its decision."""
        return isinstance(self.answer, Prediction) and self.answer.probabilities[self.answer.decision] < SURE


def check(detector: Detector, upload: Upload) -> Result:
    """Read a picture and ask the model; one that cannot be used is a refusal.

    One picture at a time: its card comes at once, and no more than one decoded picture lies in memory.
    """
    try:
        image = read_image(upload.content)
    except ImageRefused as refusal:
        return Result(upload.name, Refusal(str(refusal)), b"", upload.label)
    return Result(upload.name, detector.predict(image), _as_png(image), upload.label)


def summary(results: Sequence[Result]) -> str:
    """One sentence for all results.

    Examples
    --------
    >>> summary([])
    ''
    """
    if not results:
        return ""
    predictions = [result.answer for result in results if isinstance(result.answer, Prediction)]
    parasitized = sum(prediction.decision == "Parasitized" for prediction in predictions)
    refused = len(results) - len(predictions)
    parts = []
    if predictions:
        look = "looks" if 1 in (parasitized, len(predictions)) else "look"
        parts.append(f"{parasitized} of {_count(len(predictions), 'cell')} {look} parasitized.")
    if refused:
        parts.append(f"{_count(refused, 'picture')} could not be checked.")
    return " ".join(parts)


def caution(scores: Scores) -> str:
    """What the model misses, from its scores on test patients: stands wherever results stand."""
    missed, infected = scores.false_negative, scores.true_positive + scores.false_negative
    alarms, healthy = scores.false_positive, scores.false_positive + scores.true_negative
    return (
        f"Read with care: on test patients the model missed {missed:,} of {infected:,} parasitized cells "
        f"({percent(missed / infected)}) and called {alarms:,} of {healthy:,} uninfected ones parasitized "
        f"({percent(alarms / healthy)}). “No parasite found” never rules malaria out."
    )


def results_csv(results: Sequence[Result]) -> str:
    """Results as CSV: the very table of ``malaria-detect predict --csv``."""
    text = io.StringIO(newline="")
    write_csv((row(result.name, result.answer) for result in results), text)
    return text.getvalue()


def percent(share: float) -> str:
    """A share as per cent, in one unbreakable word; never "0.0 %" or "100.0 %" for what is not quite that.

    Examples
    --------
    >>> [percent(share).replace(NO_BREAK, " ") for share in (0.9731, 0.99997, 1.0)]
    ['97.3 %', '> 99.9 %', '100 %']
    """
    if share in (0.0, 1.0):
        number = f"{share:.0%}"
    elif share < 0.0005:
        number = "< 0.1%"
    elif share >= 0.9995:
        number = "> 99.9%"
    else:
        number = f"{share:.1%}"
    return number.replace(" ", NO_BREAK).replace("%", f"{NO_BREAK}%")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _as_png(image: Image.Image) -> bytes:
    """The decoded picture as PNG, large ones made smaller. What the visitor's file held beside the picture is gone."""
    shown = image.copy()
    shown.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "PNG")
    return file.getvalue()
