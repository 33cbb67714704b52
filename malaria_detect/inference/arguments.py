"""Arguments of :meth:`malaria_detect.inference.detector.Detector.predict_many`, checked before any work."""

import io
import os
from collections.abc import Iterable, Mapping
from numbers import Integral

import numpy as np
from PIL import Image

from malaria_detect.core.errors import ArgumentError


def check_many(images: object, batch_size: object) -> None:
    """Raise ArgumentError for a single image, nothing to iterate over, or a batch size below 1."""
    if _is_single(images):
        raise ArgumentError(
            f"predict_many needs a list of images, or another iterable; got one {type(images).__name__}. For a "
            "single image, use predict.",
            reason="images",
        )
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or int(batch_size) < 1:
        raise ArgumentError(
            f"batch_size must be a whole number of 1 or more; got {batch_size!r}.", reason="batch_size"
        )


def _is_single(images: object) -> bool:
    """Whether something is one image, or nothing that gives images one after the other."""
    if isinstance(images, np.ndarray):
        # Only a stack, (N, height, width, 3), cannot be taken for one image.
        return images.ndim == 0 or (images.dtype.kind not in "OUS" and images.ndim < 4)
    is_tensor = type(images).__module__ == "torch"  # without importing torch
    if is_tensor or isinstance(images, str | os.PathLike | Image.Image | Mapping | io.IOBase):
        return True
    try:
        memoryview(images)  # type: ignore[arg-type]
    except TypeError:
        return not isinstance(images, Iterable)
    return True
