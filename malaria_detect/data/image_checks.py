"""Which images are accepted: limits of size, pictures that show nothing, and pictures without the stain's colour.

The limits of content lie between what must be refused and the NIH/NLM training cells; each constant says how far.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from malaria_detect.core.errors import MalariaDetectError


@dataclass(frozen=True)
class PictureLimits:
    """What a file may hold at most.

    Attributes
    ----------
    subject : str
        What it shows.
    max_bytes, max_pixels : int
    max_side : int
        Px.
    advice : str
        What to do with a larger one.
    upright : bool
        Whether it is rotated according to the EXIF orientation.
    """

    subject: str
    max_bytes: int
    max_pixels: int
    max_side: int
    advice: str
    upright: bool = True


# A cell is padded to a square, which may not exceed the number of pixels.
CELL = PictureLimits(
    "one cell",
    5 * 2**20,
    25_000_000,
    5_000,
    "Crop the image to one cell, or use `malaria-detect field` if it shows a whole field.",
)
# Beyond these pixels, Pillow warns of decompression bombs.
FIELD = PictureLimits(
    "one field",
    40 * 2**20,
    89_000_000,
    20_000,
    "Save the photograph as JPEG, or at a lower resolution.",
    upright=False,
)
MAX_BYTES, MAX_PIXELS, MAX_SIDE = CELL.max_bytes, CELL.max_pixels, CELL.max_side
MIN_SIDE = 16  # px
TRAINED_SIDES = (40, 394)  # px, shortest and longest side of the NIH/NLM cells

# Of 255: the background of a JPEG that was black.
_BLACK = 10
_EMPTY = 2
# A few bright pixels are a fault of the camera; the smallest image has 256.
_FEW = 50
# Of 255, in the brightest channel. 14 bits stored in 16 reach 64.
_MIN_BRIGHTNESS = 80
# More than a scale bar's share. Of each of 22,609 training cells at least 0.96 of the pixels have that brightness, and
# 0.35 of all values are in the upper half.
_BRIGHT_SHARE = 0.2
# Of 255, from the 1st to the 99th percentile of the areas of a picture. One colour with noise, or saved as JPEG, has
# up to 2; training cells have 6.5 or more.
_MIN_SPREAD = 3.0
_PLAIN_SPREAD = 12  # of single pixels, from the 10th to the 90th percentile
# Edges to black in a row: the outline of one thing has two, a pattern of one colour and black more.
_PATTERN = 3
# Of 255, 95th percentile of the difference between an area's highest and lowest channel. Grey cells saved as JPEG have
# up to 2.3, even with noise; training cells have 5.0 or more.
_MIN_COLOUR = 4.5
# Of 255, what is left of the colours if they only follow brightness, as a tint does. Tinted grey cells have up to 0.57,
# training cells 0.62 or more.
_MIN_STAIN = 0.6
# Areas along the longest side: enough for a parasite, few enough to average noise away.
_AREAS = 32

COLOURLESS = (
    "This image has hardly any colour. The model needs the colour of the stain and misses most parasites in grey "
    "images. Use a colour image, or look at this cell yourself."
)


class ImageRefused(MalariaDetectError):  # noqa: N818 - a refusal is a proper answer, not a fault
    """An image that cannot be used; the message says why and what to do.

    ``reason`` is ``no_file``, ``unreadable``, ``empty``, ``too_large`` (bytes, pixels or a side), ``too_small``,
    ``unknown_format``, ``damaged``, ``several_images``, ``unsupported_pixels``, ``unsupported_type``, ``blank`` (one
    colour, or fully transparent), ``too_dark`` (often a camera's 10, 12 or 14 bits stored in 16), ``whole_field`` (not
    one cell), ``foreign`` (no red cell, see :mod:`malaria_detect.inference.foreign`) or, in a server, ``worker_lost``.
    """


def check_bytes(size: int, limits: PictureLimits = CELL) -> None:
    """Refuse a file that is empty or too large."""
    if size == 0:
        raise ImageRefused(
            f"The file is empty. Use a PNG, JPEG, TIFF, BMP, WebP or GIF image of {limits.subject}.",
            reason="empty",
        )
    if size > limits.max_bytes:
        megabytes = math.ceil(10 * size / 2**20) / 10
        raise too_large(f"The file is {megabytes} MB; the limit is {limits.max_bytes // 2**20} MB.", limits)


def check_size(width: int, height: int, limits: PictureLimits = CELL) -> None:
    """Refuse an image with too many or too few pixels, before they are decoded."""
    size = f"The image is {width} x {height} px"
    if width * height > limits.max_pixels:
        raise too_large(f"{size}; the limit is {limits.max_pixels // 1_000_000} million pixels.", limits)
    if max(width, height) > limits.max_side:
        raise too_large(f"{size}; the limit is {limits.max_side:,} px per side.", limits)
    if min(width, height) < MIN_SIDE:
        raise ImageRefused(
            f"{size}; it needs at least {MIN_SIDE} px per side. Use a larger image.", reason="too_small"
        )


def check_content(image: Image.Image) -> None:
    """Refuse an RGB image that shows nothing, because the model would call it uninfected.

    Raises
    ------
    ImageRefused
        ``blank`` if the image has one colour, apart from black around it, noise and the traces of JPEG; ``too_dark``
        if it is nearly black.

    Examples
    --------
    >>> check_content(Image.new("RGB", (20, 30), "white"))
    Traceback (most recent call last):
    malaria_detect.data.image_checks.ImageRefused: The image shows nothing: it has one colour. Use another image.
    """
    histograms = np.reshape(image.histogram(), (3, 256))
    above = histograms[:, ::-1].cumsum(axis=1)[:, ::-1].max(axis=0)  # pixels of each value or more
    if above[_EMPTY + 1] < _FEW:
        raise ImageRefused(
            "The image shows nothing: it is black or fully transparent. Use another image.", reason="blank"
        )
    if above[_MIN_BRIGHTNESS] < _BRIGHT_SHARE * above[_BLACK + 1]:
        raise too_dark()
    # Nearly all cells differ so much within themselves that the areas need not be computed.
    below = histograms[:, _BLACK + 1 :].cumsum(axis=1)
    spread = np.count_nonzero((below > below[:, -1:] * 0.1) & (below < below[:, -1:] * 0.9), axis=1)
    if spread.max() >= _PLAIN_SPREAD:
        return
    image, lit = lit_part(image)
    areas = _areas(image, lit)
    spread = np.percentile(areas, 99, axis=0) - np.percentile(areas, 1, axis=0)
    if spread.max() < _MIN_SPREAD and np.count_nonzero(np.diff(np.asarray(lit))) < _PATTERN * lit.height:
        raise ImageRefused("The image shows nothing: it has one colour. Use another image.", reason="blank")


def check_range(values: np.ndarray) -> None:
    """Refuse values that were stored in 16 bits, uint16 or the upper bytes as uint8, if nearly all fit into 15 bits.

    Raises
    ------
    ImageRefused
        ``too_dark``.
    """
    half = np.iinfo(values.dtype).max // 2
    # Nothing but zeros is a matter of check_content.
    known = np.count_nonzero(values)
    if known and np.count_nonzero(values > half) < _BRIGHT_SHARE * known:
        raise too_dark()


def is_colourless(image: Image.Image) -> bool:
    """Whether an RGB image is practically grey: without colour, or with one tint throughout.

    The pixels count, not the file: a grey picture saved in colour has noise, and lamps and white balance tint it. Such
    a tint follows brightness along one line, but stain and cell differ in colour.

    Examples
    --------
    >>> ramp = Image.linear_gradient("L")
    >>> [is_colourless(Image.merge("RGB", [ramp, ramp, blue])) for blue in (ramp, ramp.rotate(90))]
    [True, False]
    """
    areas = _areas(*lit_part(image))
    if np.percentile(areas.max(axis=1) - areas.min(axis=1), 95) < _MIN_COLOUR:
        return True
    # What is left of red - green and blue - green after a straight line over brightness.
    light = areas.mean(axis=1, keepdims=True)
    light -= light.mean()
    tint = areas[:, [0, 2]] - areas[:, [1]]
    tint -= tint.mean(axis=0)
    rest = tint - light * (light * tint).sum(axis=0) / max((light**2).sum(), 1e-9)
    return bool(np.sqrt((rest**2).sum(axis=1).mean()) < _MIN_STAIN)


def size_warnings(width: int, height: int) -> tuple[str, ...]:
    """Warnings, one sentence each, about an image whose sides in px are not within `TRAINED_SIDES`.

    Examples
    --------
    >>> size_warnings(130, 128), len(size_warnings(1280, 960))
    ((), 1)
    """
    shortest, longest = TRAINED_SIDES
    size = f"({width} x {height} px; the training cells have {shortest} to {longest} px a side)"
    sentences = []
    if max(width, height) > longest:
        sentences.append(f"This image is large {size}. If it shows a whole field, crop it to one cell.")
    if min(width, height) < shortest:
        sentences.append(f"This image is small {size}. The result may be wrong.")
    return tuple(sentences)


def eight_bit(values: np.ndarray, top: int | None = None) -> np.ndarray:
    """Unsigned values scaled to 0 to 255 and rounded: uint8, of the same shape.

    Parameters
    ----------
    values : numpy.ndarray
        uint8 or uint16.
    top : int, optional
        The value that means full brightness. Without it, uint16 values have the range 0 to 65,535.

    Raises
    ------
    ImageRefused
        ``too_dark`` if nearly all 16-bit values of unknown range fit into 15 bits.

    Examples
    --------
    >>> eight_bit(np.array([0, 128, 129, 4095], dtype=np.uint16), 4095).tolist()
    [0, 8, 8, 255]
    """
    if top is None:
        top = int(np.iinfo(values.dtype).max)
        if top > 255:
            check_range(values)
    if top == 255:
        return values.astype(np.uint8)
    table = (np.arange(top + 1) * 510 + top) // (2 * top)
    scaled: np.ndarray = table.astype(np.uint8)[np.minimum(values, top)]
    return scaled


def too_large(sentence: str, limits: PictureLimits = CELL) -> ImageRefused:
    """A refusal because of size, for a sentence that says which."""
    return ImageRefused(f"{sentence} {limits.advice}", reason="too_large")


def too_dark() -> ImageRefused:
    """The refusal of an image that is nearly black."""
    return ImageRefused(
        "The image is nearly black. If its camera has 10, 12 or 14 bits, save it with 8 bits per channel, or scale "
        "its values to 16 bits.",
        reason="too_dark",
    )


def damaged() -> ImageRefused:
    """The refusal of a broken file."""
    return ImageRefused("The image is damaged or incomplete. Copy or save it again.", reason="damaged")


def lit_part(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The part of an RGB image that is not black around it, and its pixels that are not black (mode L, 0 or 255)."""
    lit = image.convert("L").point([0] * (_BLACK + 1) + [255] * (255 - _BLACK))
    box = lit.getbbox()
    return (image.crop(box), lit.crop(box)) if box else (image, lit)


def _areas(image: Image.Image, lit: Image.Image) -> np.ndarray:
    """Mean colour of each square area that is not black: float64, (areas, 3), 0 to 255."""
    # Large images are reduced by Pillow first, which rounds; small ones exactly.
    coarse = max(1, max(image.size) // (_AREAS * 16))
    image, lit = image.reduce(coarse), lit.reduce(coarse)
    side = max(1, max(image.size) // _AREAS)
    means = _block_means(np.asarray(image), side).reshape(-1, 3)
    shares = _block_means(np.asarray(lit), side).ravel()
    # Areas across the edge of a cell mix it with black; a ragged thing has no others.
    whole = shares == 255
    return means[whole if np.count_nonzero(whole) >= _FEW // 2 else shares >= shares.max() / 2]


def _block_means(pixels: np.ndarray, side: int) -> np.ndarray:
    height, width, channels = (*(length // side for length in pixels.shape[:2]), pixels[0, 0].size)
    blocks = pixels[: height * side, : width * side].reshape(height, side, -1)
    # One axis after the other, which is three times as fast as both at once.
    columns = blocks.sum(axis=1, dtype=np.uint32).reshape(height, width, side, channels)
    means: np.ndarray = columns.sum(axis=2) / side**2
    return means
