"""Analyse whole fields: find the cells, classify them, and count: ``load_analyser().analyse_field("field.jpg")``."""

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, Self

import numpy as np
from tqdm.auto import tqdm

from malaria_detect.data.image_checks import COLOURLESS, TRAINED_SIDES
from malaria_detect.data.images import ImageRefused, ImageSource, read_field
from malaria_detect.data.picture_files import path_text
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.finder import load_finder
from malaria_detect.fields.finder_files import FinderMetadata
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.fields.slide import SlideResult
from malaria_detect.fields.usable import FieldRefused
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import field_point
from malaria_detect.inference.prediction import Prediction, Refusal

UNKNOWN_SITE_FIELD = (
    "The cells look unlike those that the model knows, so the counts are less reliable. Teach it your lab: "
    "`malaria-detect adapt`, or on the page."
)
# Of the cells of a field. Of the model's own site, one cell in a hundred looks unlike the others.
_OTHER_SITE_SHARE = 0.25


class Finder(Protocol):
    """Something that finds cells, such as :class:`malaria_detect.fields.finder.CellFinder`."""

    @property
    def metadata(self) -> FinderMetadata:
        """What its weights are."""

    def find(self, pixels: np.ndarray, cell_diameter: float | None = None) -> list[FoundCell]:
        """Cells of a field, uint8 of shape (height, width, 3), in reading order; raises FieldRefused."""


class FieldAnalyser:
    """A finder of cells and a classifier of cells at one operating point; made by :func:`load_analyser`.

    Attributes
    ----------
    detector : Detector
    finder : Finder
    """

    def __init__(self, detector: Detector, finder: Finder) -> None:
        self.detector = detector
        self.finder = finder

    def at(self, operating_point: str) -> Self:
        """The same finder and classifier at another operating point."""
        return self.with_detector(self.detector.at(operating_point))

    def with_detector(self, detector: Detector) -> Self:
        """The same finder with another classifier."""
        return type(self)(detector, self.finder)

    def analyse_field(
        self, image: ImageSource, name: str | None = None, cell_diameter: float | None = None
    ) -> FieldResult:
        """Find and classify the cells of one field.

        Cells on the edge are classified, but not counted.

        Parameters
        ----------
        image : path, bytes, PIL.Image.Image or numpy.ndarray
            A photograph of a field, as for :func:`malaria_detect.data.images.read_field`.
        name : str, optional
            Name of the result; by default the path, or ``field``.
        cell_diameter : float, optional
            Diameter of a red cell in px; estimated by default.

        Returns
        -------
        FieldResult
            If the picture cannot be used, it has a `refusal` and no cells.
        """
        began = time.perf_counter()
        size = (0, 0)
        named = name_of(image) if name is None else name
        try:
            pixels = np.asarray(read_field(image))
            size = (pixels.shape[1], pixels.shape[0])
            found = self.finder.find(pixels, cell_diameter)
        except (ImageRefused, FieldRefused) as refused:
            refusal = Refusal(str(refused), refused.reason)
            return FieldResult(named, size, seconds=time.perf_counter() - began, refusal=refusal)
        crops = (cut_cell(pixels, cell) for cell in found if cell.kind == RED_CELL)
        answers = self.detector.predict_many(crops)
        cells = tuple(
            AnalysedCell(number, cell, _prediction(next(answers)) if cell.kind == RED_CELL else None)
            for number, cell in enumerate(found, start=1)
        )
        diameter = _diameter(cells)
        return FieldResult(
            named, size, cells, diameter, time.perf_counter() - began, warnings=_warnings(cells, diameter)
        )

    def analyse_fields(
        self,
        images: Iterable[ImageSource],
        names: Iterable[str] = (),
        cell_diameter: float | None = None,
        progress: bool = False,
    ) -> Iterator[FieldResult]:
        """Analyse many fields in order, one at a time; see :meth:`analyse_field`.

        Parameters
        ----------
        images : iterable
        names : iterable of str, optional
            One for each image.
        cell_diameter : float, optional
        progress : bool
            Show a progress bar.
        """
        total = len(images) if isinstance(images, Sequence) else None
        for image, name in zip(
            tqdm(images, total=total, unit="field", disable=not progress),
            itertools.chain(names, itertools.repeat(None)),
            strict=False,
        ):
            yield self.analyse_field(image, name, cell_diameter)

    def analyse_slide(
        self, images: Iterable[ImageSource], name: str = "slide", progress: bool = False
    ) -> SlideResult:
        """Analyse the fields of one slide; see :meth:`analyse_fields`.

        Returns
        -------
        SlideResult
        """
        return self.slide(self.analyse_fields(images, progress=progress), name)

    def slide(
        self,
        fields: Iterable[FieldResult],
        name: str = "slide",
        red_cells_per_microlitre: float | None = None,
    ) -> SlideResult:
        """The slide of fields that were analysed by this analyser, and perhaps reviewed since."""
        return SlideResult(name, tuple(fields), self.detector.point, red_cells_per_microlitre)


def load_analyser(
    path: str | os.PathLike[str] | None = None, operating_point: str | None = None
) -> FieldAnalyser:
    """Open a model for cells, and the finder of cells that comes with the package.

    Parameters
    ----------
    path : path, optional
        The model, as for :func:`malaria_detect.inference.detector.load_detector`.
    operating_point : str, optional
        Default: ``counting``, because nearly all cells of a slide are uninfected: with a specificity of 97 %, a slide
        without parasites reads 3 %.

    Raises
    ------
    MetadataError, MalariaDetectError
        If a model cannot be opened, or has no such operating point.

    Examples
    --------
    >>> analyser = load_analyser()
    >>> analyser.detector.point.name
    'counting'
    """
    detector = load_detector(path)
    return FieldAnalyser(detector.at(operating_point or field_point(detector.metadata)), load_finder())


def name_of(image: ImageSource) -> str:
    """Name of a field that was given without one: its path, or ``field``."""
    return path_text(image) if isinstance(image, str | os.PathLike) else "field"


def _prediction(answer: Prediction | Refusal) -> Prediction | None:
    return answer if isinstance(answer, Prediction) else None


def _diameter(cells: Sequence[AnalysedCell]) -> float:
    """Median diameter of the red cells, as circles of their area."""
    areas = [cell.found.area for cell in cells if cell.counted]
    return float(np.median(2 * np.sqrt(np.array(areas) / np.pi))) if areas else 0.0


def _warnings(cells: Sequence[AnalysedCell], diameter: float) -> tuple[str, ...]:
    sentences = []
    least = TRAINED_SIDES[0]
    if 0 < diameter < least:
        sentences.append(
            f"The red cells are {diameter:.0f} px across; the model was trained on cells of {least} px or more. Use a "
            "higher magnification or resolution."
        )
    counted = [cell for cell in cells if cell.counted]
    known = [cell.prediction for cell in counted if cell.prediction]
    if any(COLOURLESS in answer.warnings for answer in known):
        sentences.append(
            "Some cells have hardly any colour, and the model misses most parasites in grey images."
        )
    if sum(answer.site_warning for answer in known) > _OTHER_SITE_SHARE * len(known):
        sentences.append(UNKNOWN_SITE_FIELD)
    if unknown := len(counted) - len(known):
        sentences.append(
            f"{unknown:,} of the {len(counted):,} cells that were found do not look like single red cells, or could "
            "not be read. They are not counted unless you review them."
        )
    return tuple(sentences)
