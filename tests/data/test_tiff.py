"""TIFF files: every layout has the right pixels, or is refused with a reason."""

import io
import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base as Tag

from benchmarks.tiff_files import CMYK, COMPRESSIONS, GREY, JPEG, PALETTE, RGB, WHITE_IS_ZERO, Page, tiff
from malaria_detect.data.images import ImageRefused, read_image
from tests.data.image_files import COLOURS, PICTURE, encoded
from tests.refused import refused

# 50 px high and 37 px wide, so that neither strips nor tiles fit; each pixel differs from its neighbours.
UNIT = np.clip(
    COLOURS.repeat(2, axis=1)[:, :37] / 255 + np.random.default_rng(0).uniform(-0.6, 0.6, (48, 37, 3)), 0, 1
)
UNIT = np.concatenate([UNIT, UNIT[:2]])
BLOCKS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rows": 7},
    "tiles": {"tile": (16, 32)},
    "one large tile": {"tile": (64, 48)},
}
PREDICTED = ("LZW", "deflate", "Zstandard")
ORDERS = ("<", ">")
TAGGED = pytest.mark.parametrize("tag", [Tag.MaxSampleValue, Tag.SMaxSampleValue])


def stored(bits: int, unit: np.ndarray = UNIT) -> np.ndarray:
    values: np.ndarray = np.round(unit * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    return values


def shown(values: np.ndarray, bits: int) -> np.ndarray:
    """8-bit RGB of stored grey or RGB values."""
    return np.floor(values * (255 / (2**bits - 1)) + 0.5).astype(int) + np.zeros(3, int)


def with_extra(values: np.ndarray, bits: int) -> np.ndarray:
    """Colours and a fourth sample that differs from pixel to pixel."""
    return np.concatenate([values, stored(bits, UNIT[::-1, ::-1, 1:2])], axis=2)


def check(data: bytes, expected: np.ndarray, tolerance: int = 0) -> None:
    pixels = np.asarray(read_image(data), int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= tolerance


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("planar", [False, True], ids=["interleaved", "planes"])
@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("bits", [8, 16])
def test_rgb_in_every_layout_has_the_right_pixels(
    bits: int, blocks: dict[str, Any], planar: bool, compression: str
) -> None:
    values = stored(bits)
    for predictor in (1, 2) if compression in PREDICTED else (1,):
        options: dict[str, Any] = {
            "planar": planar,
            "compression": COMPRESSIONS[compression],
            "predictor": predictor,
        }
        page = Page(values, bits=bits, **blocks, **options)
        for order, big in (("<", planar), (">", not planar)):
            check(tiff(page, order=order, big=big), shown(values, bits))


@pytest.mark.parametrize("compression", ["none", "LZW", "PackBits"])
@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("bits", [1, 4, 7, 10, 12, 14, 16])
def test_grey_of_any_bits_has_the_right_pixels_whichever_end_is_white(
    bits: int, blocks: dict[str, Any], compression: str
) -> None:
    values = stored(bits, UNIT[..., :1])
    for words, order in itertools.product((False, True) if 8 < bits < 16 else (False,), ORDERS):
        options: dict[str, Any] = {
            "bits": bits,
            "words": words,
            "compression": COMPRESSIONS[compression],
            **blocks,
        }
        check(tiff(Page(values, GREY, **options), order=order), shown(values, bits))
        check(tiff(Page(values, WHITE_IS_ZERO, **options), order=order), 255 - shown(values, bits))


@pytest.mark.parametrize("planar", [False, True], ids=["interleaved", "planes"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_fourth_sample_is_transparency_only_if_the_file_says_so(bits: int, planar: bool) -> None:
    values = with_extra(stored(bits), bits)
    colours, alpha = shown(values[..., :3], bits), shown(values[..., 3:], bits) / 255
    for extra, expected in {None: colours, 0: colours, 1: colours, 2: colours * alpha}.items():
        page = Page(values, bits=bits, planar=planar, rows=9, tags={Tag.ExtraSamples: extra})
        check(tiff(page), expected, tolerance=extra == 2)


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_has_the_pixels_of_pillows_conversion(bits: int) -> None:
    inks = with_extra(stored(bits), bits)
    bands = [Image.fromarray(shown(inks[..., [band]], bits)[..., 0].astype(np.uint8)) for band in range(4)]
    check(tiff(Page(inks, CMYK, bits=bits)), np.asarray(Image.merge("CMYK", bands).convert("RGB")))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("scale", [1, 256, 257], ids=["8-bit colours", "times 256", "times 257"])
def test_a_palette_of_any_convention_gives_its_colours(bits: int, scale: int) -> None:
    indices = stored(bits, UNIT[..., :1])
    colours = np.random.default_rng(1).integers(0, 256, (2**bits, 3))
    page = Page(indices, PALETTE, bits, rows=11, tags={Tag.ColorMap: (colours * scale).T.ravel()})
    check(tiff(page), colours[indices[..., 0]])


@pytest.mark.parametrize("blocks", [{}, {"rows": 16}, {"tile": (16, 16)}], ids=["strip", "strips", "tiles"])
def test_jpeg_in_a_tiff_has_the_right_pixels(blocks: dict[str, Any]) -> None:
    values, options = stored(8), {"compression": JPEG, **blocks}
    inks = with_extra(values, 8)
    for photometric in (6, RGB):
        # A JFIF file has YCbCr, even if the tag says RGB.
        check(tiff(Page(values, photometric, **options)), values, tolerance=4)
    check(tiff(Page(values, planar=True, **options)), values, tolerance=4)
    check(tiff(Page(values[..., :1], GREY, **options)), shown(values[..., :1], 8), tolerance=4)
    check(tiff(Page(values[..., :1], WHITE_IS_ZERO, **options)), 255 - shown(values[..., :1], 8), tolerance=4)
    check(encoded(PICTURE, "TIFF", compression="jpeg", quality=100), COLOURS, tolerance=90)
    assert read_image(tiff(Page(inks, CMYK, **options))).size == (37, 50)


@TAGGED
@pytest.mark.parametrize("photometric", [GREY, WHITE_IS_ZERO, RGB])
@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 13, 14, 15])
def test_the_largest_value_of_a_camera_may_be_declared(bits: int, photometric: int, tag: int) -> None:
    values = stored(bits).astype(np.uint16)[..., : 3 if photometric == RGB else 1]
    expected = 255 - shown(values, bits) if photometric == WHITE_IS_ZERO else shown(values, bits)
    # Usual ranges are also known by the largest value of the picture.
    for declared in (2**bits - 1, int(values.max()) - 9)[: 1 + (bits % 2 == 0)]:
        check(tiff(Page(values, photometric, 16, rows=5, tags={tag: declared})), expected)
    values[44:46, 2:32] = 65535  # a scale bar
    expected[44:46, 2:32] = 0 if photometric == WHITE_IS_ZERO else 255
    check(tiff(Page(values, photometric, 16, tags={tag: 2**bits - 1})), expected)


@TAGGED
def test_a_declared_largest_value_that_is_exceeded_is_not_believed(tag: int) -> None:
    check(tiff(Page(stored(16), bits=16, tags={tag: 4095})), shown(stored(16), 16))
    for nonsense in (0, 65535):
        with refused(ImageRefused, "too_dark"):
            read_image(tiff(Page(stored(12), bits=16, tags={tag: nonsense})))


@pytest.mark.parametrize("photometric", [GREY, WHITE_IS_ZERO, RGB])
@pytest.mark.parametrize("bits", [10, 12, 14, 15])
def test_fewer_bits_in_16_that_are_not_declared_are_refused(bits: int, photometric: int) -> None:
    values = stored(bits)[..., : 3 if photometric == RGB else 1]
    values[40:46, 2:32] = 65535  # a scale bar
    with refused(ImageRefused, "too_dark"):
        read_image(tiff(Page(values, photometric, 16)))


@pytest.mark.slow
def test_a_large_compressed_picture_is_no_bomb_to_pillow() -> None:
    ramp = np.linspace(0, 65535, 3400).astype(np.uint16)[:, None, None]
    page = Page(np.broadcast_to(ramp, (3400, 3400, 4)), bits=16, compression=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(np.asarray(read_image(tiff(page)))[:, 0], shown(ramp[:, 0], 16))


FULL, SMALL = stored(8), stored(8)[::2, ::2]
MASK = stored(1, UNIT[..., :1])
REDUCED = {"reduced": {Tag.NewSubfileType: 1}, "old reduced": {Tag.SubfileType: 2}}
ONE_PICTURE = {
    "a flag of several pages": tiff(Page(FULL, tags={Tag.NewSubfileType: 2})),
    "only a reduced page": tiff(Page(FULL, tags={Tag.NewSubfileType: 1})),
    "a mask": tiff(Page(FULL), Page(MASK, 4, 1, tags={Tag.NewSubfileType: 4})),
    "reduced in SubIFDs": tiff(Page(FULL), children=[Page(SMALL, tags=REDUCED["reduced"]), Page(SMALL[::2])]),
    "full in the SubIFDs of a thumbnail": tiff(Page(SMALL, tags=REDUCED["reduced"]), children=[Page(FULL)]),
    "ImageJ, one image": tiff(Page(FULL, tags={Tag.ImageDescription: b"ImageJ=1.54f\nimages=1\nunit=um\n"})),
    "OME, one image": tiff(
        Page(FULL, tags={Tag.ImageDescription: b'<OME><Pixels SizeC="3" SizeZ="1"/></OME>'})
    ),
    **{
        f"{kind} {'first' if first else 'last'}": tiff(*pages[:: -1 if first else 1])
        for kind, tags in REDUCED.items()
        for pages in [(Page(FULL), Page(SMALL, tags=tags), Page(SMALL[::2], tags=tags))]
        for first in (False, True)
    },
}


@pytest.mark.parametrize("data", ONE_PICTURE.values(), ids=ONE_PICTURE)
def test_the_full_picture_is_found_among_thumbnails_and_masks(data: bytes) -> None:
    check(data, FULL)


def test_a_file_opened_by_pillow_is_read_from_its_bytes_before_pillow_decodes_it() -> None:
    values = stored(16)
    file = io.BytesIO(tiff(Page(values, bits=16, planar=True)))
    with Image.open(file) as opened:
        assert np.array_equal(np.asarray(read_image(opened)), shown(values, 16))
        opened.load()
        with refused(ImageRefused, "unsupported_pixels"):
            read_image(opened)
    with Image.open(io.BytesIO(tiff(Page(FULL)))) as opened:
        opened.load()
        assert np.array_equal(np.asarray(read_image(opened)), FULL)
