"""The one way from an image of a cell to the array that a network takes.

Cells have all sizes. Each is padded to a square with black (the cells already lie on black) and scaled, so that no
cell loses its edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from malaria_detect.data.preprocessing import pad_to_square, preprocess
from malaria_detect.inference.engine import run_threaded

RESIZE = 460  # px: the item transform Resize(460)
INPUT_SIZE = 224  # px: the batch transform aug_transforms(size=224)
# ImageNet's, of RGB in 0 to 1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputTransform:
    """What happens to an image before the network sees it; the same in validation, prediction and explanation.

    It equals the learner's own validation transforms ``Resize(460, "pad", "zeros")``, ``IntToFloatTensor``,
    ``aug_transforms(size=224)``, ``Normalize``: pixel for pixel after padding, to 1e-5 as an array.

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
    (1, 3, 110, 110)
    """

    resize: int = RESIZE
    size: int = INPUT_SIZE
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    preprocess: tuple[str, ...] = ()

    def __call__(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Network input for RGB images: :meth:`pad`, then :meth:`tensor`."""
        return self.tensor(run_threaded(self.pad, images))

    def pad(self, image: Image.Image) -> np.ndarray:
        """Preprocess an RGB image and pad it with black to a square: uint8, (resize, resize, 3)."""
        return pad_to_square(preprocess(image, self.preprocess), self.resize)

    def tensor(self, padded: Sequence[np.ndarray]) -> NDArray[np.float32]:
        """Scale and normalise images from :meth:`pad`: float32, (N, 3, size, size).

        The learner's transforms are linear after padding. They are applied as one sparse matrix.
        """
        side, size = self.resize, self.size
        scaling = _downscaling(side, size)
        scale = 1 / (255 * np.array(self.std, dtype=np.float32))[:, None, None]
        shift = (-np.array(self.mean, dtype=np.float32) / np.array(self.std, dtype=np.float32))[:, None, None]
        out = np.empty((len(padded), 3, size, size), dtype=np.float32)

        def fill(index: int) -> None:
            rows = scaling @ padded[index].reshape(side, side * 3).astype(np.float32)
            by_column = rows.reshape(size, side, 3).transpose(1, 0, 2).reshape(side, size * 3)
            columns = scaling @ by_column
            np.multiply(columns.reshape(size, size, 3).transpose(2, 1, 0), scale, out=out[index])
            out[index] += shift

        run_threaded(fill, range(len(padded)))
        return out


@cache
def _downscaling(resize: int, size: int) -> scipy.sparse.csr_array:
    """The sparse (size, resize) matrix that fastai's ``affine_coord`` applies to rows and to columns."""
    # If fastai shrinks to less than half, it first averages areas (vision.augment._grid_sample).
    shrunk = resize / size / 2
    averaged = _averaging(resize, int(resize / shrunk)) if shrunk > 1 else np.eye(resize)
    # Then it interpolates, at places from -1 to 1 that torch computes from both ends and rounds to float32.
    step, numbers = float(np.float32(2 / (size - 1))), np.arange(size)
    ends = np.where(numbers < size // 2, step * numbers - 1, 1 - step * numbers[::-1]).astype(np.float32)
    places = (ends + 1) * np.float32((len(averaged) - 1) / 2)
    before = np.minimum(places.astype(int), len(averaged) - 2)
    share = (places - before)[:, None]
    scaled = averaged[before] * (1 - share) + averaged[before + 1] * share
    return scipy.sparse.csr_array(scaled.astype(np.float32))


def _averaging(length: int, shorter: int) -> NDArray[np.float64]:
    """The (shorter, length) matrix that averages areas, as torch's ``interpolate(mode="area")`` does."""
    matrix = np.zeros((shorter, length))
    for row in range(shorter):
        first, end = row * length // shorter, -(-(row + 1) * length // shorter)
        matrix[row, first:end] = 1 / (end - first)
    return matrix
