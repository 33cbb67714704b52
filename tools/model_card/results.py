"""The result files that the pages are written from."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from malaria_detect import read_metadata
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.designs.comparison import COMPARISON_FILE, Comparison, read_comparison
from malaria_detect.evaluation.cross_validation import Evaluation, HeldOut, compare_splits, read_run
from malaria_detect.evaluation.field_scores import FIELDS, FieldBenchmark, read_field_benchmark
from malaria_detect.evaluation.foreign_scores import FOREIGN, ForeignScores, read_foreign_scores
from malaria_detect.evaluation.laboratories import LABORATORIES, Laboratories, read_laboratories
from malaria_detect.evaluation.literature import PUBLISHED, Published, read_published
from malaria_detect.evaluation.patient_parasitemia import (
    PARASITEMIA,
    ParasitemiaEvaluation,
    read_parasitemia,
)
from malaria_detect.inference.metadata import ModelMetadata

_Content = TypeVar("_Content")
EVALUATION = "evaluation.json"
GALLERY, LAYERS = "docs/laboratories.svg", "docs/keras-cnn-128-layers"
GROUPED, RANDOM = "crossval-grouped.csv", "crossval-random.csv"
# Reports of benchmarks by the name that the templates use, each with the command that writes it.
SPEED = {
    "train": ("train-speed.json", "make bench"),
    "training_step": ("training-step.json", "python -m benchmarks.training_step"),
    "predict": ("predict-speed.json", "make bench"),
    "explain": ("explain-speed.json", "make bench"),
    "bootstrap": ("bootstrap-speed.json", "make bench"),
    "serve": ("serve-speed.json", "make bench-serve"),
    "fields": ("field-speed.json", "make bench"),
    "crops": ("crops.json", "python -m benchmarks.crops FIELDS"),
    "image_kinds": ("image-kinds.json", "python -m benchmarks.image_kinds"),
    "input_transform": ("input-transform.json", "python -m benchmarks.input_transform"),
    "input_transform_fold": (
        "input-transform-fold.json",
        "python -m benchmarks.input_transform --checkpoint FILE",
    ),
}


class ReportError(MalariaDetectError):
    """A result file is damaged, or a page has no place for the results.

    ``reason`` is ``unreadable``, ``bad_report``, ``lacks_value`` or ``no_place``.
    """


@dataclass(frozen=True)
class Results:
    """Contents of all result files.

    Attributes
    ----------
    metadata : ModelMetadata
        Of the shipped model.
    evaluation : Evaluation
        Summary of the cross-validations, split by patient and at random.
    held_out : HeldOut
        Held-out predictions of the cross-validation by patient.
    parasitemia : ParasitemiaEvaluation or None
        Estimated and true parasitemia of every patient; None without a file.
    published : Published
        Results of other publications.
    designs : Comparison or None
        Comparison of designs; None without a file.
    fields : FieldBenchmark or None
        Cells found on whole fields; None without a file.
    laboratories : Laboratories or None
        The classifier in other laboratories; None without a file.
    gallery : bool
        Whether there are drawn cells with answers of this model, from ``python -m tools.gallery``.
    layers : tuple of str
        Figures of the layers of keras-cnn-128 as it was trained for the comparison, from ``python -m tools.layers``.
    foreign : ForeignScores or None
        Pictures of other things that are refused; None without a file.
    speed : dict of str to dict
        Benchmark reports that exist, by their name in :data:`SPEED`.
    """

    metadata: ModelMetadata
    evaluation: Evaluation
    held_out: HeldOut
    parasitemia: ParasitemiaEvaluation | None
    published: Published
    designs: Comparison | None
    fields: FieldBenchmark | None
    laboratories: Laboratories | None
    gallery: bool
    layers: tuple[str, ...]
    foreign: ForeignScores | None
    speed: dict[str, dict[str, Any]]


def read_results(root: Path) -> Results:
    """Read all result files of a repository.

    Parameters
    ----------
    root : Path
        Folder with ``export.pkl``, ``export.json`` and ``reports/``.

    Raises
    ------
    MalariaDetectError
        If a required file is missing, or any file is damaged.
    """
    reports = root / "reports"
    grouped, random = read_run(reports / GROUPED), read_run(reports / RANDOM)
    metadata, gallery = read_metadata(root / "export.pkl"), root / GALLERY
    return Results(
        metadata=metadata,
        evaluation=compare_splits(grouped, random),
        held_out=grouped[0],
        parasitemia=_existing(reports / PARASITEMIA, read_parasitemia),
        published=read_published(reports / PUBLISHED),
        designs=_existing(reports / COMPARISON_FILE, read_comparison),
        fields=_existing(reports / FIELDS, read_field_benchmark),
        laboratories=_existing(reports / LABORATORIES, read_laboratories),
        layers=_layers(root, _existing(reports / COMPARISON_FILE, read_comparison)),
        gallery=gallery.is_file() and metadata.sha256 in gallery.read_text(encoding="utf-8"),
        foreign=_existing(reports / FOREIGN, read_foreign_scores),
        speed={
            name: _benchmark(reports / file, command)
            for name, (file, command) in SPEED.items()
            if (reports / file).is_file()
        },
    )


def _existing(path: Path, read: Callable[[Path], _Content]) -> _Content | None:
    return read(path) if path.is_file() else None


def _benchmark(path: Path, command: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{path} cannot be read ({error}). Run `{command}` to write it again.", "unreadable"
        ) from error
    if not isinstance(content, dict):
        raise ReportError(
            f"{path} is not a benchmark report. Run `{command}` to write it again.", "bad_report"
        )
    return content


def _layers(root: Path, comparison: Comparison | None) -> tuple[str, ...]:
    """Names of the figures of a design's layers, first to last; none if they are of another training."""
    keras = comparison and comparison.trained.get("keras-cnn-128")
    files = sorted((root / LAYERS).glob("*.svg"), key=lambda file: int(file.name.partition("-")[0]))
    if not keras or any(str(keras.sha256) not in file.read_text(encoding="utf-8") for file in files):
        return ()
    return tuple(file.name for file in files)
