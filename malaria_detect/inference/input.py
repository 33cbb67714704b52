"""The one way from an image of a cell to the tensor that a network takes.

Cells have all sizes. Each is padded to a square with black (the cells already lie on black) and scaled, so that no
cell loses its edge.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from scipy.sparse import csc_array, csr_array, identity, kron
from torch.nn import functional

from malaria_detect.data.preprocessing import pad_to_square, preprocess

RESIZE = 460  # px: the item transform Resize(460)
INPUT_SIZE = 224  # px: the batch transform aug_transforms(size=224)
# ImageNet's, of RGB in 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


@dataclass(frozen=True)
class InputTransform:
    """What happens to an image before the network sees it; the same in validation, prediction and explanation.

    It equals the learner's own validation transforms ``Resize(460, "pad", "zeros")``, ``IntToFloatTensor``,
    ``aug_transforms(size=224)``, ``Normalize``: pixel for pixel after padding, to 1e-5 as a tensor.

    Attributes
    ----------
    resize, size : int
        Sides of the padded image and of the network's input in px.
    mean, std : tuple of float
        RGB in 0 to 1: the mean is subtracted, the result divided by the standard deviation. The default is ImageNet's.
    preprocess : tuple of str
        Applied to the image first, see :func:`malaria_detect.data.preprocessing.preprocess`.

    Examples
    --------
    >>> transform = InputTransform(size=110)
    >>> transform([Image.new("RGB", (130, 120))]).shape
    torch.Size([1, 3, 110, 110])
    """

    resize: int = RESIZE
    size: int = INPUT_SIZE
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    preprocess: tuple[str, ...] = ()

    def __call__(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Network input for RGB images: :meth:`pad`, then :meth:`tensor`."""
        return self.tensor(run_threaded(self.pad, images))

    def pad(self, image: Image.Image) -> np.ndarray:
        """Preprocess an RGB image and pad it with black to a square: uint8, (resize, resize, 3)."""
        return pad_to_square(preprocess(image, self.preprocess), self.resize)

    def tensor(self, padded: Sequence[np.ndarray]) -> torch.Tensor:
        """Scale and normalise images from :meth:`pad`: float32, (N, 3, size, size), channels last.

        The learner's transforms are linear after padding. They are applied as one sparse matrix, which is taken from
        the functions that fastai calls.
        """
        size = self.size
        rows, columns = _downscaling(self.resize, size), _downscaling_columns(self.resize, size)
        # One number for each channel of each pixel in a line.
        scale = np.tile(1 / (255 * np.array(self.std, dtype=np.float32)), size)
        shift = np.tile(-np.array(self.mean, dtype=np.float32) / np.array(self.std, dtype=np.float32), size)
        out = np.empty((len(padded), size, size, 3), dtype=np.float32)

        def fill(index: int) -> None:
            pixels = padded[index].reshape(self.resize, self.resize * 3).astype(np.float32)
            line = out[index].reshape(size, size * 3)
            np.multiply((rows @ pixels) @ columns, scale, out=line)
            line += shift

        run_threaded(fill, range(len(padded)))
        return torch.from_numpy(out).permute(0, 3, 1, 2)


def run_threaded(function: Callable[[_Item], _Done], items: Sequence[_Item]) -> list[_Done]:
    """Results of a function for each item, in order, computed in as many threads as torch may use.

    The function should spend its time in code that releases Python's lock, as Pillow and SciPy do.

    Examples
    --------
    >>> run_threaded(abs, [-1, 2])
    [1, 2]
    """
    threads = min(len(items), torch.get_num_threads())
    if threads < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


@cache
def _downscaling(resize: int, size: int) -> csr_array:
    """The sparse (size, resize) matrix that fastai's ``affine_coord`` applies to rows and to columns."""
    # One channel for each pixel of a line; two equal lines, because a grid of one has no direction.
    line = torch.eye(resize)[None, :, None, :].expand(1, resize, 2, resize)
    # If fastai shrinks to less than half, it first averages areas (vision.augment._grid_sample).
    shrunk = resize / size / 2
    if shrunk > 1:
        line = functional.interpolate(
            line, scale_factor=(1.0, 1 / shrunk), mode="area", recompute_scale_factor=True
        )
    grid = functional.affine_grid(torch.eye(3)[None, :2], [1, resize, 2, size], align_corners=True)
    return csr_array(functional.grid_sample(line, grid, align_corners=True)[0, :, 0, :].T.numpy())


@cache
def _downscaling_columns(resize: int, size: int) -> csc_array:
    """The same for a line of pixels with three channels each, to be multiplied from the right."""
    return csc_array(kron(_downscaling(resize, size), identity(3, dtype=np.float32)).T)
