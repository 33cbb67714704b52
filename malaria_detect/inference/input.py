"""Cells as square pictures, and the tensor that the network sees.

Cells have all sizes. The recipe pads each to a square with black (cells already lie on black) and scales it, so that
no cell loses its edge. Training decodes and scales every cell once and keeps the squares in a file that is mapped into
memory; prediction goes from the 460 px square straight to the network's 224 px.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from scipy.sparse import csc_array, csr_array, identity, kron
from torch.nn import functional

RESIZE = 460  # px: the item transform Resize(460)
INPUT_SIZE = 224  # px: the batch transform aug_transforms(size=224)
# ImageNet's, of RGB in 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


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
        uint8, each (460, 460, 3), from :func:`malaria_detect.data.preprocessing.pad_to_square`.
    size : int
        Side of the network's pictures in px.
    mean, std : sequence of float
        RGB in 0 to 1 minus the one, divided by the other; ImageNet's where nothing else is said.

    Returns
    -------
    torch.Tensor
        float32, (squares, 3, size, size), channels last.
    """
    rows, columns = _downscaling(size), _downscaling_columns(size)
    # Of one line of the picture, a number for each channel of each pixel.
    scale = np.tile(1 / (255 * np.array(std, dtype=np.float32)), size)
    shift = np.tile(-np.array(mean, dtype=np.float32) / np.array(std, dtype=np.float32), size)
    out = np.empty((len(squares), size, size, 3), dtype=np.float32)

    def fill(index: int) -> None:
        pixels = squares[index].reshape(RESIZE, RESIZE * 3).astype(np.float32)
        line = out[index].reshape(size, size * 3)
        np.multiply((rows @ pixels) @ columns, scale, out=line)
        line += shift

    side_by_side(fill, range(len(squares)))
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def side_by_side(work: Callable[[_Item], _Done], items: Sequence[_Item]) -> list[_Done]:
    """Do the same to each of some items, in as many threads as torch may use; in none of its own for one item.

    Parameters
    ----------
    work : callable
        Takes an item; it should spend its time where Python lets others run, as Pillow and SciPy do.
    items : sequence

    Returns
    -------
    list
        What came of the items, in their order; the error of one is raised.

    Examples
    --------
    >>> side_by_side(abs, [-1, 2])
    [1, 2]
    """
    threads = min(len(items), torch.get_num_threads())
    if threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        # list() lets an error of any thread through.
        return list(pool.map(work, items))


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


@cache
def _downscaling_columns(size: int) -> csc_array:
    """The same for a line of pixels with three channels each, to be multiplied from the right."""
    return csc_array(kron(_downscaling(size), identity(3, dtype=np.float32)).T)
