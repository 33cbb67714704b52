"""From cells to ``export.pkl`` and its metadata ``export.json``: split, train, export, calibrate, score, write."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.core.json_io import to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.corrections import Corrections, corrected_labels
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell, CellFolder, check_cells
from malaria_detect.data.splits import Split, grouped_split
from malaria_detect.designs.registry import find_network
from malaria_detect.inference.calibrate import Logits, assess, read_logits, write_logits
from malaria_detect.inference.input import RESIZE, InputTransform
from malaria_detect.inference.metadata import (
    CORRECTED,
    RESEARCH_USE,
    SCHEMA_VERSION,
    MetadataError,
    ModelMetadata,
    Side,
)
from malaria_detect.inference.model_files import metadata_path, read_metadata, sha256_of
from malaria_detect.inference.network import log_odds, open_learner, prepared
from malaria_detect.training.datablock import design_dataloaders
from malaria_detect.training.design import Design
from malaria_detect.training.fit import Fitted, fit
from malaria_detect.training.half_pickle import export_learner
from malaria_detect.training.settings import DivergedError, TrainingError, TrainSettings, recorded

_SCORE_BATCH = 64
BY_PATIENT = "grouped by patient"


def train(
    folder: CellFolder,
    settings: TrainSettings,
    work: Path,
    output: Path,
    *,
    corrections: Corrections | None = None,
    resume: bool = False,
    progress: bool = True,
) -> ModelMetadata:
    """Train on a folder of cells and write the model, its metadata and what it said of every held-out cell.

    Parameters
    ----------
    folder : CellFolder
        From :func:`malaria_detect.data.nlm_cells.find_cells`; unreadable cells are left out.
    settings : TrainSettings
    work : Path
        Folder for the checkpoint and other files of the run.
    output : Path
        The exported learner, usually ``export.pkl``; metadata and logits are written to :func:`metadata_path` and
        :func:`logits_path`.
    corrections : Corrections, optional
        Labels are learnt as corrected; scores are given on published labels and on corrected ones.
    resume : bool
        Go on from the checkpoint in ``work``.
    progress : bool
        Show bars with the time that is left.

    Returns
    -------
    ModelMetadata

    Raises
    ------
    MalariaDetectError
        Where the cells, the settings, the weights or the checkpoint do not serve; the old model stays then.
    """
    check_output(output)
    folder, fingerprint = check_cells(folder)
    corrected, fingerprint = correct(folder.cells, corrections, fingerprint)
    split = grouped_split(folder.cells, settings.valid, settings.test, settings.seed)
    fitted = fit(
        folder.cells,
        split,
        settings,
        work,
        corrected=corrected,
        fingerprint=fingerprint,
        resume=resume,
        progress=progress,
    )
    return export(
        fitted,
        folder.cells,
        split,
        settings,
        fingerprint,
        output,
        corrected=corrected,
        progress=progress,
    )


def correct(
    cells: Sequence[Cell], corrections: Corrections | None, fingerprint: str
) -> tuple[tuple[str | None, ...], str]:
    """Labels as corrected (None where an expert was unsure), and the fingerprint of the cells with them.

    Parameters and errors are those of :func:`malaria_detect.data.corrections.corrected_labels`. Without corrections
    labels are the published ones, and the fingerprint stays as it was.
    """
    labels = [cell.label for cell in cells]
    if corrections is None:
        return tuple(labels), fingerprint
    corrected = corrected_labels([cell.path.name for cell in cells], labels, corrections)
    digest = hashlib.sha256("\n".join(label or "" for label in corrected).encode()).hexdigest()
    return corrected, f"{fingerprint}{CORRECTED}{digest[:16]}"


def logits_path(model_path: Path) -> Path:
    """Where a model's logits on its held-out patients lie: ``reports/export-cells.csv`` for ``export.pkl``."""
    return model_path.parent / "reports" / f"{model_path.stem}-cells.csv"


def logits_of(model_path: Path, metadata: ModelMetadata) -> tuple[Logits, Logits]:
    """A model's logits on its validation and test patients, which must be those that its metadata was written with.

    Raises
    ------
    MalariaDetectError
        Where the file is missing or damaged, or is of another model.
    """
    path = logits_path(model_path)
    logits = read_logits(path)
    if sha256_of(path) != metadata.logits_sha256:
        raise MetadataError(
            f"{path} is not the file that {metadata_path(model_path)} was written with: "
            "both come from one `malaria-detect train`."
        )
    return logits


def recalibrate(model_path: Path) -> ModelMetadata:
    """Choose temperature and operating points anew from a model's logits, and rewrite its metadata; no cell is needed.

    Raises
    ------
    MalariaDetectError
        Where model, metadata or logits are missing or damaged, or do not belong together.
    """
    metadata = read_metadata(model_path)
    validation, test = logits_of(model_path, metadata)
    renewed = replace(metadata, **vars(assess(validation, test)))
    part = metadata_path(model_path).with_suffix(".part")
    part.write_text(to_json(renewed), encoding="utf-8")
    part.replace(metadata_path(model_path))
    return renewed


def check_output(output: Path) -> None:
    """Refuse a place that a model cannot be written to, before hours of training are spent.

    Raises
    ------
    TrainingError
        Where the folder is missing or read-only, or the name does not end in ``.pkl``.
    """
    if output.suffix != ".pkl":
        raise TrainingError(f"{output} must end in .pkl; its metadata gets the same name with .json.")
    for folder in (output.parent, logits_path(output).parent):
        if not os.access(folder if folder.exists() else output.parent, os.W_OK) or folder.is_file():
            raise TrainingError(f"{folder} is no folder that can be written to: name another --output.")


def export(
    fitted: Fitted,
    cells: Sequence[Cell],
    split: Split,
    settings: TrainSettings,
    fingerprint: str,
    output: Path,
    *,
    corrected: Sequence[str | None] | None = None,
    how: str = BY_PATIENT,
    progress: bool = True,
) -> ModelMetadata:
    """Write a trained learner, its metadata and its logits; parameters as in :func:`train`.

    ``corrected`` and ``fingerprint`` are what :func:`correct` gives; without ``corrected`` the labels are as published.
    ``how`` tells in the metadata how the cells were split.
    What is scored is the file itself, opened again, with its weights rounded to float16. All files are written under
    other names first and moved when they are complete.
    """
    check_output(output)
    design = find_network(settings.network)
    labels = [cell.label for cell in cells] if corrected is None else corrected
    logits_path(output).parent.mkdir(exist_ok=True)
    parts = {
        path: path.with_name(f"{path.name}.part")
        for path in (logits_path(output), output, metadata_path(output))
    }
    try:
        learner = fitted.learner
        if fitted.trunk is not None:
            learner.model = nn.Sequential(fitted.trunk, learner.model)
        learner.dls = design_dataloaders(
            [_first(cells, label).path for label in CLASSES],
            size=design.input_size,
            batch_tfms=design.augmentations(design.input_size),
            mean=design.mean,
            std=design.std,
            preprocess=settings.preprocess,
        )
        export_learner(learner, parts[output])
        network = prepared(open_learner(parts[output].read_bytes()).model)
        validation, test = (
            _logits(
                network,
                design,
                settings.preprocess,
                [cells[index] for index in side],
                [labels[index] for index in side],
                name,
                progress,
            )
            for side, name in ((split.valid, "validation"), (split.test, "test"))
        )
        if not np.isfinite(validation.values + test.values).all():
            raise DivergedError(
                "The network answers with no numbers: training went astray, try a lower --lr."
            )
        write_logits(validation, test, parts[logits_path(output)])
        metadata = ModelMetadata(
            schema_version=SCHEMA_VERSION,
            file_name=output.name,
            sha256=sha256_of(parts[output]),
            size_bytes=parts[output].stat().st_size,
            architecture=design.name,
            classes=CLASSES,
            resize=RESIZE,
            input_size=design.input_size,
            mean=design.mean,
            std=design.std,
            weights=fitted.start,
            data_fingerprint=fingerprint,
            split=how,
            seed=settings.seed,
            train=_side([replace(cells[i], label=labels[i] or "") for i in split.train if labels[i]]),
            valid=_side([cells[index] for index in split.valid]),
            test=_side([cells[index] for index in split.test]),
            versions=library_versions(),
            settings=recorded(settings),
            history=fitted.history,
            logits_sha256=sha256_of(parts[logits_path(output)]),
            **vars(assess(*read_logits(parts[logits_path(output)]))),
            created=today(),
            licence="Apache-2.0",
            intended_use=f"{RESEARCH_USE} "
            "Single red blood cells cut out of Giemsa-stained thin smears, P. falciparum.",
            preprocess=settings.preprocess,
        )
        parts[metadata_path(output)].write_text(to_json(metadata), encoding="utf-8")
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return metadata


def _first(cells: Sequence[Cell], label: str) -> Cell:
    return next(cell for cell in cells if cell.label == label)


def _side(chosen: Sequence[Cell]) -> Side:
    parasitized = sum(cell.label == CLASSES[0] for cell in chosen)
    groups = tuple(sorted({cell.group for cell in chosen}))
    return Side(len(chosen), parasitized, len(chosen) - parasitized, groups)


def _logits(
    network: nn.Module,
    design: Design,
    names: Sequence[str],
    cells: Sequence[Cell],
    corrected: Sequence[str | None],
    name: str,
    progress: bool,
) -> Logits:
    values: list[float] = []
    transform = InputTransform(
        size=design.input_size, mean=design.mean, std=design.std, preprocess=tuple(names)
    )
    with tqdm(total=len(cells), desc=f"scoring {name} patients", unit="cell", disable=not progress) as bar:
        for begin in range(0, len(cells), _SCORE_BATCH):
            batch = cells[begin : begin + _SCORE_BATCH]
            values += log_odds(network, transform([read_image(cell.path) for cell in batch]))
            bar.update(len(batch))
    return Logits(
        files=tuple(cell.path.name for cell in cells),
        groups=tuple(cell.group for cell in cells),
        labels=tuple(cell.label for cell in cells),
        corrected=tuple(label or "" for label in corrected),
        values=tuple(values),
    )
