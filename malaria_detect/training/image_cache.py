"""Padded images of the training cells, decoded and scaled once and mapped into memory from a file."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from malaria_detect.data.images import read_image
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.data.preprocessing import preprocess as preprocessed


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
        Readable cells (see :func:`malaria_detect.data.nlm_cells.check_cells`).
    side : int
        Side of the squares in pixels.
    file : Path
        A raw array in NumPy's format is written here; 22,609 cells at 256 px take 4.4 GB.
    progress : callable, optional
        Called with 1 after every cell.
    preprocess : sequence of str
        What is done to every picture first, see :mod:`malaria_detect.data.preprocessing`.

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
        squares[index] = pad_to_square(preprocessed(read_image(paths[index]), preprocess), side)
        if progress is not None:
            progress(1)

    with ThreadPoolExecutor() as pool:
        # list() lets an error of any thread through.
        list(pool.map(write, range(len(paths)), chunksize=1))
    squares.flush()
    part.replace(file)
    mapped: np.ndarray = np.load(file, mmap_mode="r")
    return mapped
