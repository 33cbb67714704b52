"""From a training run to ``export.pkl`` and its metadata ``export.json``."""

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fastai.vision.all import Learner
from torch import nn

from malaria_detect.core.atomic import check_writable, replaced
from malaria_detect.core.json_io import to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.inference.calibrate import Logits, assess, read_logits, write_logits
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.graph import members
from malaria_detect.inference.held_out import held_out_logits
from malaria_detect.inference.input import RESIZE
from malaria_detect.inference.metadata import RESEARCH_USE, SCHEMA_VERSION, ModelMetadata, Side
from malaria_detect.inference.model_files import (
    check_model_output,
    graph_path,
    metadata_path,
    references_path,
    sha256_of,
)
from malaria_detect.inference.references import write_references
from malaria_detect.training.borrowed import fields_of
from malaria_detect.training.centred import even_chance, lower_log_odds
from malaria_detect.training.convert import classifier_of, graph_of
from malaria_detect.training.datablock import design_dataloaders
from malaria_detect.training.design import training_parts
from malaria_detect.training.fit import Fitted, fit
from malaria_detect.training.half_pickle import export_learner
from malaria_detect.training.learner import open_learner
from malaria_detect.training.recalibrate import logits_path
from malaria_detect.training.run import TrainingRun
from malaria_detect.training.screen import references_of
from malaria_detect.training.settings import DivergedError, recorded

_INTENDED_USE = f"{RESEARCH_USE} Single red blood cells cut out of Giemsa-stained thin smears, P. falciparum."


def train(run: TrainingRun, output: Path) -> ModelMetadata:
    """Train a network and write the model, its metadata, runtime form, references and logits on all held-out cells.

    `output` is the exported learner, usually ``export.pkl``. The other files are written to
    :func:`malaria_detect.inference.model_files.metadata_path`,
    :func:`malaria_detect.inference.model_files.graph_path`,
    :func:`malaria_detect.inference.model_files.references_path` and
    :func:`malaria_detect.training.recalibrate.logits_path`.

    Raises
    ------
    MalariaDetectError
        If cells, settings, weights or checkpoint cannot be used. An existing model is unchanged then.
    """
    check_output(output)
    return export(fit(run), run, output)


def check_output(output: Path) -> None:
    """Check that the files of a model and its logits can be written, before hours of training.

    Raises
    ------
    ArgumentError, malaria_detect.core.atomic.WriteError
        As :func:`malaria_detect.inference.model_files.check_model_output`.
    """
    check_model_output(output)
    logits = logits_path(output)
    # The folder of the logits is created when they are written.
    check_writable(logits if logits.parent.exists() else logits.parent)


def export(fitted: Fitted, run: TrainingRun, output: Path) -> ModelMetadata:
    """Write a trained network, its metadata, references and logits; the arguments stay as they are.

    What is scored is the file itself, with its weights rounded to float16. The files are replaced together, when all
    are complete. Errors are those of :func:`check_output`; a network that returns NaN raises DivergedError.
    """
    check_output(output)
    logits_path(output).parent.mkdir(exist_ok=True)
    # Replaced from the last to the first, so that the metadata comes when model and logits are there.
    with (
        replaced(metadata_path(output)) as metadata_file,
        replaced(output) as model_file,
        replaced(graph_path(output)) as graph_file,
        replaced(logits_path(output)) as logits_file,
        ExitStack() as optional,
    ):
        _write_learner(_centred(fitted, run), fitted, run, model_file)
        data = model_file.read_bytes()
        graph = graph_of(open_learner(data).model, members(data), run.design.input_size)
        graph_file.write_bytes(graph.content())
        classifier = Classifier.open(graph, data)
        _write_logits(classifier, run, logits_file)
        references_sha256 = None
        cells = run.learnt()[0], run.held_out()
        if references := references_of(classifier, run.input_transform(), cells, progress=run.progress):
            references_file = optional.enter_context(replaced(references_path(output)))
            write_references(references, references_file)
            references_sha256 = sha256_of(references_file)
        metadata = ModelMetadata(
            schema_version=SCHEMA_VERSION,
            file_name=output.name,
            sha256=sha256_of(model_file),
            size_bytes=model_file.stat().st_size,
            weights=fitted.start,
            history=fitted.history,
            logits_sha256=sha256_of(logits_file),
            references_sha256=references_sha256,
            graph_sha256=sha256_of(graph_file),
            **vars(assess(*read_logits(logits_file))),
            **_described(run),
        )
        metadata_file.write_text(to_json(metadata), encoding="utf-8")
    return metadata


def _centred(fitted: Fitted, run: TrainingRun) -> nn.Module:
    """A copy of the network; if it has fastai's head, log-odds of 0 are an even chance on validation cells."""
    # On the CPU, so that the file opens anywhere.
    network = copy.deepcopy(fitted.network).cpu()
    if run.design.has_fastai_head:
        classifier = classifier_of(network, run.design.input_size)
        validation = _logits(classifier, run, run.split.valid, "validation")
        if not np.isfinite(validation.values).all():
            raise DivergedError
        lower_log_odds(network.get_submodule("1"), even_chance(validation.values, validation.parasitized))
    return network


def _write_learner(network: nn.Module, fitted: Fitted, run: TrainingRun, file: Path) -> None:
    design = run.design
    with TemporaryDirectory() as folder:
        # fastai takes the labels from the folders: those of a laboratory may be patients, or missing.
        examples = [Path(folder, label, "cell.png") for label in CLASSES]
        for example in examples:
            example.parent.mkdir()
            cell = next(cell for cell in run.cells if cell.label == example.parent.name)
            read_image(cell.path).save(example)
        dls = design_dataloaders(
            examples,
            size=design.input_size,
            batch_tfms=design.augmentations(design.input_size),
            mean=design.mean,
            std=design.std,
            preprocess=run.settings.preprocess,
        )
    learner = Learner(dls, network, splitter=fitted.learner.splitter, **training_parts(run.settings))
    export_learner(run.weighted(learner), file)


def _write_logits(classifier: Classifier, run: TrainingRun, file: Path) -> None:
    validation, test = (
        _logits(classifier, run, positions, name)
        for positions, name in ((run.split.valid, "validation"), (run.split.test, "test"))
    )
    if not np.isfinite(validation.values + test.values).all():
        raise DivergedError
    write_logits(validation, test, file)


def _logits(classifier: Classifier, run: TrainingRun, positions: Sequence[int], name: str) -> Logits:
    cells = [run.cells[index] for index in positions]
    values = held_out_logits(
        classifier, run.input_transform(), cells, f"scoring {name} patients", run.progress
    )
    return Logits(
        files=tuple(cell.name for cell in cells),
        groups=tuple(cell.group for cell in cells),
        labels=tuple(cell.label for cell in cells),
        corrected=tuple(run.data.corrected[index] or "" for index in positions),
        values=tuple(values),
    )


def _described(run: TrainingRun) -> dict[str, Any]:
    """Fields of the metadata that follow from the run alone."""
    design, cells = run.design, run.cells
    return {
        "architecture": design.name,
        "classes": CLASSES,
        "resize": RESIZE,
        "input_size": design.input_size,
        "mean": design.mean,
        "std": design.std,
        "data_fingerprint": run.data.fingerprint,
        "split": run.how,
        "seed": run.settings.seed,
        "train": _side(run.learnt()[0]),
        "valid": _side(run.held_out()),
        "test": _side([cells[index] for index in run.split.test]),
        "versions": library_versions(),
        "settings": recorded(run.settings),
        "created": today(),
        "licence": "Apache-2.0",
        "intended_use": _INTENDED_USE,
        "preprocess": run.settings.preprocess,
        "borrowed": fields_of(run.borrowed),
    }


def _side(cells: Sequence[Cell]) -> Side:
    parasitized = sum(cell.label == CLASSES[0] for cell in cells)
    groups = tuple(sorted({cell.group for cell in cells}))
    return Side(len(cells), parasitized, len(cells) - parasitized, groups)
