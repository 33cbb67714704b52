"""A model's logits on held-out patients, and temperature and operating points chosen from them again; no torch."""

from dataclasses import replace
from pathlib import Path

from malaria_detect.core.atomic import write_text
from malaria_detect.core.json_io import to_json
from malaria_detect.inference.calibrate import Logits, assess, read_logits
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import metadata_path, read_metadata, sha256_of
from malaria_detect.inference.runtime import graph_content


def logits_path(model_path: Path) -> Path:
    """Path of a model's logits on held-out patients: ``reports/export-cells.csv`` for ``export.pkl``."""
    return model_path.parent / "reports" / f"{model_path.stem}-cells.csv"


def logits_of(model_path: Path, metadata: ModelMetadata) -> tuple[Logits, Logits]:
    """Logits of a model on its validation and its test patients; those of another model are refused."""
    path = logits_path(model_path)
    logits = read_logits(path)
    if sha256_of(path) != metadata.logits_sha256:
        raise MetadataError(
            f"{path} does not belong to {metadata_path(model_path)}. "
            "`malaria-detect train` writes both; use the files of one training.",
            reason="other_logits",
        )
    return logits


def recalibrate(model_path: Path) -> ModelMetadata:
    """Metadata with temperature and operating points chosen again from a model's logits; written to its file.

    A runtime form that is missing or belongs to another model is made again.

    Raises
    ------
    MalariaDetectError
        If model, metadata or logits are missing or damaged, or do not belong together, or if the runtime form cannot
        be made.
    """
    metadata = read_metadata(model_path)
    refuse_adapted(model_path, metadata)
    graph_content(model_path, metadata)
    metadata = read_metadata(model_path)  # again: it names the runtime form
    renewed = replace(metadata, **vars(assess(*logits_of(model_path, metadata))))
    write_text(metadata_path(model_path), to_json(renewed))
    return renewed


def refuse_adapted(model_path: Path, metadata: ModelMetadata) -> None:
    """Refuse a model that was adapted: it would lose the cells that it was taught; ``reason`` is ``adapted``."""
    if metadata.parent:
        raise MetadataError(
            f"{model_path} was adapted, so it keeps the operating points of {metadata.parent.file_name}. Calibrate "
            "that model and adapt it again.",
            "adapted",
        )
