"""What the model made of each picture: no widgets here, only results, and the files that a visitor takes home."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from malaria_detect.app.html_report import Checked, as_png, visit_report
from malaria_detect.app.results_table import write_csv
from malaria_detect.app.widgets.upload import Upload
from malaria_detect.data.images import ImageRefused, read_image
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.inference.prediction import Prediction, Record, Refusal

# What is shown is no larger than this: a card is about 240 px wide, on screens with up to two pixels for one.
SHOWN_SIDE = 480


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
    def uncertain(self) -> bool:
        """Whether the model is not sure of its decision."""
        return isinstance(self.answer, Prediction) and self.answer.uncertain

    def at(self, point: OperatingPoint) -> "Result":
        """The same picture, decided at another operating point; the network is not run again."""
        return replace(self, answer=self.answer.at(point)) if isinstance(self.answer, Prediction) else self


def check(detector: Detector, upload: Upload, point: OperatingPoint) -> Result:
    """Read a picture and ask the model; one that cannot be used is a refusal.

    One picture at a time: its card comes at once, and no more than one decoded picture lies in memory.
    """
    try:
        prediction = detector.predict(upload.content)
    except ImageRefused as refusal:
        return Result(upload.name, Refusal(str(refusal)), b"", upload.label)
    shown = as_png(read_image(upload.content), SHOWN_SIDE)
    return Result(upload.name, prediction.at(point), shown, upload.label)


def results_csv(results: Sequence[Result]) -> str:
    """Results as CSV: the very table of ``malaria-detect predict --csv``."""
    text = io.StringIO(newline="")
    write_csv((Record.of(result.name, result.answer) for result in results), text)
    return text.getvalue()


def results_report(results: Sequence[Result], metadata: ModelMetadata, point: OperatingPoint) -> bytes:
    """Results as HTML with the pictures inside: the very report of ``malaria-detect predict --report``."""
    # A result's picture is bound here: the loop has gone on by the time it is asked for.
    checked = [
        Checked(result.name, result.answer, lambda picture=result.picture: picture, result.label)  # type: ignore[misc]
        for result in results
    ]
    return "".join(visit_report(checked, metadata, point)).encode("utf-8", "backslashreplace")
