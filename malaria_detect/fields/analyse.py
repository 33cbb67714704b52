"""Analyse whole fields: find the cells, classify them, and count: ``load_analyser().analyse_field("field.jpg")``."""

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, Self

import numpy as np
from tqdm.auto import tqdm

from malaria_detect.data.images import ImageRefused, ImageSource, read_field
from malaria_detect.data.picture_files import path_text
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.finder import load_finder
from malaria_detect.fields.finder_files import FinderMetadata
from malaria_detect.fields.result import AnalysedCell, FieldResult, diameter_of
from malaria_detect.fields.slide import SlideResult
from malaria_detect.fields.usable import FieldRefused
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import field_point
from malaria_detect.inference.prediction import Prediction, Refusal


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
            _analysed(number, cell, next(answers) if cell.kind == RED_CELL else None)
            for number, cell in enumerate(found, start=1)
        )
        return FieldResult(named, size, cells, diameter_of(cells), time.perf_counter() - began)

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


def _analysed(number: int, found: FoundCell, answer: Prediction | Refusal | None) -> AnalysedCell:
    if isinstance(answer, Refusal):
        return AnalysedCell(number, found, refusal=answer)
    return AnalysedCell(number, found, answer)
