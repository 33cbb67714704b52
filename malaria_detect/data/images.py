"""The only door for pictures: a path, bytes, a PIL image or an array becomes an RGB image, or is refused.

Pictures come from strangers, so that a file is judged by its size and its header before a pixel is decoded.
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
MAX_SIDE = (
    5_000  # px: the network sees a square around the picture, which shall not be larger than MAX_PIXELS
)
MIN_SIDE = 16  # px
TRAINED_SIDES = (40, 394)  # px, shortest and longest side of the NIH/NLM cells

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
_WANTED = "a PNG, JPEG, TIFF, BMP, WebP or GIF picture of one cell"

# A progressive JPEG has about ten scans; 5 MB can hold 100,000 that take a quarter of an hour.
_MAX_JPEG_SCANS = 200
_JPEG_SCAN = b"\xff\xda"

# Pillow's names for pixels that turn into RGB without guessing their range; 16-bit grey ("I;16...") is one more.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV")

# What Pillow's readers raise on files that are cut off or broken.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)


class ImageRefused(MalariaDetectError):  # noqa: N818 - a refusal is one of two proper answers
    """The picture cannot be used; the message says what came and what was wanted."""


def read_image(source: ImageSource) -> Image.Image:
    """Read a picture of a cell as 8-bit RGB.

    Parameters
    ----------
    source : path, bytes, PIL image or numpy array
        A file of at most `MAX_BYTES` in one of `FORMATS`, by path or as bytes (its content counts, not its name);
        a PIL image; or a uint8 array of shape (height, width) grey, (height, width, 3) RGB or
        (height, width, 4) RGBA.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, at least `MIN_SIDE` px a side and at most `MAX_PIXELS` in all, turned as the EXIF orientation
        says, transparent parts over black (as the training cells are), 16-bit values scaled to 8 bit over their
        whole range. It carries no metadata and shares nothing with `source`.

    Raises
    ------
    ImageRefused
        Where the picture is missing, of another format, damaged, animated, of several pages, too large or too
        small. The message is one sentence that says what came and what was wanted.

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
        return _read_bytes(_bytes_of_file(Path(source)))
    raise ImageRefused(
        f"This is a Python {type(source).__name__}; "
        "wanted is a picture of one cell as a path, bytes, a PIL image or a uint8 array."
    )


def size_warnings(width: int, height: int) -> tuple[str, ...]:
    """Say where a picture's size differs from that of the cells the model has learned from.

    Parameters
    ----------
    width, height : int
        In px.

    Returns
    -------
    tuple of str
        One sentence for each uncertainty; empty for sides that the training cells have (`TRAINED_SIDES`).

    Examples
    --------
    >>> size_warnings(130, 128)
    ()
    >>> len(size_warnings(1280, 960))
    1
    """
    shortest, longest = TRAINED_SIDES
    learned = f"the model has learned from single cells of {shortest} to {longest} px a side"
    sentences = []
    if max(width, height) > longest:
        sentences.append(
            f"This picture is large ({width} x {height} px), and {learned}: "
            "if it shows a whole field, cut out one cell at a time."
        )
    if min(width, height) < shortest:
        sentences.append(
            f"This picture is small ({width} x {height} px), and {learned}: the answer may not hold for it."
        )
    return tuple(sentences)


def _bytes_of_file(path: Path) -> bytes:
    # repr() keeps a name with line breaks in one line.
    name = repr(str(path))
    try:
        if path.is_dir():
            raise ImageRefused(f"{name} is a folder; wanted is {_WANTED}.")
        if not path.is_file():
            raise ImageRefused(f"There is no file {name}; wanted is {_WANTED}.")
        with path.open("rb") as file:
            _check_bytes(os.fstat(file.fileno()).st_size)
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ImageRefused(
            f"The file {name} cannot be opened ({error.strerror}); wanted is {_WANTED}."
        ) from error


def _check_bytes(size: int) -> None:
    if size == 0:
        raise ImageRefused(f"The file is empty; wanted is {_WANTED}.")
    if size > MAX_BYTES:
        megabytes = math.ceil(10 * size / 2**20) / 10
        raise ImageRefused(
            f"The file has {megabytes} MB; wanted are at most {MAX_BYTES // 2**20} MB: cut out the cell."
        )


def _read_bytes(data: bytes) -> Image.Image:
    try:
        # Image.open reads the header only.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.format in ("JPEG", "MPO") and data.count(_JPEG_SCAN) > _MAX_JPEG_SCANS:
                raise ImageRefused(
                    f"The JPEG picture is built of more than {_MAX_JPEG_SCANS} layers; "
                    "wanted is an ordinary one: save it again."
                )
            return _as_rgb(image)
    # The warning is an exception only where the caller has made it one.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels("an absurd number of pixels") from error
    except UnidentifiedImageError as error:
        raise ImageRefused(f"This is {_kind(data)}; wanted is {_WANTED}.") from error
    except _DAMAGE as error:
        raise _damaged() from error


def _as_rgb(image: Image.Image) -> Image.Image:
    """RGB copy of an image, which need not be decoded yet; all checks of the content stand here."""
    _check_size(image.width, image.height)
    # A phone's MPO is a JPEG whose further pictures are previews or depth maps.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ImageRefused(
            f"The {image.format} file holds several pictures (pages or an animation); "
            "wanted is a single one: save the cell as a file of its own."
        )
    if image.mode not in _MODES and not image.mode.startswith("I;16"):
        raise ImageRefused(
            f"The pixels of this picture are of the kind {image.mode!r} (for example 32-bit numbers); "
            "wanted are grey or colours of 8 or 16 bits each."
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
    wanted = "wanted is uint8 of shape (height, width), (height, width, 3) or (height, width, 4)"
    if array.dtype != np.uint8:
        raise ImageRefused(f"The array is of {array.dtype}; {wanted}.")
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageRefused(f"The array has the shape {array.shape}; {wanted}.")
    _check_size(array.shape[1], array.shape[0])
    return Image.fromarray(array)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(f"{width} x {height} px ({width * height / 1e6:.1f} million in all)")
    if max(width, height) > MAX_SIDE:
        raise ImageRefused(
            f"The picture is {width} x {height} px; wanted are at most {MAX_SIDE:,} px a side: cut out the cell."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageRefused(
            f"The picture is {width} x {height} px; wanted are at least {MIN_SIDE} px a side to see a cell."
        )


def _too_many_pixels(size: str) -> ImageRefused:
    return ImageRefused(
        f"The picture has {size}; wanted are at most {MAX_PIXELS // 1_000_000} million: cut out the cell."
    )


def _damaged() -> ImageRefused:
    return ImageRefused("The picture is damaged or cut off; wanted is a whole one: copy it or save it again.")


def _kind(data: bytes) -> str:
    """Name a file that is no picture of an accepted format, with its article."""
    start = data[:1024]
    if start[4:8] == b"ftyp":
        if start[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
            return "an HEIC photo (save it as JPEG)"
        return "an AVIF picture (save it as PNG)" if start[8:12] in (b"avif", b"avis") else "a film"
    if b"%PDF-" in start:
        return "a PDF document"
    if b"<svg" in start.lower():
        return "an SVG drawing"
    if start[128:132] == b"DICM":
        return "a DICOM file (save it as PNG)"
    if start.startswith((b"\x89PNG", b"\xff\xd8", b"II*\0", b"MM\0*", b"BM", b"RIFF", b"GIF8")):
        return "a picture whose beginning is damaged or cut off"
    # All control characters but tab and line ends, none of which a text holds.
    if not set(start) & (set(range(32)) - set(b"\t\n\r\f")):
        return "a text"
    return "a file of an unknown kind"
