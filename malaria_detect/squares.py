"""Cells as square pictures, and the tensor that the network sees.

Cells have all sizes. The recipe pads each to a square with black (cells already lie on black) and scales it, so that
no cell loses its edge. Training decodes and scales every cell once and keeps the squares in a file that is mapped into
memory; prediction goes from the 460 px square straight to the network's 224 px.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.sparse import csr_array
from torch.nn import functional

from malaria_detect.images import read_image
from malaria_detect.preprocess import preprocess as preprocessed

RESIZE = 460  # px: the item transform Resize(460)
INPUT_SIZE = 224  # px: the batch transform aug_transforms(size=224)
# ImageNet's, of RGB in 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def square(image: Image.Image, side: int) -> np.ndarray:
    """Pad an RGB picture with black to a square and scale it, as fastai's ``Resize(side, "pad", "zeros")`` does.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, as :func:`malaria_detect.images.read_image` gives it.
    side : int
        Side of the square in pixels.

    Returns
    -------
    numpy.ndarray
        uint8, (side, side, 3).

    Examples
    --------
    >>> picture = square(Image.new("RGB", (40, 20), "white"), 40)
    >>> picture[:, 20, 0].tolist() == 10 * [0] + 20 * [255] + 10 * [0]
    True
    """
    width, height = image.size
    # int() after the round trip through a float loses a pixel now and then; fastai does so, hence we do.
    padded = int(max(width, height) / side * side)
    left, top = int(0.5 * (width - padded)), int(0.5 * (height - padded))
    box = (left, top, left + padded, top + padded)
    # Outside the picture crop() fills with black.
    return np.asarray(image.crop(box).resize((side, side), Image.Resampling.BILINEAR))


def make_squares(
    paths: Sequence[Path],
    side: int,
    file: Path,
    progress: Callable[[int], object] | None = None,
    preprocess: Sequence[str] = (),
) -> np.ndarray:
    """Write the squares of many cells to a file and map it into memory.

    Parameters
    ----------
    paths : sequence of Path
        Readable cells (see :func:`malaria_detect.cells.check_cells`).
    side : int
        Side of the squares in pixels.
    file : Path
        A raw array in NumPy's format is written here; 22,609 cells at 256 px take 4.4 GB.
    progress : callable, optional
        Called with 1 after every cell.
    preprocess : sequence of str
        What is done to every picture first, see :mod:`malaria_detect.preprocess`.

    Returns
    -------
    numpy.ndarray
        uint8, (cells, side, side, 3), read-only.
    """
    part = file.with_suffix(".part")
    squares = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(paths), side, side, 3))
    if hasattr(os, "posix_fallocate"):
        # A full disk is an error here, and no crash when a mapped page cannot be written.
        with part.open("r+b") as allocated:
            os.posix_fallocate(allocated.fileno(), 0, part.stat().st_size)

    def write(index: int) -> None:
        squares[index] = square(preprocessed(read_image(paths[index]), preprocess), side)
        if progress is not None:
            progress(1)

    with ThreadPoolExecutor() as pool:
        # list() lets an error of any thread through.
        list(pool.map(write, range(len(paths)), chunksize=1))
    squares.flush()
    part.replace(file)
    mapped: np.ndarray = np.load(file, mmap_mode="r")
    return mapped


def network_input(
    squares: Sequence[np.ndarray],
    size: int = INPUT_SIZE,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> torch.Tensor:
    """Squares as a network sees them: the learner's own validation transforms, without fastai's pipeline.

    After ``Resize(460)`` the chain ``IntToFloatTensor``, ``aug_transforms(size=224)``, ``Normalize`` is linear, so it
    is one small matrix, taken from the very functions that fastai calls; a test holds the two together.

    Parameters
    ----------
    squares : sequence of numpy.ndarray
        uint8, each (460, 460, 3), from :func:`square`.
    size : int
        Side of the network's pictures in px.
    mean, std : sequence of float
        RGB in 0 to 1 minus the one, divided by the other; ImageNet's where nothing else is said.

    Returns
    -------
    torch.Tensor
        float32, (squares, 3, size, size), channels last.
    """
    matrix = _downscaling(size)
    means, stds = (255 * np.array(numbers, dtype=np.float32) for numbers in (mean, std))
    out = np.empty((len(squares), size, size, 3), dtype=np.float32)

    def fill(index: int) -> None:
        pixels = squares[index].astype(np.float32)
        rows = matrix @ pixels.reshape(RESIZE, RESIZE * 3)
        columns = rows.reshape(size, RESIZE, 3).transpose(1, 0, 2).reshape(RESIZE, size * 3)
        small = (matrix @ columns).reshape(size, size, 3).transpose(1, 0, 2)
        np.divide(small - means, stds, out=out[index])

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(len(squares))))
    return torch.from_numpy(out).permute(0, 3, 1, 2)


@cache
def _downscaling(size: int) -> csr_array:
    """The (size, 460) matrix that fastai's ``affine_coord`` applies to rows and to columns: a few numbers a row."""
    # One channel for each pixel of a line; two equal lines, because a grid of one has no direction.
    line = torch.eye(RESIZE)[None, :, None, :].expand(1, RESIZE, 2, RESIZE)
    # fastai first averages areas where it shrinks to less than half (vision.augment._grid_sample).
    shrunk = RESIZE / size / 2
    if shrunk > 1:
        line = functional.interpolate(
            line, scale_factor=(1.0, 1 / shrunk), mode="area", recompute_scale_factor=True
        )
    grid = functional.affine_grid(torch.eye(3)[None, :2], [1, RESIZE, 2, size], align_corners=True)
    return csr_array(functional.grid_sample(line, grid, align_corners=True)[0, :, 0, :].T.numpy())
