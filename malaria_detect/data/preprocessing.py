"""Named preprocessings of a cell image, and the padding to a square that follows them.

Training, the exported learner, the detector and the notebooks use these functions, so that they see the same pixels.
The black around a cell stays black and is ignored in statistics, because it does not come from the smear.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import scipy
from PIL import Image

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.stain import cell_mask, macenko, reinhard

MAX_SIGMA = 20.0  # px: more blurs any cell away

PREPROCESSINGS: Mapping[str, str] = MappingProxyType(
    {
        "hsv": "hue, saturation and value instead of red, green and blue; must be last",
        "blur": "Gaussian blur; blur:1.5 has a sigma of 1.5 px at the original size of the image, blur alone 1 px",
        "reinhard": "stain normalisation: mean and spread of lightness and colours as in the training cells",
        "macenko": "stain normalisation: the two stains of the cell replaced by those of the training cells",
    }
)

_STAINS = {"reinhard": reinhard, "macenko": macenko}


class PreprocessError(MalariaDetectError):
    """A preprocessing that is unknown, malformed or in the wrong place.

    ``reason`` is ``unknown``, ``bad_sigma`` or ``bad_order``.
    """


def parse_preprocess(text: str) -> tuple[str, ...]:
    """Preprocessings from text: names for :func:`check_preprocess` separated by commas, or nothing.

    Examples
    --------
    >>> parse_preprocess("blur:1.5, hsv"), parse_preprocess("")
    (('blur:1.5', 'hsv'), ())
    """
    return check_preprocess([name.strip() for name in text.split(",")] if text.strip() else [])


def check_preprocess(names: Sequence[str]) -> tuple[str, ...]:
    """Names of preprocessings in their normal form, every blur with its sigma.

    Parameters
    ----------
    names : sequence of str
        From `PREPROCESSINGS`, in the order in which they are applied; ``blur`` may be followed by a colon and its
        sigma in px at the original size of the image.

    Raises
    ------
    PreprocessError
        If a name is unknown, a sigma is not a number in range, or something follows ``hsv``: hue is circular, so it
        cannot be blurred or normalised.

    Examples
    --------
    >>> check_preprocess(["reinhard", "blur"])
    ('reinhard', 'blur:1')
    >>> check_preprocess(["sharpen"])
    Traceback (most recent call last):
    malaria_detect.data.preprocessing.PreprocessError: Unknown preprocessing 'sharpen'. Use ...
    """
    if isinstance(names, str):
        # A string is also a sequence.
        names = [names]
    checked = tuple(_checked(name) for name in names)
    if "hsv" in checked[:-1]:
        raise PreprocessError(
            f"hsv must be the last preprocessing, and used once, not {','.join(checked)}.", reason="bad_order"
        )
    return checked


def preprocess(image: Image.Image, names: Sequence[str]) -> Image.Image:
    """Cell image after preprocessings, applied one after the other.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, at its original size.
    names : sequence of str
        See :func:`check_preprocess`, also for errors. Without any, `image` itself is returned.

    Returns
    -------
    PIL.Image.Image
        RGB, of the same size, black wherever `image` is black. After ``hsv`` the channels are hue, saturation and
        value, each 0 to 255; red is at both ends of hue, so a pink cell can have values at both. A cell without a
        measurable stain is not normalised, see :mod:`malaria_detect.data.stain`.

    Examples
    --------
    >>> preprocess(Image.new("RGB", (20, 20), (200, 100, 100)), ["hsv"]).getpixel((0, 0))
    (0, 127, 200)
    """
    checked = check_preprocess(names)
    if not checked:
        return image
    pixels = np.asarray(image)
    cell = cell_mask(pixels)
    for name in checked:
        if name == "hsv":
            pixels = _hsv(pixels, cell)
        elif name in _STAINS:
            normalized = np.zeros_like(pixels)
            normalized[cell] = _STAINS[name](pixels[cell])
            pixels = normalized
        else:
            pixels = _blur(pixels, cell, float(name.removeprefix("blur:")))
    return Image.fromarray(pixels)


def pad_to_square(image: Image.Image, side: int) -> np.ndarray:
    """RGB image padded with black to a square and scaled, as fastai's ``Resize(side, "pad", "zeros")`` does it.

    Returns uint8, (side, side, 3).

    Examples
    --------
    >>> padded = pad_to_square(Image.new("RGB", (40, 20), "white"), 40)
    >>> padded[:, 20, 0].tolist() == 10 * [0] + 20 * [255] + 10 * [0]
    True
    """
    width, height = image.size
    # fastai rounds in this way, which loses a pixel now and then.
    longer = int(max(width, height) / side * side)
    left, top = int(0.5 * (width - longer)), int(0.5 * (height - longer))
    # crop() fills with black outside the image.
    square = image.crop((left, top, left + longer, top + longer))
    return np.asarray(square.resize((side, side), Image.Resampling.BILINEAR))


def _checked(name: str) -> str:
    kind, colon, number = name.partition(":")
    if kind not in PREPROCESSINGS or (colon and kind != "blur"):
        known = ", ".join(PREPROCESSINGS).replace("blur", "blur, blur:1.5 (sigma in px)")
        raise PreprocessError(f"Unknown preprocessing {name!r}. Use {known}.", reason="unknown")
    if kind != "blur":
        return kind
    try:
        sigma = float(number) if colon else 1.0
    except ValueError:
        sigma = math.nan
    if not 0 < sigma <= MAX_SIGMA:
        raise PreprocessError(
            f"{name!r} is not a blur. Write it like blur:1.5, with a sigma in px above 0 and at most {MAX_SIGMA:g}.",
            reason="bad_sigma",
        )
    return f"blur:{sigma:g}"


def _hsv(pixels: np.ndarray, cell: np.ndarray) -> np.ndarray:
    channels = np.asarray(Image.fromarray(pixels).convert("HSV"))
    return np.where(cell[..., None], channels, 0).astype(np.uint8)


def _blur(pixels: np.ndarray, cell: np.ndarray, sigma: float) -> np.ndarray:
    # Only pixels of the cell are averaged: the black around it would darken the edge.
    weight = scipy.ndimage.gaussian_filter(cell.astype(np.float32), sigma, mode="constant")
    seen = np.where(cell[..., None], pixels, 0).astype(np.float32)
    mean = (
        scipy.ndimage.gaussian_filter(seen, (sigma, sigma, 0), mode="constant")
        / np.maximum(weight, 1e-6)[..., None]
    )
    return np.where(cell[..., None], np.rint(mean).clip(0, 255), 0).astype(np.uint8)
