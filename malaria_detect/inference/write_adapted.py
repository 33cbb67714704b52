"""From an adaptation to the files of a model: an ordinary exported learner with another last layer."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from malaria_detect.core.atomic import replaced
from malaria_detect.core.json_io import to_json
from malaria_detect.data.field_check import shows_field
from malaria_detect.data.images import read_image
from malaria_detect.data.labelled_cells import LabelledCells
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.inference.adapt import (
    Adaptation,
    AdaptError,
    SiteCells,
    check_enough,
)
from malaria_detect.inference.adapted import adapted_learner, adapted_metadata
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.graph import Graph
from malaria_detect.inference.held_out import pooled_features
from malaria_detect.inference.judge import Judgement
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import (
    check_model_output,
    graph_path,
    metadata_path,
    read_model,
    references_path,
    sha256_of,
)
from malaria_detect.inference.references import TAUGHT, References, write_references
from malaria_detect.inference.runtime import graph_content


def usable_cells(data: LabelledCells) -> tuple[list[Cell], tuple[str, ...]]:
    """Cells with the labels to learn, and sentences about what is left out.

    Left out are cells with the verdict unsure, copies of other cells, and photographs of whole fields.
    """
    cells: dict[str, Cell] = {}
    unsure, copies, fields = 0, 0, []
    for cell, label in zip(data.cells, data.corrected, strict=True):
        if label is None:
            unsure += 1
        elif cell.pixels in cells:
            copies += 1
        elif shows_field(read_image(cell.path)):
            fields.append(cell.place)
        else:
            cells[cell.pixels] = replace(cell, label=label)
    counts = {"with the verdict unsure": unsure, "copies of other cells": copies}
    sentences = [f"{number} {what}." for what, number in counts.items() if number]
    sentences += [f"{place} shows a whole field." for place in fields]
    return list(cells.values()), tuple(sentences)


def site_cells(
    adaptation: Adaptation, classifier: Classifier, cells: Sequence[Cell], progress: bool = True
) -> SiteCells:
    """Labelled cells of a laboratory as the parent's network sees them.

    Raises
    ------
    AdaptError
        ``too_few`` if a class has fewer than ten cells.
    """
    parasitized = np.array([cell.label == CLASSES[0] for cell in cells], dtype=bool)
    check_enough(parasitized)
    shown = tqdm(cells, "cells", unit="cell", disable=not progress)
    pictures = (read_image(cell.path) for cell in shown)
    features = pooled_features(classifier, adaptation.metadata.input_transform, pictures)
    names, groups = (tuple(getattr(cell, name) for cell in cells) for name in ("name", "group"))
    return SiteCells(features, parasitized, names, groups)


def write_adapted(
    model_path: Path, adaptation: Adaptation, cells: SiteCells, judgement: Judgement, output: Path
) -> ModelMetadata:
    """Write a model that is adapted to a laboratory: its learner, metadata, runtime form and references.

    The metadata names the parent, whose temperature and thresholds it keeps. The scores in ``test`` are those of the
    laboratory's cells, each by a model that was fitted without its patient or field.
    The laboratory's cells become references, too. The files are replaced together, when all are complete.

    Parameters
    ----------
    model_path : Path
        The parent, of which `adaptation` was made.
    adaptation : Adaptation
    cells : SiteCells
    judgement : Judgement
        Of these cells; whether it is good enough is for the caller to :meth:`check
        <malaria_detect.inference.judge.Judgement.check>`.
    output : Path
        Usually ``mylab.pkl``.

    Raises
    ------
    MalariaDetectError
        ``replaced`` if the parent's file has changed since `adaptation` was made; ``output`` if the output is the
        parent's; or if a file cannot be written.
    """
    check_new_model(model_path, output)
    found, data = read_model(model_path)
    if found.sha256 != adaptation.metadata.sha256:
        raise MetadataError(
            f"{model_path} has been replaced by another model since this adaptation began. Adapt again.",
            "replaced",
        )
    content = graph_content(model_path, found)
    with (
        replaced(metadata_path(output)) as metadata_file,
        replaced(output) as model_file,
        replaced(graph_path(output)) as graph_file,
        replaced(references_path(output)) as references_file,
    ):
        model_file.write_bytes(adapted_learner(data, Graph.read(content), judgement.change))
        graph_file.write_bytes(content)
        write_references(_with(adaptation.references, cells), references_file)
        renewed = replace(
            adapted_metadata(adaptation, cells, judgement),
            file_name=output.name,
            sha256=sha256_of(model_file),
            size_bytes=model_file.stat().st_size,
            references_sha256=sha256_of(references_file),
            graph_sha256=sha256_of(graph_file),
        )
        metadata_file.write_text(to_json(renewed), encoding="utf-8")
    return renewed


def check_new_model(model_path: Path, output: Path) -> None:
    """Check that the files of an adapted model can be written and are not its parent's.

    Raises
    ------
    AdaptError, ArgumentError, malaria_detect.core.atomic.WriteError
    """
    check_model_output(output)
    if output.resolve() == model_path.resolve():
        raise AdaptError(f"{output} is the model to adapt. Give the adapted one another name.", "output")


def _with(references: References, cells: SiteCells) -> References:
    return replace(
        references,
        features=np.concatenate([references.features, cells.features]),
        parasitized=np.concatenate([references.parasitized, cells.parasitized]),
        files=(*references.files, *cells.files),
        groups=(*references.groups, *cells.groups),
        part=(*references.part, *[TAUGHT] * len(cells.files)),
    )
