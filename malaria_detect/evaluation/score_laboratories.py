"""Scores of the classifier in other laboratories, as it is and adapted (``malaria-detect evaluate --laboratories``).

Cells are cut out of annotated fields in two ways: as the project does it, on black by the outlines of its own cell
finder, and by their annotated boxes, as users who cut out cells by hand do it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from malaria_detect.data.field_truth import AnnotatedField, FieldAnnotationError, FieldSet
from malaria_detect.data.images import ImageRefused, read_field
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.field_benchmark import Finder
from malaria_detect.evaluation.field_matching import likeness, match
from malaria_detect.evaluation.field_scores import share_by_group
from malaria_detect.evaluation.laboratories import BOX, OUTLINE, LaboratoryScore
from malaria_detect.evaluation.site_adaptation import gain_curve
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.usable import FieldRefused
from malaria_detect.inference.adapt import Adaptation, SiteCells
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.metrics import Estimate, reliability_bins, scaled, score
from malaria_detect.training.borrowed import scored_fields
from malaria_detect.training.settings import DivergedError

# Uninfected cells of each field: with all cells, a laboratory with crowded fields would take an hour.
MOST_UNINFECTED = 20
_LEAST_SIDE = 16  # of a box in px

# Pooled features, float32, (N, 1024), of images, and what a user would get for them.
Look = Callable[[Sequence[Image.Image]], tuple[NDArray[np.float32], Sequence[Prediction | Refusal]]]


@dataclass(frozen=True, eq=False)
class _Cut:
    """A labelled cell, cut out in one way; `image` is None if that was not possible."""

    way: str
    image: Image.Image | None
    parasitized: bool
    name: str
    field: str


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
        fields, basis = _unseen(one, adaptation.metadata)
        if not fields:
            raise FieldAnnotationError(f"The model has learnt from every field of {one.name}.", "no_fields")
        shown = tqdm(fields, desc=one.name, unit="field", disable=not progress)
        cells = [cell for field in shown for cell in _cut(field, finder)]
        for way in (OUTLINE, BOX):
            cut = [cell for cell in cells if cell.way == way]
            if any(cell.image for cell in cut):
                yield _scored((one.name, basis), cut, look, adaptation)


def _unseen(one: FieldSet, metadata: ModelMetadata) -> tuple[list[AnnotatedField], str]:
    """Fields from which a model has learnt nothing, and what it has learnt of their laboratory."""
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
    if not basis and "iml" in one.name.casefold() and metadata.settings.get("looks") == "random":
        basis.append(
            "not trained on, but the errors of an early model on it influenced how training images are varied"
        )
    return fields, "; ".join(basis) or "not trained on"


def _cut(field: AnnotatedField, finder: Finder) -> Iterator[_Cut]:
    """Labelled cells of a field, cut out in both ways where that is possible."""
    try:
        pixels = np.asarray(read_field(field.image))
    except ImageRefused as error:
        raise FieldAnnotationError(f"{field.image}: {error}", error.reason) from error
    height, width = pixels.shape[:2]
    labelled = [cell for cell in field.cells if cell.red and cell.label is not None]
    of_class = [[cell for cell in labelled if cell.label == label] for label in CLASSES]
    order = np.random.default_rng(0).permutation(len(of_class[1]))[:MOST_UNINFECTED]
    chosen = of_class[0] + [of_class[1][index] for index in order]
    try:
        found = [cell for cell in finder.find(pixels) if cell.kind == RED_CELL]
    except FieldRefused:
        found = []
    pairs = match(likeness(chosen, found, (width, height)))
    for cell, pair in zip(chosen, pairs, strict=True):
        named = cell.label == CLASSES[0], f"{field.name} {cell.name}", field.name
        yield _Cut(OUTLINE, cut_cell(pixels, found[pair]) if pair >= 0 else None, *named)
        if cell.shape == "box":
            yield _Cut(BOX, _boxed(pixels, cell.points), *named)


def _boxed(pixels: np.ndarray, corners: np.ndarray) -> Image.Image | None:
    """What a box shows, without what lies outside the field; None if that is too small to be an image of a cell."""
    height, width = pixels.shape[:2]
    (left, top), (right, bottom) = (
        np.clip(np.rint(end).astype(int), 0, (width, height))
        for end in (corners.min(axis=0), corners.max(axis=0))
    )
    box = pixels[top:bottom, left:right]
    return Image.fromarray(box) if min(box.shape[:2]) >= _LEAST_SIDE else None


def _scored(
    about: tuple[str, str], cells: Sequence[_Cut], look: Look, adaptation: Adaptation
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
        cut=kept[0].way,
        basis=basis,
        fields=len(set(fields)),
        parasitized=int(labels.sum()),
        uninfected=int((~labels).sum()),
        lost=dict(zip(CLASSES, (sum(lost), len(lost) - sum(lost)), strict=True)),
        outcomes=_outcomes(answers, labels, fields),
        called={
            point.name: _called(labels, probability >= point.threshold, fields)
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


def _called(
    labels: NDArray[np.bool_], called: NDArray[np.bool_], fields: Sequence[str]
) -> dict[str, Estimate]:
    """Sensitivity and specificity with intervals over fields, as far as there are cells of the class."""
    kinds = {"sensitivity": labels, "specificity": ~labels}
    return {name: _share(fields, called == labels, kind) for name, kind in kinds.items() if kind.any()}
