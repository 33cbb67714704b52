"""Reading images: a path, bytes, a PIL image or an array becomes an RGB image, or is refused.

The package reads all images here, because they may come from anybody: size and header of a file are checked before a
pixel is decoded.
"""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from malaria_detect.data.image_checks import (
    CELL,
    FIELD,
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    MIN_SIDE,
    TRAINED_SIDES,
    ImageRefused,
    PictureLimits,
    check_bytes,
    check_content,
    check_range,
    check_size,
    damaged,
    eight_bit,
    size_warnings,
    too_large,
)
from malaria_detect.data.tiff import read_tiff
from malaria_detect.data.tiff_tags import SIGNATURES

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MIN_SIDE",
    "TRAINED_SIDES",
    "ImageRefused",
    "ImageSource",
    "as_png",
    "read_field",
    "read_image",
    "size_warnings",
]

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")

# A progressive JPEG has about ten scans; 5 MB can hold 100,000, which take a quarter of an hour.
_MAX_JPEG_SCANS = 200
_JPEG_SCAN = b"\xff\xda"

# Pillow's modes that become RGB without guessing their range; 16-bit grey ("I;16...") is one more.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV")

# What readers raise for truncated or broken files.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError),
    *(struct.error, zlib.error),
)


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
        EXIF orientation, transparent parts are black (as around the training cells), and values of more than 8 bits
        are scaled to 8 bits over the range of the file: 16 bits, or the fewer that a TIFF file names. It carries no
        metadata and shares no memory with `source`.

    Raises
    ------
    ImageRefused
        If the image is missing, of another format, damaged, animated, of several pages, too large, too small, blank or
        nearly black, or if its pixels cannot be decoded with certainty.

    Examples
    --------
    >>> ramp = np.arange(600, dtype=np.uint16).reshape(20, 30) // 3
    >>> read_image(ramp.astype(np.uint8)).getpixel((29, 19))
    (199, 199, 199)
    """
    return _read(source, CELL)


def read_field(source: ImageSource) -> Image.Image:
    """Photograph of a field as 8-bit RGB.

    As `read_image`, but a file may have 40 MB and 89 million pixels, and it is not rotated by its EXIF orientation:
    coordinates then fit those of ImageJ and QuPath.

    Examples
    --------
    >>> read_field(Image.radial_gradient("L").resize((5312, 2988))).size
    (5312, 2988)
    """
    return _read(source, FIELD)


def _read(source: ImageSource, limits: PictureLimits) -> Image.Image:
    if isinstance(source, ImageFile.ImageFile) and source.fp is None and source.tile:
        raise ImageRefused(
            "The image was closed before it was read. Open it again, or give its path.", reason="unreadable"
        )
    if isinstance(source, TiffImageFile):
        return _read_opened_tiff(source, limits)
    if isinstance(source, Image.Image):
        return _as_rgb(source, limits)
    if isinstance(source, np.ndarray):
        return _as_rgb(_image_of_array(source, limits), limits)
    if isinstance(source, bytes | bytearray | memoryview):
        check_bytes(memoryview(source).nbytes, limits)
        return _read_bytes(bytes(source), limits)
    if isinstance(source, str | os.PathLike):
        return _read_bytes(_bytes_of_file(Path(os.fsdecode(source)), limits), limits)
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


def _bytes_of_file(path: Path, limits: PictureLimits) -> bytes:
    # repr() keeps a name with line breaks in one line.
    name, use = repr(str(path)), _use(limits)
    try:
        if path.is_dir():
            raise ImageRefused(f"{name} is a folder. {use}", reason="no_file")
        if not path.is_file():
            raise ImageRefused(f"There is no file {name}. {use}", reason="no_file")
        with path.open("rb") as file:
            check_bytes(os.fstat(file.fileno()).st_size, limits)
            return file.read(limits.max_bytes)
    except OSError as error:
        raise ImageRefused(
            f"{name} cannot be opened ({error.strerror}). {use}", reason="unreadable"
        ) from error


def _read_opened_tiff(image: TiffImageFile, limits: PictureLimits) -> Image.Image:
    # Pillow has not decoded it yet: its file is read instead, from which Pillow gets some pixels wrong.
    if image.tile and image.fp is not None:
        image.fp.seek(0)
        data = image.fp.read(limits.max_bytes + 1)
        check_bytes(len(data), limits)
        return _read_bytes(data, limits)
    if image.mode not in ("L", "RGB", "P") or max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))) > 8:
        raise ImageRefused(
            "Pillow decodes some TIFF files of this kind wrongly. Pass the path or the bytes of the file.",
            reason="unsupported_pixels",
        )
    return _as_rgb(image, limits)


def _read_bytes(data: bytes, limits: PictureLimits) -> Image.Image:
    try:
        if data.startswith(SIGNATURES):
            return _as_rgb(read_tiff(data, limits), limits)
        # Image.open reads the header only.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.format in ("JPEG", "MPO") and data.count(_JPEG_SCAN) > _MAX_JPEG_SCANS:
                raise ImageRefused(
                    f"The JPEG file has more than {_MAX_JPEG_SCANS} scans. Save it again as an ordinary JPEG.",
                    reason="damaged",
                )
            return _as_rgb(image, limits)
    # The warning is only raised if the caller has made it an error.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(
            f"The image has more than {limits.max_pixels // 1_000_000} million pixels.", limits
        ) from error
    except UnidentifiedImageError as error:
        raise ImageRefused(f"This is {_kind(data)}. {_use(limits)}", reason="unknown_format") from error
    except _DAMAGE as error:
        raise damaged() from error


def _as_rgb(image: Image.Image, limits: PictureLimits) -> Image.Image:
    """RGB copy of an image, after all checks of its header and content."""
    check_size(image.width, image.height, limits)
    # The further images in the MPO of a phone are previews or depth maps.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ImageRefused(
            f"The {image.format} file has several pages or is animated. Save it as a single image.",
            reason="several_images",
        )
    if image.mode not in _MODES and not image.mode.startswith("I;16"):
        raise ImageRefused(
            f"The pixels of this image have the unsupported type {image.mode!r}. Save it with 8 bits per channel.",
            reason="unsupported_pixels",
        )
    try:
        # Pillow keeps the upper bytes of 16-bit colours.
        deep = [tile for tile in getattr(image, "tile", ()) if str(tile.args).endswith(";16B")]
        image.load()
        upright = ImageOps.exif_transpose(image) if limits.upright else image.copy()
        if deep and isinstance(upright.info.get("transparency"), tuple):
            # And both bytes of the one that is transparent.
            upright.info["transparency"] = tuple(value >> 8 for value in upright.info["transparency"])
        if upright.mode.startswith("I;16"):
            upright = _eight_bit_grey(upright)
        canvas = Image.new("RGB", upright.size, "black")
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            canvas.paste(upright, mask=upright)
        else:
            canvas.paste(upright)
    except _DAMAGE as error:
        raise damaged() from error
    if deep:
        check_range(np.asarray(canvas))
    check_content(canvas)
    return canvas


def _eight_bit_grey(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255.
    values = np.asarray(image, dtype=np.uint16)
    scaled = eight_bit(values)
    transparent = image.info.get("transparency")
    if transparent is not None:
        scaled[values == transparent] = 0
    return Image.fromarray(scaled)


def _image_of_array(array: np.ndarray, limits: PictureLimits) -> Image.Image:
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits:
        raise ImageRefused(
            f"The array is {array.dtype} of shape {array.shape}. "
            "Use uint8 of shape (height, width), (height, width, 3) or (height, width, 4).",
            reason="unsupported_pixels",
        )
    check_size(array.shape[1], array.shape[0], limits)
    return Image.fromarray(array)


def _use(limits: PictureLimits) -> str:
    return f"Use a PNG, JPEG, TIFF, BMP, WebP or GIF image of {limits.subject}."


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
