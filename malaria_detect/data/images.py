"""Reading images: a path, bytes, a PIL image or an array becomes an RGB image, or is refused.

The package reads all images here, because they may come from anybody: size and header of a file are checked before a
pixel is decoded.
"""

import io
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from malaria_detect.core.errors import MalariaDetectError

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray

MAX_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 25_000_000
MAX_SIDE = 5_000  # px: an image is padded to a square, which may not exceed MAX_PIXELS
MIN_SIDE = 16  # px
TRAINED_SIDES = (40, 394)  # px, shortest and longest side of the NIH/NLM cells

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
_USE = "Use a PNG, JPEG, TIFF, BMP, WebP or GIF image of one cell."

# A progressive JPEG has about ten scans; 5 MB can hold 100,000, which take a quarter of an hour.
_MAX_JPEG_SCANS = 200
_JPEG_SCAN = b"\xff\xda"

# Pillow's modes that become RGB without guessing their range; 16-bit grey ("I;16...") is one more.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV")

# What Pillow's readers raise for truncated or broken files.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)


class ImageRefused(MalariaDetectError):  # noqa: N818 - a refusal is a proper answer, not a fault
    """An image that cannot be used; the message says why and what to do.

    ``reason`` is ``no_file``, ``unreadable``, ``empty``, ``too_large`` (bytes, pixels or a side), ``too_small``,
    ``unknown_format``, ``damaged``, ``several_images``, ``unsupported_pixels``, ``unsupported_type`` or,
    in a server, ``worker_lost``.
    """


def read_image(source: ImageSource) -> Image.Image:
    """Image of a cell as 8-bit RGB.

    Parameters
    ----------
    source : path, bytes, PIL image or numpy array
        A file of at most `MAX_BYTES` in one of `FORMATS`, as path or bytes (its content counts, not its name);
        a PIL image; or a uint8 array of shape (height, width) grey, (height, width, 3) RGB or
        (height, width, 4) RGBA.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, each side `MIN_SIDE` to `MAX_SIDE` px, at most `MAX_PIXELS` in all. It is rotated according to the
        EXIF orientation, transparent parts are black (as around the training cells), and 16-bit values are scaled to
        8 bit over their whole range. It carries no metadata and shares no memory with `source`.

    Raises
    ------
    ImageRefused
        If the image is missing, of another format, damaged, animated, of several pages, too large or too small.

    Examples
    --------
    >>> read_image(np.full((20, 30), 255, dtype=np.uint8)).getpixel((0, 0))
    (255, 255, 255)
    """
    if isinstance(source, Image.Image):
        return _as_rgb(source)
    if isinstance(source, np.ndarray):
        return _as_rgb(_image_of_array(source))
    if isinstance(source, bytes | bytearray | memoryview):
        _check_bytes(memoryview(source).nbytes)
        return _read_bytes(bytes(source))
    if isinstance(source, str | os.PathLike):
        return _read_bytes(_bytes_of_file(Path(os.fsdecode(source))))
    raise ImageRefused(
        f"A Python {type(source).__name__} is not an image. Use a path, bytes, a PIL image or a uint8 array.",
        reason="unsupported_type",
    )


def as_png(image: Image.Image, side: int) -> bytes:
    """A copy of an image as PNG file without metadata, scaled down to a longest side of ``side`` px."""
    shown = image.copy()
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # Visitors wait for it, and the usual level takes much longer for files that are hardly smaller.
    shown.save(file, "PNG", compress_level=4)
    return file.getvalue()


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


def _bytes_of_file(path: Path) -> bytes:
    # repr() keeps a name with line breaks in one line.
    name = repr(str(path))
    try:
        if path.is_dir():
            raise ImageRefused(f"{name} is a folder. {_USE}", reason="no_file")
        if not path.is_file():
            raise ImageRefused(f"There is no file {name}. {_USE}", reason="no_file")
        with path.open("rb") as file:
            _check_bytes(os.fstat(file.fileno()).st_size)
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ImageRefused(
            f"{name} cannot be opened ({error.strerror}). {_USE}", reason="unreadable"
        ) from error


def _check_bytes(size: int) -> None:
    if size == 0:
        raise ImageRefused(f"The file is empty. {_USE}", reason="empty")
    if size > MAX_BYTES:
        megabytes = math.ceil(10 * size / 2**20) / 10
        raise _too_large(f"The file is {megabytes} MB; the limit is {MAX_BYTES // 2**20} MB.")


def _read_bytes(data: bytes) -> Image.Image:
    try:
        # Image.open reads the header only.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.format in ("JPEG", "MPO") and data.count(_JPEG_SCAN) > _MAX_JPEG_SCANS:
                raise ImageRefused(
                    f"The JPEG file has more than {_MAX_JPEG_SCANS} scans. Save it again as an ordinary JPEG.",
                    reason="damaged",
                )
            return _as_rgb(image)
    # The warning is only raised if the caller has made it an error.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(f"The image has more than {MAX_PIXELS // 1_000_000} million pixels.") from error
    except UnidentifiedImageError as error:
        raise ImageRefused(f"This is {_kind(data)}. {_USE}", reason="unknown_format") from error
    except _DAMAGE as error:
        raise _damaged() from error


def _as_rgb(image: Image.Image) -> Image.Image:
    """RGB copy of an image, after all checks of its header and content."""
    _check_size(image.width, image.height)
    # The further images in the MPO of a phone are previews or depth maps.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ImageRefused(
            f"The {image.format} file has several pages or is animated. Save the cell as a single image.",
            reason="several_images",
        )
    if image.mode not in _MODES and not image.mode.startswith("I;16"):
        raise ImageRefused(
            f"The pixels of this image have the unsupported type {image.mode!r}. Save it with 8 bits per channel.",
            reason="unsupported_pixels",
        )
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            upright = _eight_bit(upright)
        canvas = Image.new("RGB", upright.size, "black")
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            canvas.paste(upright, mask=upright)
        else:
            canvas.paste(upright)
    except _DAMAGE as error:
        raise _damaged() from error
    return canvas


def _eight_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255. 65,535 = 257 x 255, and half of 257 rounds.
    values = np.asarray(image, dtype=np.uint32)
    scaled = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is not None:
        scaled[values == transparent] = 0
    return Image.fromarray(scaled)


def _image_of_array(array: np.ndarray) -> Image.Image:
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits:
        raise ImageRefused(
            f"The array is {array.dtype} of shape {array.shape}. "
            "Use uint8 of shape (height, width), (height, width, 3) or (height, width, 4).",
            reason="unsupported_pixels",
        )
    _check_size(array.shape[1], array.shape[0])
    return Image.fromarray(array)


def _check_size(width: int, height: int) -> None:
    size = f"The image is {width} x {height} px"
    if width * height > MAX_PIXELS:
        raise _too_large(f"{size}; the limit is {MAX_PIXELS // 1_000_000} million pixels.")
    if max(width, height) > MAX_SIDE:
        raise _too_large(f"{size}; the limit is {MAX_SIDE:,} px per side.")
    if min(width, height) < MIN_SIDE:
        raise ImageRefused(
            f"{size}; a cell needs at least {MIN_SIDE} px per side. Use a larger image.", reason="too_small"
        )


def _too_large(sentence: str) -> ImageRefused:
    return ImageRefused(f"{sentence} Crop the image to one cell.", reason="too_large")


def _damaged() -> ImageRefused:
    return ImageRefused("The image is damaged or incomplete. Copy or save it again.", reason="damaged")


def _kind(data: bytes) -> str:
    """What a file is that has none of the accepted formats, with its article."""
    start = data[:1024]
    if start[4:8] == b"ftyp":
        if start[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
            return "an HEIC photo (save it as JPEG)"
        return "an AVIF image (save it as PNG)" if start[8:12] in (b"avif", b"avis") else "a video"
    if b"%PDF-" in start:
        return "a PDF document"
    if b"<svg" in start.lower():
        return "an SVG drawing"
    if start[128:132] == b"DICM":
        return "a DICOM file (save it as PNG)"
    if start.startswith((b"\x89PNG", b"\xff\xd8", b"II*\0", b"MM\0*", b"BM", b"RIFF", b"GIF8")):
        return "an image whose first bytes are damaged"
    # A text has no control characters except tabs and line ends.
    if not set(start) & (set(range(32)) - set(b"\t\n\r\f")):
        return "a text file"
    return "a file of an unknown kind"
