"""Scores of the classifier in other laboratories, as it is and adapted (``malaria-detect evaluate --laboratories``).

Cells are cut out of annotated fields in two ways: as the project does it, on black by the outlines of its own cell
finder, and by their annotated boxes, as users who cut out cells by hand do it.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from malaria_detect.data.field_truth import AnnotatedField, FieldAnnotationError, FieldSet
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.field_benchmark import Finder
from malaria_detect.evaluation.field_scores import share_by_group
from malaria_detect.evaluation.laboratories import BOX, OUTLINE, LaboratoryScore
from malaria_detect.evaluation.laboratory_cells import LaboratoryCell, cut_cells
from malaria_detect.evaluation.site_adaptation import gain_curve
from malaria_detect.inference.adapt import Adaptation, SiteCells
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.metrics import Estimate, reliability_bins, scaled, score
from malaria_detect.training.borrowed import scored_fields
from malaria_detect.training.settings import DivergedError

# Pooled features, float32, (N, 1024), of images, and what a user would get for them.
Look = Callable[[Sequence[Image.Image]], tuple[NDArray[np.float32], Sequence[Prediction | Refusal]]]


def score_laboratories(
    sets: Sequence[FieldSet],
    finder: Finder,
    look: Look,
    adaptation: Adaptation,
    progress: bool = False,
) -> Iterator[LaboratoryScore]:
    """Scores of a model in laboratories, one after the other.

    Of each field, all parasitized and at most 20 uninfected cells are scored, drawn at random.

    Parameters
    ----------
    sets : sequence of FieldSet
        From :func:`malaria_detect.data.field_annotations.read_field_sets`. Only fields that neither trained nor chose
        the model, see :func:`malaria_detect.training.borrowed.scored_fields`, and to which it was not adapted are used.
    finder : Finder
    look : callable
        Cell images to their pooled features and to the answers of a detector.
    adaptation : Adaptation
        Of the model.
    progress : bool
        Show a progress bar.

    Raises
    ------
    FieldAnnotationError
        If a field cannot be read, or nothing is left of a laboratory (``reason`` is ``no_fields``).
    DivergedError
        If the network returns NaN.
    """
    for one in sets:
        fields, basis = unseen_fields(one, adaptation.metadata)
        shown = tqdm(fields, desc=one.name, unit="field", disable=not progress)
        cells = [cell for field in shown for cell in cut_cells(field, finder)]
        for way in (OUTLINE, BOX):
            cut = [cell for cell in cells if cell.cut == way]
            if any(cell.image for cell in cut):
                yield _scored((one.name, basis), cut, look, adaptation)


def unseen_fields(one: FieldSet, metadata: ModelMetadata) -> tuple[list[AnnotatedField], str]:
    """Fields from which a model has learnt nothing, and what it has learnt of their laboratory.

    Raises
    ------
    FieldAnnotationError
        If there are none; ``reason`` is ``no_fields``.
    """
    fields, basis = list(one.fields), []
    if borrowed := metadata.borrowed.get(one.name):
        kept = scored_fields([field.name for field in fields], borrowed)
        fields = [field for field in fields if field.name in kept]
        basis.append("uninfected cells of two thirds of its fields trained on; a sixth kept for choosing")
    if metadata.parent:
        taught, before = {Path(group).stem for group in metadata.test.groups}, len(fields)
        fields = [field for field in fields if not taught & {Path(field.name).stem, Path(field.group).stem}]
        unknown = "adapted to cells of unknown fields; too high if these are among them"
        basis.append("adapted to cells of its other fields" if len(fields) < before else unknown)
    if not fields:
        raise FieldAnnotationError(f"The model has learnt from every field of {one.name}.", "no_fields")
    if not basis and "iml" in one.name.casefold() and metadata.settings.get("looks") == "random":
        basis.append(
            "not trained on, but the errors of an early model on it influenced how training images are varied"
        )
    return fields, "; ".join(basis) or "not trained on"


def _scored(
    about: tuple[str, str], cells: Sequence[LaboratoryCell], look: Look, adaptation: Adaptation
) -> LaboratoryScore:
    name, basis = about
    pairs = [(cell, cell.image) for cell in cells if cell.image is not None]
    kept, images = [cell for cell, _ in pairs], [image for _, image in pairs]
    labels = np.array([cell.parasitized for cell in kept])
    fields = tuple(cell.field for cell in kept)
    features, answers = look(images)
    site = SiteCells(features, labels, tuple(cell.name for cell in kept), fields)
    metadata = adaptation.metadata
    probability = scaled(adaptation.log_odds(site.features), metadata.temperature)
    if not np.isfinite(probability).all():
        raise DivergedError
    both = 0 < labels.sum() < len(labels)
    lost = [cell.parasitized for cell in cells if cell.image is None]
    return LaboratoryScore(
        name=name,
        cut=kept[0].cut,
        basis=basis,
        fields=len(set(fields)),
        parasitized=int(labels.sum()),
        uninfected=int((~labels).sum()),
        lost=dict(zip(CLASSES, (sum(lost), len(lost) - sum(lost)), strict=True)),
        outcomes=_outcomes(answers, labels, fields),
        called={
            point.name: called_shares(labels, probability >= point.threshold, fields)
            for point in metadata.operating_points
        },
        scores=score(labels, probability, fields, metadata.point().threshold) if both else None,
        reliability=reliability_bins(labels, probability, fields) if both else (),
        gains=gain_curve(adaptation, site) if both else (),
    )


def _share(fields: Sequence[str], hits: NDArray[np.bool_], of: NDArray[np.bool_]) -> Estimate:
    return share_by_group(fields, (hits & of).astype(int), of.astype(int))


def _outcomes(
    answers: Sequence[Prediction | Refusal], labels: NDArray[np.bool_], fields: Sequence[str]
) -> dict[str, Estimate]:
    refused = np.array([isinstance(answer, Refusal) for answer in answers])
    kinds = dict(zip(CLASSES, (labels, ~labels), strict=True))
    doubted = {
        name: np.array([getattr(answer, name, False) for answer in answers])
        for name in ("site_warning", "poor_quality")
    }
    every = np.ones(len(labels), bool)
    return {f"refused {label}": _share(fields, refused, kind) for label, kind in kinds.items()} | {
        name: _share(fields, hits, every) for name, hits in doubted.items()
    }


def called_shares(
    labels: NDArray[np.bool_], called: NDArray[np.bool_], fields: Sequence[str]
) -> dict[str, Estimate]:
    """Sensitivity and specificity with intervals over fields, as far as there are cells of the class.

    `labels` and `called` say of each cell, (N,), whether it is parasitized and whether it is called so.
    """
    kinds = {"sensitivity": labels, "specificity": ~labels}
    return {name: _share(fields, called == labels, kind) for name, kind in kinds.items() if kind.any()}
