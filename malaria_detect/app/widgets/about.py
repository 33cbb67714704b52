"""The view "About": what the model was trained on, what it cannot do, where it comes from."""

import math
import os
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import malaria_detect
from malaria_detect.app.widgets.base import Text
from malaria_detect.app.wording import NOT_CALIBRATED
from malaria_detect.evaluation.literature import LiteratureError, read_published
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.formatting import (
    format_count,
    format_megabytes,
    format_percent,
    format_threshold_percent,
)
from malaria_detect.training.settings import recipe

TEXT = Path(__file__).parent / "texts" / "about.html"


class About(Text):
    """What the model is and is not.

    Parameters
    ----------
    metadata : ModelMetadata
    published : path
        What others published, quoted as it stands there; where it is missing, nothing is quoted.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        published: str | os.PathLike[str] = "reports/published.json",
        **kwargs: Any,
    ) -> None:
        super().__init__(lambda: about(metadata, published), **kwargs)


def about(metadata: ModelMetadata, published: str | os.PathLike[str] = "reports/published.json") -> str:
    """Write the view as HTML: what is known of the data in general, and the metadata's facts."""
    elsewhere, doubted = _quoted(Path(published))
    facts = {
        "Version": malaria_detect.__version__,
        "Network": f"{metadata.architecture}, {metadata.input_size} px",
        "Started from": str(metadata.weights),
        "Trained": f"{metadata.created}, {recipe(metadata.history, metadata.settings)}",
        "Labels learnt": f"as {metadata.labels_learnt}",
        "Temperature": f"{metadata.temperature:.3f}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in metadata.versions.items()),
        "Model file": f"{metadata.file_name}, {format_megabytes(metadata.size_bytes)}",
        "SHA-256": metadata.sha256,
        "Licence": metadata.licence,
    }
    healthy = [point.test.estimates["specificity"].value for point in metadata.operating_points]
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        intended_use=escape(metadata.intended_use),
        false_alarms=f"{format_percent(1 - max(healthy))} to {format_percent(1 - min(healthy))}",
        elsewhere=elsewhere,
        doubted=doubted,
        calibration=_calibration(metadata),
        points="".join(
            f"<li><b>{escape(point.name.capitalize())}</b>, from {format_threshold_percent(point.threshold)} on. "
            f"{escape(point.rule)}</li>"
            for point in metadata.operating_points
        ),
        default=escape(metadata.default_point),
        uncertainty=_uncertainty(metadata),
        sides=_sides(metadata),
        facts="".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items()),
    )


def _quoted(path: Path) -> tuple[str, str]:
    """What others found elsewhere, and of the labels."""
    if not path.is_file():
        return "", ""
    try:
        published = read_published(path)
    except LiteratureError as error:
        return "", f" ({escape(str(error))})"
    return (
        f". Others found: {escape('; '.join(map(str, published.elsewhere)))}",
        f": an expert review set aside {escape(str(published.doubted_labels))}",
    )


def _calibration(metadata: ModelMetadata) -> str:
    if not metadata.calibrated:
        return escape(NOT_CALIBRATED)
    scores = metadata.point().test
    return (
        "Its probabilities are calibrated: the network’s log-odds are divided by one number, fitted on validation "
        f"patients (temperature scaling, {metadata.temperature:.3f}). On "
        f"{format_count(scores.patients, 'test patient')} a probability then lies {scores.estimates['ece'].value:.4f} "
        f"on average from the share of cells that turn out so, where the network’s own lies {metadata.ece_raw:.4f}. "
        "The order of the cells stays as it is. The network’s own probability, which <code>learn.predict</code> of "
        "plain fastai gives, stands under “Details” on every card."
    )


def _uncertainty(metadata: ModelMetadata) -> str:
    uncertainty = metadata.uncertainty
    caught = (
        ""
        if math.isnan(uncertainty.test_caught)
        else f", and {format_percent(uncertainty.test_caught)} of the wrong calls are among them"
    )
    return (
        f"A call is marked uncertain if its probability is under {format_percent(uncertainty.below)}. On test "
        f"patients, at “{escape(metadata.default_point)}”, {format_percent(uncertainty.test_share)} of the cells are "
        f"uncertain{caught}."
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
