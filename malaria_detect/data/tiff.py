"""Reading TIFF files: the picture of a file as an 8-bit image, or a refusal.

Pillow misreads some layouts without an error: planes of 16 bits, 16-bit "white is zero", 10 to 14 bits, four samples.
So tags and samples are interpreted here, and all sizes are checked before anything is decompressed.
"""

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tag

from malaria_detect.data.image_checks import CELL, ImageRefused, PictureLimits, check_size, eight_bit
from malaria_detect.data.tiff_samples import DEFLATES, JPEG, LZW, NONE, PACK_BITS, ZSTD, read_samples
from malaria_detect.data.tiff_tags import Directory, full_page

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_UNSIGNED, _UNDEFINED = 1, 4
_UNASSOCIATED = 2
# Full brightness of the cameras and programs that store fewer bits in 16.
_RANGES = (255, 1023, 4095, 16383, 65535)
_OVERLAY_SHARE = 0.05


def read_tiff(data: bytes, limits: PictureLimits = CELL) -> Image.Image:
    """Picture of a TIFF file: mode L, LA, RGB or RGBA, with its orientation in the EXIF data.

    Grey, RGB, palette, CMYK and (in JPEG compression) YCbCr, of 1 to 16 bits, in strips or tiles, interleaved or in
    planes, uncompressed or compressed with LZW, deflate, PackBits, Zstandard or JPEG. Thumbnails, masks and reduced
    copies are skipped. 10 to 14 bits are scaled to 8 if BitsPerSample or MaxSampleValue name the range. A sample beyond
    the colours counts as transparency only if ExtraSamples says so, and is ignored otherwise.

    Parameters
    ----------
    data : bytes
        The file, which starts with one of :data:`malaria_detect.data.tiff_tags.SIGNATURES`.
    limits : PictureLimits

    Raises
    ------
    ImageRefused
        ``several_images``, ``unsupported_pixels``, ``damaged``, or because of size or brightness.
    LookupError, ValueError, OSError, ArithmeticError, struct.error
        If the file is damaged.
    """
    page = full_page(data)
    check_size(page.number(Tag.ImageWidth), page.number(Tag.ImageLength), limits)
    problem = _problem(page)
    if problem:
        raise ImageRefused(
            f"The pixels of this TIFF file are {problem}. Save it as RGB with 8 bits per channel.",
            reason="unsupported_pixels",
        )
    image = _image(read_samples(data, page, limits), page)
    image.getexif()[Tag.Orientation] = page.number(Tag.Orientation, 1)
    return image


def _problem(page: Directory) -> str:
    """What the pixels are, if it is not certain how to decode them."""
    photometric, samples = page.number(Tag.PhotometricInterpretation, -1), page.number(Tag.SamplesPerPixel, 1)
    compression, planar = page.number(Tag.Compression, NONE), page.number(Tag.PlanarConfiguration, 1)
    predictor = page.number(Tag.Predictor, 1)
    bits, formats = (
        set(page.values(tag).tolist()) if tag in page else {1}
        for tag in (Tag.BitsPerSample, Tag.SampleFormat)
    )
    separate = planar == 2
    horizontal = predictor == 2 and compression in (LZW, *DEFLATES, ZSTD) and bits <= {8, 16}
    problems = {
        "signed, floating-point or complex numbers": not formats <= {_UNSIGNED, _UNDEFINED},
        f"of {'/'.join(str(one) for one in sorted(bits))} bits": len(bits) != 1 or not 1 <= min(bits) <= 16,
        "neither grey, RGB, palette nor CMYK": (
            photometric not in _COLOURS or (photometric == _CMYK and page.number(Tag.InkSet, 1) != 1)
        ),
        f"of {samples} samples": not 0 <= samples - _COLOURS.get(photometric, samples) <= 1,
        f"compressed in an unsupported way ({compression})": (
            compression not in (NONE, LZW, JPEG, *DEFLATES, PACK_BITS, ZSTD)
            or (compression == JPEG and (bits != {8} or (samples not in _MODES and not separate)))
        ),
        "YCbCr without JPEG compression": (
            photometric == _YCBCR and (compression != JPEG or separate or samples != _COLOURS[_YCBCR])
        ),
        "in an unusual order": page.number(Tag.FillOrder, 1) != 1 or planar not in (1, 2),
        f"stored with an unsupported predictor ({predictor})": predictor != 1 and not horizontal,
    }
    return next((sentence for sentence, found in problems.items() if found), "")


def _image(values: np.ndarray, page: Directory) -> Image.Image:
    """Picture from stored values, (height, width, samples)."""
    photometric = page.number(Tag.PhotometricInterpretation)
    colours, extra = np.split(values, [_COLOURS[photometric]], axis=2)
    if photometric == _PALETTE:
        entries = page.values(Tag.ColorMap).reshape(3, -1).T
        # Some programs write 8-bit colours, against the specification.
        table = (entries >> 8 if entries.max() > 255 else entries).astype(np.uint8)
        image = Image.fromarray(table[colours[..., 0]])
    else:
        scaled = eight_bit(colours, _top(colours, page))
        if photometric == _WHITE_IS_ZERO:
            scaled = 255 - scaled
        bands = [Image.fromarray(scaled[..., band]) for band in range(scaled.shape[2])]
        image = Image.merge(_MODES[len(bands)], bands)
        if photometric == _CMYK:
            image = image.convert("RGB")
    # With associated transparency the colours already lie on black.
    if extra.size and page.number(Tag.ExtraSamples, 0) == _UNASSOCIATED:
        alpha = eight_bit(extra, _top(extra, page) or _RANGES[-1])
        image.putalpha(Image.fromarray(alpha[..., 0]))
    return image


def _top(values: np.ndarray, page: Directory) -> int | None:
    """The value that means full brightness; None if it is not known whether all of 16 bits are used."""
    bits = page.number(Tag.BitsPerSample, 1)
    ranges: tuple[int, ...] = _RANGES
    if bits <= 8:
        return int(2**bits - 1)
    if bits < 16:
        declared, ranges = 2**bits - 1, (2**bits - 1, *_RANGES)
    else:
        # It may also be the largest value in this picture, so the range above it counts.
        tags = [tag for tag in (Tag.MaxSampleValue, Tag.SMaxSampleValue) if tag in page]
        declared = max((int(page.values(tag).max()) for tag in tags), default=0)
        if declared < 1:
            return None
        if (declared + 1).bit_count() == 1 and declared > _RANGES[0]:
            ranges = (declared, *_RANGES)
    # Many values beyond what is declared prove it wrong; a few are a scale bar or a fault of the camera.
    beyond = np.count_nonzero(values > declared) > _OVERLAY_SHARE * np.count_nonzero(values)
    largest = int(values.max()) if beyond else declared
    top = next((one for one in ranges if one >= largest), _RANGES[-1])
    return top if top < _RANGES[-1] else None
