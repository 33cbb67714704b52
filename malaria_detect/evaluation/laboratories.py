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

from malaria_detect.core.json_io import read_record
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.field_truth import AnnotatedField, FieldAnnotationError, FieldSet
from malaria_detect.data.images import ImageRefused, read_field
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.field_benchmark import Finder
from malaria_detect.evaluation.field_matching import likeness, match
from malaria_detect.evaluation.field_scores import share_by_group
from malaria_detect.evaluation.site_adaptation import Gain, gain_curve
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.usable import FieldRefused
from malaria_detect.inference.adapt import Adaptation, SiteCells
from malaria_detect.inference.calibrate import DEFAULT_POINT
from malaria_detect.metrics import Estimate, ReliabilityBin, Scores, reliability_bins, scaled, score
from malaria_detect.metrics.formatting import format_percent

LABORATORIES = "laboratories.json"
OUTLINE, BOX = "outline", "box"
# Uninfected cells of each field: a laboratory with crowded fields would take an hour.
_MOST_UNINFECTED = 20

# Pooled features, float32, (N, 1024), of images.
Features = Callable[[Sequence[Image.Image]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class CutCells:
    """Labelled cells of a laboratory, cut out of its fields in one way; all columns have the same length."""

    images: tuple[Image.Image, ...]
    parasitized: NDArray[np.bool_]
    names: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True)
class LaboratoryScore:
    """Scores in one laboratory with cells cut out in one way.

    Attributes
    ----------
    name, cut : str
        The laboratory, and ``outline`` or ``box``.
    borrowed : bool
        Whether the model was trained on uninfected cells in other fields of this laboratory.
    fields, parasitized, uninfected : int
    called : dict of str to dict of str to Estimate
        Sensitivity and specificity at each operating point, with 95 % intervals over fields; without parasitized cells
        only the specificity.
    scores : Scores or None
        At the default operating point; None if a class has no cells.
    reliability : tuple of ReliabilityBin
    gains : tuple of Gain
        With the model as it is and after adapting to some of the cells; empty if there are too few.
    """

    name: str
    cut: str
    borrowed: bool
    fields: int
    parasitized: int
    uninfected: int
    called: dict[str, dict[str, Estimate]]
    scores: Scores | None
    reliability: tuple[ReliabilityBin, ...]
    gains: tuple[Gain, ...]


@dataclass(frozen=True)
class Laboratories:
    """Content of ``reports/laboratories.json``."""

    command: str
    model_sha256: str
    finder_sha256: str
    laboratories: tuple[LaboratoryScore, ...]
    versions: dict[str, str]
    created: str

    @classmethod
    def of(cls, scores: Sequence[LaboratoryScore], command: str, model: str, finder: str) -> "Laboratories":
        """Content with today's date and the versions of libraries."""
        return cls(command, model, finder, tuple(scores), library_versions(), today())


def read_laboratories(path: Path) -> Laboratories:
    """Scores that `malaria-detect evaluate --laboratories` wrote; errors as in `core.json_io.read_record`."""
    return read_record(
        Laboratories, path, FieldAnnotationError, "`malaria-detect evaluate --laboratories` writes it."
    )


def expectation(score: LaboratoryScore) -> str:
    """What to expect of the model in a laboratory, as a sentence; shares are those at the default operating point."""
    shares = score.called[DEFAULT_POINT]
    words = [
        f"{format_percent(shares[name].value)} of the {cells} {kind} cells are called {kind}"
        for name, cells, kind in (
            ("sensitivity", score.parasitized, "parasitized"),
            ("specificity", score.uninfected, "uninfected"),
        )
        if name in shares
    ]
    learnt = (
        "; uninfected cells of its other fields were trained on" if score.borrowed else "; never trained on"
    )
    return f"{score.name}: {' and '.join(words)} (cut out by {score.cut}, {score.fields} fields{learnt})."


def score_laboratories(
    sets: Sequence[FieldSet],
    finder: Finder,
    features: Features,
    adaptation: Adaptation,
    progress: bool = False,
) -> Iterator[LaboratoryScore]:
    """Scores of a model in laboratories, one after the other.

    Parameters
    ----------
    sets : sequence of FieldSet
        From :func:`malaria_detect.data.field_annotations.read_field_sets`. Fields that the model was trained on, see
        :attr:`malaria_detect.inference.metadata.ModelMetadata.borrowed`, are left out.
    finder : Finder
    features : callable
        Pooled features of cell images.
    adaptation : Adaptation
        Of the model.
    progress : bool
        Show a progress bar.

    Raises
    ------
    FieldAnnotationError
        If a field cannot be read, or nothing is left of a laboratory (``reason`` is ``no_fields``).
    """
    for one in sets:
        learnt = adaptation.metadata.borrowed.get(one.name, ())
        fields = [field for field in one.fields if field.name not in learnt]
        if not fields:
            raise FieldAnnotationError(f"The model was trained on every field of {one.name}.", "no_fields")
        cut = [
            _cut(field, finder) for field in tqdm(fields, desc=one.name, unit="field", disable=not progress)
        ]
        for way in (OUTLINE, BOX):
            cells = _joined([ways[way] for ways in cut if way in ways])
            if len(cells.images):
                yield _scored(one.name, way, cells, features, adaptation, borrowed=bool(learnt))


def _cut(field: AnnotatedField, finder: Finder) -> dict[str, CutCells]:
    """Labelled cells of a field, cut out in both ways where that is possible."""
    try:
        pixels = np.asarray(read_field(field.image))
    except ImageRefused as error:
        raise FieldAnnotationError(f"{field.image}: {error}", error.reason) from error
    height, width = pixels.shape[:2]
    labelled = [cell for cell in field.cells if cell.red and cell.label is not None]
    of_class = [[cell for cell in labelled if cell.label == label] for label in CLASSES]
    random = np.random.default_rng(0)
    order = random.permutation(len(of_class[1]))[:_MOST_UNINFECTED]
    chosen = of_class[0] + [of_class[1][index] for index in order]
    try:
        found = [cell for cell in finder.find(pixels) if cell.kind == RED_CELL]
    except FieldRefused:
        found = []
    pairs = match(likeness(chosen, found, (width, height)))
    images: dict[str, list[Image.Image | None]] = {
        OUTLINE: [cut_cell(pixels, found[pair]) if pair >= 0 else None for pair in pairs],
        BOX: [_boxed(pixels, cell.points) if cell.shape == "box" else None for cell in chosen],
    }
    cells = {}
    for way, of_way in images.items():
        kept = [(image, cell) for image, cell in zip(of_way, chosen, strict=True) if image is not None]
        cells[way] = CutCells(
            tuple(image for image, _ in kept),
            np.array([cell.label == CLASSES[0] for _, cell in kept], dtype=bool),
            tuple(f"{field.name} {cell.name}" for _, cell in kept),
            (field.name,) * len(kept),
        )
    return cells


def _boxed(pixels: np.ndarray, corners: np.ndarray) -> Image.Image | None:
    """What a box shows, without what lies outside the field; None if that is too small to be an image of a cell."""
    height, width = pixels.shape[:2]
    (left, top), (right, bottom) = (
        np.clip(np.rint(end).astype(int), 0, (width, height))
        for end in (corners.min(axis=0), corners.max(axis=0))
    )
    box = pixels[top:bottom, left:right]
    return Image.fromarray(box) if min(box.shape[:2]) >= 16 else None


def _joined(parts: Sequence[CutCells]) -> CutCells:
    return CutCells(
        tuple(image for part in parts for image in part.images),
        np.concatenate([part.parasitized for part in parts]) if parts else np.zeros(0, bool),
        tuple(name for part in parts for name in part.names),
        tuple(field for part in parts for field in part.fields),
    )


def _scored(
    name: str, way: str, cells: CutCells, features: Features, adaptation: Adaptation, borrowed: bool
) -> LaboratoryScore:
    site = SiteCells(features(cells.images), cells.parasitized, cells.names, cells.fields)
    metadata = adaptation.metadata
    probability = scaled(adaptation.log_odds(site.features), metadata.temperature)
    labels, fields = cells.parasitized, cells.fields
    both = 0 < labels.sum() < len(labels)
    return LaboratoryScore(
        name=name,
        cut=way,
        borrowed=borrowed,
        fields=len(set(fields)),
        parasitized=int(labels.sum()),
        uninfected=int((~labels).sum()),
        called={
            point.name: _called(labels, probability >= point.threshold, fields)
            for point in metadata.operating_points
        },
        scores=score(labels, probability, fields, metadata.point().threshold) if both else None,
        reliability=reliability_bins(labels, probability, fields) if both else (),
        gains=gain_curve(adaptation, site) if both else (),
    )


def _called(
    labels: NDArray[np.bool_], called: NDArray[np.bool_], fields: Sequence[str]
) -> dict[str, Estimate]:
    """Sensitivity and specificity with intervals over fields, as far as there are cells of the class."""
    return {
        name: share_by_group(
            fields, ((labels == kind) & (called == kind)).astype(int), (labels == kind).astype(int)
        )
        for name, kind in (("sensitivity", True), ("specificity", False))
        if (labels == kind).any()
    }
