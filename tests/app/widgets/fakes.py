"""A detector that answers at once, and metadata with made-up numbers: what the widgets' own tests need of a model."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from html import unescape
from typing import Any

import numpy as np
from ipywidgets import Widget
from PIL import Image

from malaria_detect.data.images import ImageSource, read_image, size_warnings
from malaria_detect.evaluation.cross_validation import Evaluation, HeldOut, Run, compare_splits
from malaria_detect.fields.analyse import FieldAnalyser
from malaria_detect.fields.result import FieldResult
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint, Side, Uncertainty
from malaria_detect.inference.prediction import Prediction
from malaria_detect.metrics import scaled
from malaria_detect.metrics.formatting import NO_BREAK
from tests.drawn_fields import Drawn
from tests.known_finder import FEW, KnownFinder
from tests.tools.records import START, made_up_cells
from tests.tools.records import made_up_metadata as plain_metadata

Messages = list[dict[str, Any]]
EVIL = "<script>alert(1)</script>"
GROUPS = ("C100P61ThinF", "C101P62ThinF")
# Titles in the tab "How good is it": shown at once, and unfolded.
FIRST_FIGURES = ("Confusion matrix at “balanced”", "Loss during training")
FOLDED_FIGURES = (
    "ROC curve",
    "Apparent and true parasitemia",
    "Limits of detection",
    "Corrected parasitemia at “counting”",
    "Differences at “counting”",
    "Patients detected at “counting”",
    "Patients",
    "Patient-level leakage",
    "Comparison of designs",
    "Calibration",
    "Accuracy during training",
)


class BrightnessDetector:
    """Takes a picture's red for its probability: 255 is surely parasitized, 0 surely not."""

    def __init__(self, metadata: ModelMetadata) -> None:
        self.metadata = metadata
        self.asked = 0

    def at(self, _: str) -> "BrightnessDetector":
        return self

    def predict(self, source: ImageSource) -> Prediction:
        image = read_image(source)
        self.asked += 1
        return prediction(
            float(np.asarray(image, float)[..., 0].mean() / 255), self.metadata, size=image.size
        )


class KnownAnalyser(FieldAnalyser):
    """Knows the cells of the fields drawn from seeds 0 and 1, of this kind.

    Every cell is surely what was drawn, but the first uninfected one that counts is uncertain.
    """

    def __init__(self, drawn: Drawn = FEW) -> None:
        self.finder = KnownFinder.of(0, 1, drawn=drawn)
        self._drawn = drawn

    def analyse_field(
        self, image: ImageSource, name: str | None = None, cell_diameter: float | None = None
    ) -> FieldResult:
        self.detector = _InOrder(self._drawn)  # type: ignore[assignment]
        return super().analyse_field(image, name, cell_diameter)


class _InOrder:
    """Answers for the red cells of a drawn field, which come in the order of drawing."""

    def __init__(self, drawn: Drawn) -> None:
        certain = drawn.cells - drawn.parasitized - 1
        self._probabilities = [0.01] * drawn.on_edge + [0.99] * drawn.parasitized + [0.5] + [0.01] * certain

    def predict_many(self, crops: Iterable[Image.Image]) -> Iterator[Prediction]:
        for probability, crop in zip(self._probabilities, crops, strict=True):
            yield prediction(probability, METADATA, METADATA.point("counting"), crop.size)


def prediction(
    probability: float,
    metadata: ModelMetadata,
    point: OperatingPoint | None = None,
    size: tuple[int, int] = (120, 130),
    warnings: tuple[str, ...] | None = None,
) -> Prediction:
    """What a model says that gives a picture this calibrated probability."""
    point = point or metadata.point()
    odds = np.log(max(probability, 1e-12) / max(1 - probability, 1e-12))
    return Prediction(
        decision="Uninfected",
        probabilities={"Parasitized": probability, "Uninfected": 1 - probability},
        raw_probability_parasitized=float(scaled(odds * metadata.temperature, 1.0)),
        operating_point=point.name,
        threshold=point.threshold,
        uncertain_below=metadata.uncertainty.below,
        image_size=size,
        warnings=size_warnings(*size) if warnings is None else warnings,
    ).at(point)


@cache
def made_up_metadata() -> ModelMetadata:
    """Three operating points at 0.2, 0.4 and 0.8, uncertainty under 0.9."""
    plain = plain_metadata()
    points = tuple(
        replace(
            point, threshold=at, rule=f"The rule of {point.name}.", test=replace(point.test, threshold=at)
        )
        for point, at in zip(plain.operating_points, (0.2, 0.4, 0.8), strict=True)
    )
    side = Side(cells=1400, parasitized=700, uninfected=700, groups=GROUPS)
    return replace(
        plain,
        train=side,
        valid=side,
        test=side,
        settings={},
        temperature=1.25,
        operating_points=points,
        uncertainty=Uncertainty(0.9, 0.1, 0.6, 0.12, 0.55),
        ece_raw=0.0321,
    )


@cache
def made_up_evaluation() -> Evaluation:
    """Five grouped folds, and a random split of the same cells that looks better than it is."""
    cells = made_up_cells(7)

    def half(split: str, folds: int, better: float) -> tuple[HeldOut, Run]:
        held_out = HeldOut(
            files=cells.files,
            groups=cells.groups,
            folds=tuple(1 + n % folds for n in range(len(cells.files))),
            labels=cells.labels,
            probability=tuple(
                scaled(np.array(cells.values) + better * (2 * cells.parasitized - 1), 1.0).tolist()
            ),
            # An expert was unsure of ten cells.
            corrected=("",) * 10 + cells.labels[10:],
        )
        history = made_up_metadata().history
        return held_out, Run(split, folds, {}, "0" * 64, START, (history,) * folds, {}, "2026-01-31")

    return compare_splits(half("grouped", 5, 0), half("random", 1, 1.5))


METADATA = made_up_metadata()


def red_png(value: int, side: int = 60) -> bytes:
    """A picture with this red throughout and some green, for which the detector says ``value / 255``."""
    file, size = io.BytesIO(), (side, side)
    green = Image.linear_gradient("L").resize(size)
    Image.merge("RGB", [Image.new("L", size, value), green, Image.new("L", size)]).save(file, "PNG")
    return file.getvalue()


def png_of(pixels: np.ndarray) -> bytes:
    """A picture as PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def hear(widget: Widget, buffers: Sequence[bytes] = (), **message: Any) -> None:
    """What the comm hands on from the browser."""
    widget._handle_custom_msg(message, [memoryview(one) for one in buffers])


def of_type(told: Messages, kind: str) -> Messages:
    """Messages of one type."""
    return [message for message in told if message["type"] == kind]


def saved(widget: Widget) -> str:
    """What a saved notebook would contain of a widget."""
    return json.dumps(widget.get_state(drop_defaults=False), default=str)


def plain(text: str) -> str:
    """A text with plain spaces."""
    return text.replace(NO_BREAK, " ")


def text_of(html: str) -> str:
    """What a reader sees of some HTML, in one line."""
    return " ".join(plain(unescape(re.sub(r"<[^>]+>", " ", html))).split())


def rows_of(html: str) -> list[str]:
    """Rows of the tables in some HTML."""
    return re.findall(r"<tr role='row'>.*?</tr>", html, flags=re.DOTALL)
