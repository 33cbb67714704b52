"""Results of the checked images, and the files with results that a visitor downloads. No widgets here."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from malaria_detect.app.html_report import html_report
from malaria_detect.app.results_table import write_csv
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.data.images import ImageRefused, as_png, read_image
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.inference.prediction import Prediction, Record, Refusal

# px; a card is about 240 px wide, on screens with up to two physical pixels for one.
SHOWN_SIDE = 480
# Reasons for which an image of a field is refused as one of a cell.
_OF_FIELDS = ("too_large", "whole_field")


@dataclass(frozen=True)
class Result:
    """The result of one image.

    Attributes
    ----------
    name : str
        File name.
    answer : Prediction or Refusal
    picture : bytes
        PNG for the card, at most `SHOWN_SIDE` px per side; empty for a refused image.
    label : str or None
        Published label, for cells from the cells folder.
    original : bytes
        The file as uploaded, which explanations need; empty for a refused image that cannot be a field.
    """

    name: str
    answer: Prediction | Refusal
    picture: bytes
    label: str | None = None
    original: bytes = field(default=b"", repr=False)

    @property
    def uncertain(self) -> bool:
        """Whether the decision is uncertain."""
        return isinstance(self.answer, Prediction) and self.answer.uncertain

    @property
    def may_be_field(self) -> bool:
        """Whether the image shows a whole field, or is too large for a cell."""
        return isinstance(self.answer, Refusal) and self.answer.reason in _OF_FIELDS

    def at(self, point: OperatingPoint) -> "Result":
        """The same result at another operating point; the network does not run again."""
        return replace(self, answer=self.answer.at(point)) if isinstance(self.answer, Prediction) else self


def check(detector: Detector, file: UploadedFile, point: OperatingPoint) -> Result:
    """Classify one image; an image that cannot be used gives a refusal."""
    try:
        prediction = detector.predict(file.content)
    except ImageRefused as refusal:
        original = bytes(file.content) if refusal.reason in _OF_FIELDS else b""
        return Result(file.name, Refusal(str(refusal), refusal.reason), b"", file.label, original)
    shown = as_png(read_image(file.content), SHOWN_SIDE)
    return Result(file.name, prediction.at(point), shown, file.label, bytes(file.content))


def results_csv(results: Sequence[Result]) -> str:
    """Results as CSV, the same table that ``malaria-detect predict --csv`` writes."""
    text = io.StringIO(newline="")
    write_csv((Record.of(result.name, result.answer) for result in results), text)
    return text.getvalue()


def results_report(results: Sequence[Result], metadata: ModelMetadata, point: OperatingPoint) -> bytes:
    """Results as an HTML file with the images, the same report that ``malaria-detect predict --report`` writes."""
    pieces = html_report(
        [(result.name, result.answer) for result in results],
        (result.picture for result in results),
        metadata,
        point,
        [result.label for result in results],
    )
    return "".join(pieces).encode("utf-8", "backslashreplace")
