"""The tab "About": what the model cannot do, how it decides, and where it comes from."""

import os
from pathlib import Path
from typing import Any

import malaria_detect
from malaria_detect.app.widgets.base import Text, render
from malaria_detect.app.wording import NOT_CALIBRATED
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.evaluation.laboratories import read_laboratories
from malaria_detect.evaluation.literature import read_published
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.metrics.formatting import format_megabytes
from malaria_detect.training.settings import recipe


class About(Text):
    """Facts about a model and its limitations.

    Parameters
    ----------
    metadata : ModelMetadata
    published : path
        Published results to quote; without the file, nothing is quoted.
    laboratories : path
        Scores in other laboratories; without the file, none are shown.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        published: str | os.PathLike[str] = "reports/published.json",
        laboratories: str | os.PathLike[str] = "reports/laboratories.json",
        **kwargs: Any,
    ) -> None:
        super().__init__(lambda: about(metadata, published, laboratories), **kwargs)


def about(
    metadata: ModelMetadata,
    published: str | os.PathLike[str] = "reports/published.json",
    laboratories: str | os.PathLike[str] = "reports/laboratories.json",
) -> str:
    """The tab as HTML."""
    quoted, elsewhere, problem = None, None, ""
    try:
        quoted = read_published(published) if Path(published).is_file() else None
        elsewhere = read_laboratories(Path(laboratories)) if Path(laboratories).is_file() else None
    except MalariaDetectError as error:
        problem = str(error)
    facts = {
        "Version": malaria_detect.__version__,
        "Network": f"{metadata.architecture}, {metadata.input_size} px",
        "Started from": str(metadata.weights),
        "Trained": f"{metadata.created}, {recipe(metadata.history, metadata.settings)}",
        **({"Adapted": str(metadata.parent)} if metadata.parent else {}),
        "Labels": metadata.labels_learnt,
        "Temperature": f"{metadata.temperature:.3f}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in metadata.versions.items()),
        "Model file": f"{metadata.file_name}, {format_megabytes(metadata.size_bytes)}",
        "SHA-256": metadata.sha256,
        "Licence": metadata.licence,
    }
    sides = (metadata.train, metadata.valid, metadata.test)
    return render(
        "about.html",
        metadata=metadata,
        published=quoted,
        elsewhere=elsewhere,
        problem=problem,
        false_alarms=[1 - one.test.estimates["specificity"].value for one in metadata.operating_points],
        not_calibrated=NOT_CALIBRATED,
        sides={
            "Patients": [len(side.groups) for side in sides],
            "Cells": [side.cells for side in sides],
            "Parasitized": [side.parasitized for side in sides],
            "Uninfected": [side.uninfected for side in sides],
        },
        facts=facts,
    )
