"""The tab "About": what the model cannot do, how it decides, and where it comes from."""

import math
import os
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import malaria_detect
from malaria_detect.app.widgets.base import Text
from malaria_detect.app.wording import NOT_CALIBRATED
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.evaluation.literature import read_published
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.metrics.formatting import (
    format_megabytes,
    format_percent,
    format_threshold_percent,
)
from malaria_detect.training.settings import recipe

TEXT = Path(__file__).parent / "texts" / "about.html"


class About(Text):
    """Facts about a model and its limitations.

    Parameters
    ----------
    metadata : ModelMetadata
    published : path
        Published results to quote; without the file, nothing is quoted.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        published: str | os.PathLike[str] = "reports/published.json",
        **kwargs: Any,
    ) -> None:
        super().__init__(lambda: about(metadata, published), at_once=True, **kwargs)


def about(metadata: ModelMetadata, published: str | os.PathLike[str] = "reports/published.json") -> str:
    """The tab as HTML."""
    elsewhere, doubted = _quoted(Path(published))
    facts = {
        "Version": malaria_detect.__version__,
        "Network": f"{metadata.architecture}, {metadata.input_size} px",
        "Started from": str(metadata.weights),
        "Trained": f"{metadata.created}, {recipe(metadata.history, metadata.settings)}",
        "Labels": f"as {metadata.labels_learnt}",
        "Temperature": f"{metadata.temperature:.3f}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in metadata.versions.items()),
        "Model file": f"{metadata.file_name}, {format_megabytes(metadata.size_bytes)}",
        "SHA-256": metadata.sha256,
        "Licence": metadata.licence,
    }
    specificity = [point.test.estimates["specificity"].value for point in metadata.operating_points]
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        intended_use=escape(metadata.intended_use),
        false_alarms=f"{format_percent(1 - max(specificity))} to {format_percent(1 - min(specificity))}",
        elsewhere=elsewhere,
        doubted=doubted,
        calibration=_calibration(metadata),
        points="".join(map(_point, metadata.operating_points)),
        default=escape(metadata.default_point),
        uncertainty=_uncertainty(metadata),
        sides=_sides(metadata),
        facts="".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items()),
    )


def _point(point: OperatingPoint) -> str:
    threshold = format_threshold_percent(point.threshold)
    return f"<li><b>{escape(point.name.capitalize())}</b> (threshold {threshold}): {escape(point.rule)}</li>"


def _quoted(path: Path) -> tuple[str, str]:
    """Published results from other places, and about the labels."""
    if not path.is_file():
        return "", ""
    try:
        published = read_published(path)
    except MalariaDetectError as error:
        return "", f" ({escape(str(error))})"
    return (
        f" Published examples: {escape('; '.join(map(str, published.elsewhere)))}.",
        f" An expert review set aside {escape(str(published.doubted_labels))}.",
    )


def _calibration(metadata: ModelMetadata) -> str:
    if not metadata.calibrated:
        return escape(NOT_CALIBRATED)
    error = metadata.point().test.estimates["ece"].value
    return (
        "The probabilities are calibrated: of the cells that get a probability of 80&nbsp;%, about 80&nbsp;% are "
        "parasitized. For this, the network’s output (log-odds) is divided by a temperature of "
        f"{metadata.temperature:.3f}, fitted on validation patients. On test patients the calibration "
        f"error is {error:.4f}; without calibration it is {metadata.ece_raw:.4f}. "
        "Calibration does not change the order of the cells. The probability before calibration (softmax), which "
        "<code>learn.predict</code> of fastai returns, is under “Details” on every card."
    )


def _uncertainty(metadata: ModelMetadata) -> str:
    uncertainty = metadata.uncertainty
    caught = (
        ""
        if math.isnan(uncertainty.test_caught)
        else f", and they include {format_percent(uncertainty.test_caught)} of the wrong decisions"
    )
    return (
        f"A decision is marked uncertain if its probability is below {format_percent(uncertainty.below)}. At “"
        f"{escape(metadata.default_point)}”, {format_percent(uncertainty.test_share)} of the test cells are uncertain"
        f"{caught}."
    )


def _sides(metadata: ModelMetadata) -> str:
    sides = (metadata.train, metadata.valid, metadata.test)
    rows = {
        "Patients": [len(side.groups) for side in sides],
        "Cells": [side.cells for side in sides],
        "Parasitized": [side.parasitized for side in sides],
        "Uninfected": [side.uninfected for side in sides],
    }
    return "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{number:,}</td>' for number in numbers)}</tr>"
        for name, numbers in rows.items()
    )
