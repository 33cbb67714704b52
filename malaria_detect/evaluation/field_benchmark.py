"""Find and classify the cells of annotated fields, and score them (``malaria-detect evaluate --fields``)."""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tqdm.auto import tqdm

from malaria_detect.data.field_truth import AnnotatedField, FieldAnnotationError, FieldSet
from malaria_detect.data.images import ImageRefused, read_field
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.field_matching import FOUND, likeness, match
from malaria_detect.evaluation.field_scores import Called, FieldScore, SetScore, summarise
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.usable import FieldRefused
from malaria_detect.inference.metadata import OperatingPoint
from malaria_detect.inference.prediction import Prediction

if TYPE_CHECKING:
    from malaria_detect.inference.detector import Detector

# Probability of parasitized for each cell of a field; NaN for a cell that cannot be classified.
Classify = Callable[[np.ndarray, Sequence[FoundCell]], np.ndarray]


class Finder(Protocol):
    """What finds the cells of a field, such as :class:`malaria_detect.fields.finder.CellFinder`."""

    def find(self, pixels: np.ndarray, cell_diameter: float | None = None) -> Sequence[FoundCell]:
        """Cells of a field (uint8, shape (height, width, 3)); raises FieldRefused."""


def score_field_sets(
    sets: Sequence[FieldSet],
    finder: Finder,
    classify: Classify | None = None,
    points: Sequence[OperatingPoint] = (),
    progress: bool = False,
) -> tuple[SetScore, ...]:
    """Scores of several laboratories.

    Parameters
    ----------
    sets : sequence of FieldSet
        From :func:`malaria_detect.data.field_annotations.read_field_sets`.
    finder, classify, points
        As for :func:`score_fields`.
    progress : bool
        Show a progress bar.
    """
    return tuple(
        summarise(
            one,
            list(
                tqdm(
                    score_fields(one, finder, classify, points),
                    desc=one.name,
                    total=len(one.fields),
                    unit="field",
                    disable=not progress,
                )
            ),
        )
        for one in sets
    )


def classified_by(detector: "Detector") -> Classify:
    """Probabilities by a detector, of cells cut out as it was trained on them."""

    def classify(pixels: np.ndarray, cells: Sequence[FoundCell]) -> np.ndarray:
        answers = detector.predict_many(cut_cell(pixels, cell) for cell in cells)
        return np.array(
            [one.probability_parasitized if isinstance(one, Prediction) else float("nan") for one in answers]
        )

    return classify


def score_fields(
    annotated: FieldSet,
    finder: Finder,
    classify: Classify | None = None,
    points: Sequence[OperatingPoint] = (),
) -> Iterator[FieldScore]:
    """Scores of annotated fields, one after the other.

    Parameters
    ----------
    annotated : FieldSet
    finder : Finder
    classify : callable, optional
        Pixels and found red cells to probabilities.
    points : sequence of OperatingPoint
        At which cells are called parasitized.

    Raises
    ------
    FieldAnnotationError
        If an image cannot be read, with the ``reason`` of the ImageRefused, or has another size than its annotations
        say; ``reason`` is ``other_size``.
    """
    for field in annotated.fields:
        try:
            pixels = np.asarray(read_field(field.image))
        except ImageRefused as error:
            raise FieldAnnotationError(f"{field.image}: {error}", error.reason) from error
        size = pixels.shape[1], pixels.shape[0]
        if field.size not in (None, size):
            raise FieldAnnotationError(
                f"{field.image} is {size[0]} x {size[1]} px; its annotations are for {field.size}.",
                "other_size",
            )
        begin, refusal = perf_counter(), ""
        found: Sequence[FoundCell] = ()
        try:
            found = finder.find(pixels)
        except FieldRefused as error:
            refusal = error.reason
        seconds = perf_counter() - begin
        red = [cell for cell in found if cell.kind == RED_CELL]
        called = {}
        if classify and red:
            probability = classify(pixels, red)
            called = {point.name: probability >= point.threshold for point in points}
        yield _score(field, red, size, called, seconds, refusal)


def _score(
    field: AnnotatedField,
    red: Sequence[FoundCell],
    size: tuple[int, int],
    called: dict[str, np.ndarray],
    seconds: float,
    refusal: str,
) -> FieldScore:
    cells = [cell for cell in field.cells if cell.red]
    others = [cell for cell in field.cells if not cell.red and cell.shape != "centre"]
    pairs = match(likeness(cells, red, size))
    labels = np.array([cell.label for cell in cells], object)
    infected, uninfected = (labels == label for label in CLASSES)
    within = np.array([not cell.on_edge for cell in red], bool)
    surplus = np.setdiff1d(np.flatnonzero(within), pairs)
    found = pairs >= 0

    def count(calls: np.ndarray) -> Called:
        right = found & np.append(calls, False)[pairs]
        return Called(
            *(int(np.count_nonzero(who)) for who in (right & infected, right & uninfected, calls & within))
        )

    return FieldScore(
        name=field.name,
        group=field.group,
        annotated=len(cells),
        infected=int(infected.sum()),
        uninfected=int(uninfected.sum()),
        matched=int(found.sum()),
        infected_matched=int((found & infected).sum()),
        uninfected_matched=int((found & uninfected).sum()),
        missed=tuple(cells[number].name for number in np.flatnonzero(infected & ~found)),
        counted=int(within.sum()),
        on_edge=len(red) - int(within.sum()),
        surplus=len(surplus),
        others=len(others),
        others_matched=int((likeness(others, red, size) >= FOUND).any(axis=1).sum()),
        red_cells=field.red_cells,
        parasitized=field.parasitized,
        called={name: count(calls) for name, calls in called.items()},
        cell_diameter=2 * float(np.sqrt(np.median([cell.area for cell in red]) / np.pi))
        if red
        else float("nan"),
        seconds=seconds,
        refusal=refusal,
    )
