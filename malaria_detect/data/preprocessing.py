"""Preprocessings with a name: what may be done to a cell's picture before it is padded, scaled and shown to a network.

One function does it for training, for the exported learner, for the detector and in the notebooks, so that they see
the same pixels. The black around a cell stays black and counts in no statistic: nothing of it comes from the smear.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.stain import cell_mask, macenko, reinhard

MAX_SIGMA = 20.0  # px: more wipes out any cell

PREPROCESSINGS: Mapping[str, str] = MappingProxyType(
    {
        "hsv": "hue, saturation and value instead of red, green and blue; stands last",
        "blur": "Gaussian blur; blur:1.5 is one with a sigma of 1.5 px of the cell's own picture, blur alone of 1 px",
        "reinhard": "stain normalisation: means and spreads of lightness and colours as the training cells have them",
        "macenko": "stain normalisation: the two stains of the cell replaced by those of the training cells",
    }
)


class PreprocessError(MalariaDetectError):
    """A preprocessing is unknown, written wrongly, or stands where it makes no sense."""


def parse_preprocess(text: str) -> tuple[str, ...]:
    """Read preprocessings as people write them: names with commas between them, or nothing.

    Raises
    ------
    PreprocessError
        As :func:`check_preprocess`.

    Examples
    --------
    >>> parse_preprocess("blur:1.5, hsv"), parse_preprocess("")
    (('blur:1.5', 'hsv'), ())
    """
    return check_preprocess([name.strip() for name in text.split(",")] if text.strip() else [])


def check_preprocess(names: Sequence[str]) -> tuple[str, ...]:
    """Check names of preprocessings, and write each in its one spelling.

    Parameters
    ----------
    names : sequence of str
        From `PREPROCESSINGS`, in the order in which they are applied; ``blur`` may be followed by a colon and its
        sigma in px of the cell's own picture.

    Returns
    -------
    tuple of str
        The same, every blur with its sigma.

    Raises
    ------
    PreprocessError
        Where a name is unknown, a sigma is none, or something follows ``hsv``: hue goes round, so that it can neither
        be blurred nor be told from a stain.

    Examples
    --------
    >>> check_preprocess(["reinhard", "blur"])
    ('reinhard', 'blur:1')
    >>> check_preprocess(["sharpen"])
    Traceback (most recent call last):
    malaria_detect.data.preprocessing.PreprocessError: There is no preprocessing 'sharpen'; there are ...
    """
    if isinstance(names, str):
        # A string is a sequence of letters, too.
        names = [names]
    checked = tuple(_checked(name) for name in names)
    if "hsv" in checked[:-1]:
        written = ",".join(checked)
        raise PreprocessError(
            f"After hsv no other preprocessing can read the colours: hsv stands last, and once; got {written}."
        )
    return checked


def preprocess(image: Image.Image, names: Sequence[str]) -> Image.Image:
    """Apply preprocessings to a cell's picture, one after the other.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, as :func:`malaria_detect.data.images.read_image` gives it, at the cell's own size.
    names : sequence of str
        See :func:`check_preprocess`. Without any the picture itself comes back.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, of the same size, black (0, 0, 0) wherever `image` is black. After ``hsv`` its channels are hue,
        saturation and value, each 0 to 255; red lies at both ends of hue, so that a pink cell can jump from one to the
        other. A cell whose stain cannot be told stays as it is, see
        :mod:`malaria_detect.data.stain`.

    Raises
    ------
    PreprocessError
        As :func:`check_preprocess`.

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
        pixels = _STEPS[name.partition(":")[0]](pixels, cell, name)
    return Image.fromarray(pixels)


def pad_to_square(image: Image.Image, side: int) -> np.ndarray:
    """RGB image padded with black to a square and scaled, as fastai's ``Resize(side, "pad", "zeros")`` does it.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, as :func:`malaria_detect.data.images.read_image` returns it.
    side : int
        Side of the square in px.

    Returns
    -------
    numpy.ndarray
        uint8, (side, side, 3).

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
        raise PreprocessError(f"There is no preprocessing {name!r}; there are {known}.")
    if kind != "blur":
        return kind
    try:
        sigma = float(number) if colon else 1.0
    except ValueError:
        sigma = math.nan
    if not 0 < sigma <= MAX_SIGMA:
        raise PreprocessError(
            f"A blur is written like blur:1.5, its sigma in px above 0 and at most {MAX_SIGMA:g}; got {name!r}."
        )
    return f"blur:{sigma:g}"


def _hsv(pixels: np.ndarray, cell: np.ndarray, _: str) -> np.ndarray:
    channels = np.asarray(Image.fromarray(pixels).convert("HSV"))
    return np.where(cell[..., None], channels, 0).astype(np.uint8)


def _blur(pixels: np.ndarray, cell: np.ndarray, name: str) -> np.ndarray:
    sigma = float(name.partition(":")[2])
    # Of the cell's pixels alone: else the black around would darken the edge.
    weight = gaussian_filter(cell.astype(np.float32), sigma, mode="constant")
    seen = np.where(cell[..., None], pixels, 0).astype(np.float32)
    mean = gaussian_filter(seen, (sigma, sigma, 0), mode="constant") / np.maximum(weight, 1e-6)[..., None]
    return np.where(cell[..., None], np.rint(mean).clip(0, 255), 0).astype(np.uint8)


def _reinhard(pixels: np.ndarray, cell: np.ndarray, _: str) -> np.ndarray:
    return _in_cell(pixels, cell, reinhard(pixels[cell]))


def _macenko(pixels: np.ndarray, cell: np.ndarray, _: str) -> np.ndarray:
    return _in_cell(pixels, cell, macenko(pixels[cell]))


def _in_cell(pixels: np.ndarray, cell: np.ndarray, colours: np.ndarray) -> np.ndarray:
    result = np.zeros_like(pixels)
    result[cell] = colours
    return result


_STEPS = {"hsv": _hsv, "blur": _blur, "reinhard": _reinhard, "macenko": _macenko}
