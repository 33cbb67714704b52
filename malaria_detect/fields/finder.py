"""Find the cells of a field: scale it so that they have the size that the network knows, and read their outlines."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from malaria_detect.core.errors import ArgumentError
from malaria_detect.fields.cell import KINDS, RED_CELL, FoundCell
from malaria_detect.fields.finder_files import FinderMetadata, open_engine, read_finder
from malaria_detect.fields.maps import DIAMETER, Maps, network_input, white_level
from malaria_detect.fields.outlines import Stars, joined, separated, stars_of, without_duplicates
from malaria_detect.fields.usable import FieldRefused, check_cells, check_exposure, lit_area
from malaria_detect.inference.engine import Engine

# Long sides in px at which a picture is searched for the size of its cells, one after the other.
_LEVELS = (256, 512, 1024, 2048, 4096)
# Diameters in px whose outlines are good enough to estimate the size, and to be the answer.
_READABLE, _GOOD = (14.0, 64.0), (25.0, 40.0)
# The network sees a large picture in tiles; what is nearer to a seam than the margin belongs to the next tile.
_TILE, _MARGIN = 1536, 96
# In diameters of the cell: nearer to the frame it touches it, and nearer to the rim of the eyepiece, where light and
# focus fall off, nobody can be sure that it is whole. NLM's counts agree best with a quarter.
_TOUCHING, _RIM = 0.04, 0.25
_LARGEST_SCALE = 2.0
# Of a picture, covered by readable cells: the search for their size may end.
_ENOUGH = 0.02


@dataclass(frozen=True, eq=False)
class _View:
    """A picture at one scale."""

    pixels: np.ndarray
    scale: float


class CellFinder:
    """A trained network that finds cells, with its metadata; made by :func:`load_finder`.

    Attributes
    ----------
    engine : Engine
        The compiled network; gives :class:`malaria_detect.fields.maps.Maps`.
    metadata : FinderMetadata
    """

    def __init__(self, engine: Engine, metadata: FinderMetadata) -> None:
        self.engine, self.metadata = engine, metadata

    def find(self, pixels: np.ndarray, cell_diameter: float | None = None) -> list[FoundCell]:
        """Red cells, white cells and platelets of a field, in reading order.

        Parameters
        ----------
        pixels : numpy.ndarray, uint8, shape (height, width, 3)
            RGB, such as from :func:`malaria_detect.data.images.read_field`.
        cell_diameter : float, optional
            Usual diameter of a red cell in px, 4 to 2,000; by default it is estimated.

        Returns
        -------
        list of FoundCell

        Raises
        ------
        FieldRefused
            If the picture is no usable field.
        ArgumentError
            If `pixels` or `cell_diameter` is something else.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ArgumentError(
                f"A field is a uint8 array of shape (height, width, 3); got {pixels.dtype} {pixels.shape}.",
                reason="pixels",
            )
        if cell_diameter is not None and not 4 <= cell_diameter <= 2000:
            raise ArgumentError(
                f"The diameter of a red cell must be between 4 and 2,000 px; got {cell_diameter}.",
                reason="cell_diameter",
            )
        picture = Image.fromarray(pixels)
        small = _view(picture, min(1.0, 512 / max(picture.size)))
        lit = lit_area(small.pixels)
        check_exposure(small.pixels, lit)
        white = white_level(small.pixels)
        view, stars = self._at_best_scale(picture, white, cell_diameter)
        stars = separated(stars)
        red = stars[stars.kinds == KINDS.index(RED_CELL)]
        try:
            check_cells(red, view.pixels)
        except FieldRefused as refused:
            if cell_diameter is None:
                raise
            raise FieldRefused(
                f"{refused} If it is usable, {cell_diameter:g} px is not the diameter of its cells: leave it out.",
                reason=refused.reason,
            ) from refused
        return _found_cells(stars, view, picture.size)

    def _at_best_scale(
        self, picture: Image.Image, white: np.ndarray, cell_diameter: float | None
    ) -> tuple[_View, Stars]:
        """The outlines at the scale at which red cells have the diameter that the network knows."""
        if cell_diameter is not None:
            return self._search(picture, DIAMETER / cell_diameter, white)
        scales = sorted({min(level / max(picture.size), _LARGEST_SCALE) for level in _LEVELS})
        view, stars = self._search(picture, scales[0], white)
        best, diameter = _cover(stars, view)
        for scale in scales[1:]:
            if best > _ENOUGH and diameter > _GOOD[0]:
                break  # at the next scale its cells would be too large
            finer = self._search(picture, scale, white)
            cover, of_finer = _cover(finer[1], finer[0])
            if cover > best:
                (view, stars), best, diameter = finer, cover, of_finer
        if best and not _GOOD[0] <= diameter <= _GOOD[1]:
            view, stars = self._search(picture, view.scale * DIAMETER / diameter, white)
        return view, stars

    def _search(self, picture: Image.Image, scale: float, white: np.ndarray) -> tuple[_View, Stars]:
        """The outlines in a picture at a scale, in px of the scaled picture."""
        view = _view(picture, min(scale, _LARGEST_SCALE))
        height, width = view.pixels.shape[:2]
        parts = []
        for top, bottom, own_top, own_bottom in _tiles(height):
            for left, right, own_left, own_right in _tiles(width):
                tile = network_input(view.pixels[top:bottom, left:right], white)
                stars = stars_of(self._maps(tile), self.metadata.threshold).moved(1.0, left, top)
                x, y = stars.centres.T
                own = (x >= own_left) & (x < own_right) & (y >= own_top) & (y < own_bottom)
                parts.append(stars[own])
        return view, without_duplicates(joined(parts))

    def _maps(self, tile: NDArray[np.float32]) -> Maps:
        return Maps(**self.engine(tile[None]))


def load_finder(path: str | os.PathLike[str] | None = None) -> CellFinder:
    """Open a cell finder, after checking its files against its metadata; nothing is unpickled.

    Parameters
    ----------
    path : path, optional
        The weights, such as ``finder.pt``, with ``finder.json`` and ``finder.graph`` in the same folder; default: those
        of the package.

    Raises
    ------
    MetadataError
        If a file is missing, changed, or no cell finder.

    Examples
    --------
    >>> finder = load_finder()
    >>> 0 < finder.metadata.threshold < 1
    True
    """
    metadata, graph, weights = read_finder(path)
    return CellFinder(open_engine(graph, weights), metadata)


def _view(picture: Image.Image, scale: float) -> _View:
    """The picture at about a scale; the exact one is that of its longer side."""
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    scaled = (
        picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0) if size != picture.size else picture
    )
    return _View(np.asarray(scaled), max(size) / max(picture.size))


def _tiles(length: int) -> Iterator[tuple[int, int, float, float]]:
    """Start and end of each tile along one side, and of the part whose cells belong to it."""
    start = 0
    while True:
        end = min(start + _TILE, length)
        own_start = start + _MARGIN if start else -np.inf
        own_end = end - _MARGIN if end < length else np.inf
        yield start, end, own_start, own_end
        if end == length:
            return
        start += _TILE - 2 * _MARGIN


def _cover(stars: Stars, view: _View) -> tuple[float, float]:
    """Share of the picture that red cells of a readable size cover, weighted by their scores; their median diameter."""
    red = stars[stars.kinds == KINDS.index(RED_CELL)]
    diameters = red.diameters
    readable = red[(diameters > _READABLE[0]) & (diameters < _READABLE[1])]
    if not len(readable):
        return 0.0, 0.0
    height, width = view.pixels.shape[:2]
    cover = float((readable.areas * readable.scores).sum()) / (height * width)
    return cover, float(np.median(readable.diameters))


def _found_cells(stars: Stars, view: _View, size: tuple[int, int]) -> list[FoundCell]:
    """The cells in px of the whole picture, in reading order."""
    height, width = view.pixels.shape[:2]
    at_edge = _near_edge(stars.corners, view.pixels, stars.diameters)
    visible = stars.within(width, height)
    # The two sides of the view are rounded to whole pixels.
    corners = visible.corners * (np.array(size) / (width, height))
    step = float(np.median(stars.diameters))
    order = np.lexsort([stars.centres[:, 0], np.floor(stars.centres[:, 1] / step)])
    cells = []
    for index in order:
        # Nothing is left of a cell whose outline is predicted outside of the frame.
        if visible.areas[index] <= 0.2 * stars.areas[index]:
            continue
        outline = np.clip(corners[index], 0, size).astype(np.float32)
        cell = FoundCell(outline, float(stars.scores[index]), KINDS[stars.kinds[index]], bool(at_edge[index]))
        cells.append(cell)
    return cells


def _near_edge(corners: np.ndarray, pixels: np.ndarray, diameters: np.ndarray) -> np.ndarray:
    """Whether outlines, shape (n, 32, 2), touch the frame of a picture or come near the rim of the eyepiece."""
    height, width = pixels.shape[:2]
    to_frame = np.minimum(corners, (width, height) - corners).min(axis=(1, 2))
    near: np.ndarray = to_frame < _TOUCHING * diameters
    lit = lit_area(pixels)
    if not lit.all():
        to_rim = scipy.ndimage.distance_transform_edt(lit)
        places = np.clip(corners.astype(int), 0, (width - 1, height - 1))
        near |= to_rim[places[..., 1], places[..., 0]].min(axis=1) < _RIM * diameters
    return near
