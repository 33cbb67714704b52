"""A detector that answers at once, and metadata with made-up numbers: what the widgets' own tests need of a model."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from html import unescape
from typing import Any

import numpy as np
from ipywidgets import Widget
from PIL import Image

from malaria_detect.data.images import ImageSource, read_image, size_warnings
from malaria_detect.evaluation.cross_validation import Evaluation, HeldOut, Run, compare_splits
from malaria_detect.inference.metadata import (
    Epoch,
    ModelMetadata,
    OperatingPoint,
    Side,
    StartWeights,
    Uncertainty,
)
from malaria_detect.inference.prediction import Prediction
from malaria_detect.metrics import count_patients, reliability_bins, roc_points, scaled, score
from malaria_detect.metrics.formatting import NO_BREAK
from tests.tools.records import made_up_metadata as plain_metadata

EVIL = "<script>alert(1)</script>"
TEMPERATURE = 1.25
GROUPS = ("C100P61ThinF", "C101P62ThinF")
# Titles in the tab "How good is it": shown at once, and unfolded.
FIRST_FIGURES = ("Confusion matrix at “balanced”", "Loss during training")
FOLDED_FIGURES = (
    "ROC curve",
    "Apparent and true parasitemia",
    "Limits of detection",
    "Patients",
    "Patient-level leakage",
    "Comparison of designs",
    "Calibration",
    "Accuracy during training",
)


class BrightnessDetector:
    """Takes a picture's brightness for its probability: grey 255 is surely parasitized, grey 0 surely not."""

    def __init__(self, metadata: ModelMetadata) -> None:
        self.metadata = metadata
        self.asked = 0

    def predict(self, source: ImageSource) -> Prediction:
        image = read_image(source)
        self.asked += 1
        return prediction(float(np.asarray(image, float).mean() / 255), self.metadata, size=image.size)


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
    """600 test cells of 20 patients, three of them healthy; three operating points, uncertainty under 0.9."""
    labels, logits, groups = _cells()
    raw, calibrated = scaled(logits, 1.0), scaled(logits, TEMPERATURE)

    def point(name: str, threshold: float) -> OperatingPoint:
        scores = score(labels, calibrated, groups, threshold, resamples=50)
        counts = count_patients(labels, calibrated >= threshold, groups)
        return OperatingPoint(name, f"The rule of {name}.", threshold, scores, scores, counts)

    side = Side(cells=1400, parasitized=700, uninfected=700, groups=GROUPS)
    return replace(
        plain_metadata(),
        train=side,
        valid=side,
        test=side,
        settings={},
        history=tuple(
            Epoch(n, 96, 0.6 / n, 0.5 / n + 0.05, 1 - 0.2 / n, 0.9, 0.9, 0.9, 0.97, 60.0) for n in range(1, 5)
        ),
        temperature=TEMPERATURE,
        operating_points=(point("screening", 0.2), point("balanced", 0.4), point("counting", 0.8)),
        default_point="balanced",
        uncertainty=Uncertainty(0.9, 0.1, 0.6, 0.12, 0.55),
        roc=roc_points(labels, calibrated),
        reliability_raw=reliability_bins(labels, raw, groups),
        reliability=reliability_bins(labels, calibrated, groups),
        ece_raw=0.0321,
    )


@cache
def made_up_evaluation() -> Evaluation:
    """Five grouped folds, and a random split of the same cells that looks better than it is."""
    labels, logits, groups = _cells()
    history = tuple(Epoch(n, 96, 0.5, 0.4, 0.9, 0.9, 0.9, 0.9, 0.97, 60.0) for n in range(1, 4))

    names = tuple("Parasitized" if one else "Uninfected" for one in labels)

    def held_out(folds: int, better: float) -> HeldOut:
        return HeldOut(
            files=tuple(f"{n}.png" for n in range(600)),
            groups=tuple(groups),
            folds=tuple(1 + n % folds for n in range(600)),
            labels=names,
            probability=tuple(scaled(logits + better * np.where(labels, 1, -1), 1.0).tolist()),
            # An expert was unsure of ten cells.
            corrected=("",) * 10 + names[10:],
        )

    def run(split: str, folds: int) -> Run:
        start = StartWeights("none", "", "", 0, 0, ())
        return Run(split, folds, {}, "0" * 64, start, (history,) * folds, {}, "2026-01-31")

    return compare_splits((held_out(5, 0), run("grouped", 5)), (held_out(1, 1.5), run("random", 1)))


def _cells() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, log-odds and patient groups of cells whose patients differ."""
    rng = np.random.default_rng(0)
    patient = np.arange(600) % 20
    labels = (rng.random(600) < 0.5) & (patient >= 3)
    logits = rng.normal(np.where(labels, 4, -5) + rng.normal(0, 0.8, 20)[patient], 2.2)
    return labels, logits, [f"P{n:02}" for n in patient]


def grey_png(value: int, side: int = 60) -> bytes:
    """A plain grey picture, for which the detector says ``value / 255``."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def hear(widget: Widget, buffers: Sequence[bytes] = (), **message: Any) -> None:
    """What the comm hands on from the browser."""
    widget._handle_custom_msg(message, [memoryview(one) for one in buffers])


def of_type(told: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
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
