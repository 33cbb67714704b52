"""Reading images: real files of all kinds, good and bad, are made here and read."""

import gc
import io
import os
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from malaria_detect.data.images import (
    MAX_BYTES,
    MAX_PIXELS,
    MIN_SIDE,
    TRAINED_SIDES,
    ImageRefused,
    read_image,
    size_warnings,
)

# Six blocks of 16 x 16 px, no two alike, so that every turn, flip and channel swap shows.
BLOCKS = np.array(
    [[[200, 30, 40], [20, 180, 60]], [[10, 50, 220], [250, 240, 20]], [[255, 255, 255], [0, 0, 0]]], np.uint8
)
COLOURS = BLOCKS.repeat(16, axis=0).repeat(16, axis=1)  # 32 px wide, 48 px high
GREY = COLOURS[:, :, 0]
PICTURE = Image.fromarray(COLOURS)
HALF = np.full(GREY.shape, 128, np.uint8)

# 300 is where clipping at 255 would show; 32,768 is the middle.
DEEP = np.array([[0, 300], [32768, 65535], [257 * 77, 128]], np.uint16).repeat(16, axis=0).repeat(16, axis=1)
DEEP_AS_8_BIT = np.array([[0, 1], [128, 255], [77, 0]], np.uint8).repeat(16, axis=0).repeat(16, axis=1)

ORIENTATIONS = {  # EXIF tag -> how the stored picture was turned away from the upright one
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PICTURE.transpose(ORIENTATIONS[orientation]), kind, exif=exif, **options)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    width: int,
    height: int,
    rows: bytes,
    depth: int = 8,
    colour: int = 0,
    extra: bytes = b"",
    late: bytes = b"",
) -> bytes:
    """A PNG by hand: `colour` 0 is grey, 2 RGB; `extra` chunks come before the pixels, `late` ones after."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + late + chunk(b"IEND", b"")


def deep_png(values: np.ndarray, extra: bytes = b"") -> bytes:
    """A PNG with 16 bits a value, which Pillow can write only in grey."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(
        values.shape[1], values.shape[0], rows, depth=16, colour=2 if values.ndim == 3 else 0, extra=extra
    )


def grey_png(extra: bytes = b"", late: bytes = b"") -> bytes:
    return png(20, 20, bytes(21 * 20), extra=extra, late=late)


def cut_off(kind: str, percent: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    return whole[: len(whole) * percent // 100]


def many_scans() -> bytes:
    """A progressive JPEG whose last scan stands in it a thousand times."""
    plain = encoded(PICTURE.convert("L"), "JPEG", progressive=True)
    last = plain[plain.rindex(b"\xff\xda") : -2]
    return plain[:-2] + last * 1000 + plain[-2:]


def header_only(kind: bytes) -> bytes:
    """The first bytes of an ISO media file of the given brand."""
    return struct.pack(">I", 24) + b"ftyp" + kind + bytes(4) + b"mif1" + kind + bytes(400)


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


def without_white() -> np.ndarray:
    changed = COLOURS.copy()
    changed[32:, :16] = 0
    return changed


def pages(kind: str) -> bytes:
    return encoded(PICTURE, kind, save_all=True, append_images=[PICTURE.rotate(180)])


FADED = np.round(COLOURS * (128 / 255))
HALF_CLEAR = Image.fromarray(np.dstack([COLOURS, HALF]))
PALETTE = PICTURE.quantize(8)
GOOD: dict[str, Any] = {"quality": 95, "subsampling": 0}
INK = Image.new("CMYK", PICTURE.size, (255, 0, 0, 128))
BIG_ENDIAN = Image.frombytes("I;16B", PICTURE.size, DEEP.astype(">u2").tobytes())

ACCEPTED: dict[str, tuple[bytes, np.ndarray, int]] = {  # file, expected pixels, tolerance
    "RGB PNG": (encoded(PICTURE, "PNG"), COLOURS, 0),
    "grey PNG": (encoded(Image.fromarray(GREY), "PNG"), rgb(GREY), 0),
    "black and white PNG": (
        encoded(Image.fromarray(GREY > 128), "PNG"),
        rgb(np.where(GREY > 128, 255, 0)),
        0,
    ),
    "palette PNG": (encoded(PALETTE, "PNG"), COLOURS, 0),
    "palette PNG, one clear colour": (
        encoded(PALETTE, "PNG", transparency=PALETTE.getpixel((0, 40))),
        without_white(),
        0,
    ),
    "palette PNG, half-clear colours": (encoded(PALETTE, "PNG", transparency=bytes([128] * 8)), FADED, 1),
    "RGB PNG, one clear colour": (encoded(PICTURE, "PNG", transparency=(255, 255, 255)), without_white(), 0),
    "RGBA PNG": (encoded(HALF_CLEAR, "PNG"), FADED, 1),
    "RGBA PNG, all clear": (encoded(Image.fromarray(np.dstack([COLOURS, HALF * 0])), "PNG"), COLOURS * 0, 0),
    "grey PNG with alpha": (
        encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(HALF)]), "PNG"),
        np.round(rgb(GREY) * (128 / 255)),
        1,
    ),
    "16-bit grey PNG": (encoded(Image.fromarray(DEEP), "PNG"), rgb(DEEP_AS_8_BIT), 0),
    "16-bit grey PNG, one clear grey": (
        deep_png(DEEP, chunk(b"tRNS", struct.pack(">H", 65535))),
        rgb(np.where(DEEP == 65535, 0, DEEP_AS_8_BIT)),
        0,
    ),
    # Pillow takes the upper byte of colours, which differs from rounding by one at most.
    "16-bit RGB PNG": (deep_png(rgb(DEEP)), rgb(DEEP_AS_8_BIT), 1),
    "16-bit grey TIFF": (encoded(Image.fromarray(DEEP), "TIFF"), rgb(DEEP_AS_8_BIT), 0),
    "16-bit grey TIFF, big-endian": (encoded(BIG_ENDIAN, "TIFF"), rgb(DEEP_AS_8_BIT), 0),
    "JPEG": (encoded(PICTURE, "JPEG", **GOOD), COLOURS, 6),
    "progressive JPEG": (encoded(PICTURE, "JPEG", **GOOD, progressive=True), COLOURS, 6),
    "grey JPEG": (encoded(Image.fromarray(GREY), "JPEG", quality=95), rgb(GREY), 4),
    "CMYK JPEG": (encoded(PICTURE.convert("CMYK"), "JPEG", quality=95), COLOURS, 4),
    "CMYK JPEG with black ink": (
        encoded(INK, "JPEG", quality=95),
        COLOURS * 0 + np.array([0, 127, 127], np.uint8),
        4,
    ),
    "MPO of a phone": (
        encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)], **GOOD),
        COLOURS,
        6,
    ),
    "TIFF": (encoded(PICTURE, "TIFF"), COLOURS, 0),
    "TIFF, LZW": (encoded(PICTURE, "TIFF", compression="tiff_lzw"), COLOURS, 0),
    "TIFF, deflate": (encoded(PICTURE, "TIFF", compression="tiff_deflate"), COLOURS, 0),
    "TIFF with alpha": (encoded(HALF_CLEAR, "TIFF"), FADED, 1),
    "BMP": (encoded(PICTURE, "BMP"), COLOURS, 0),
    "palette BMP": (encoded(PALETTE, "BMP"), COLOURS, 0),
    "WebP": (encoded(PICTURE, "WEBP", lossless=True), COLOURS, 0),
    "WebP with alpha": (encoded(HALF_CLEAR, "WEBP", lossless=True), FADED, 1),
    "GIF": (encoded(PALETTE, "GIF"), COLOURS, 0),
    **{
        f"{kind}, EXIF orientation {orientation}": (turned(orientation, kind, **options), COLOURS, tolerance)
        for orientation in ORIENTATIONS
        for kind, options, tolerance in (
            ("JPEG", GOOD, 6),
            ("PNG", {}, 0),
            ("TIFF", {"compression": "tiff_lzw"}, 0),
        )
    },
}


def bomb(name: bytes, start: bytes) -> bytes:
    return chunk(name, start + zlib.compress(bytes(50_000_000)))


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "text": (lambda: b"cells, counted on Monday\n", "unknown_format"),
    "SVG": (lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "unknown_format"),
    "PDF": (lambda: encoded(PICTURE, "PDF"), "unknown_format"),
    "HEIC": (lambda: header_only(b"heic"), "unknown_format"),
    "AVIF": (lambda: header_only(b"avif"), "unknown_format"),
    "video": (lambda: header_only(b"isom"), "unknown_format"),
    "DICOM": (lambda: bytes(128) + b"DICM" + bytes(300), "unknown_format"),
    "JPEG 2000": (lambda: b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 " + bytes(200), "unknown_format"),
    "noise": (lambda: random.Random(0).randbytes(2000), "unknown_format"),
    "PNG cut off in its header": (lambda: encoded(PICTURE, "PNG")[:12], "unknown_format"),
    "JPEG cut off in its header": (lambda: encoded(PICTURE, "JPEG")[:20], "unknown_format"),
    "PNG with a wrong checksum": (
        lambda: encoded(PICTURE, "PNG").replace(b"IDAT", b"IDAT\xff", 1),
        "damaged",
    ),
    "header bomb PNG": (lambda: png(30_000, 30_000, b""), "too_large"),
    "header bomb GIF": (
        lambda: b"GIF89a" + struct.pack("<HHBBB", 30_000, 30_000, 0, 0, 0) + b"," + bytes(40),
        "too_large",
    ),
    "26 megapixels": (lambda: encoded(Image.new("L", (5200, 5000)), "PNG"), "too_large"),
    # The pixels are missing but the size is refused: the header was checked before they were read.
    "long and thin": (lambda: png(20_000, 1_000, b""), "too_large"),
    "one row too many": (lambda: png(5000, MAX_PIXELS // 5000 + 1, b""), "too_large"),
    "1 x 1": (lambda: encoded(Image.new("RGB", (1, 1)), "PNG"), "too_small"),
    "one side too short": (lambda: encoded(Image.new("RGB", (300, 15)), "JPEG"), "too_small"),
    "animated GIF": (lambda: pages("GIF"), "several_images"),
    "animated PNG": (lambda: pages("PNG"), "several_images"),
    "animated WebP": (lambda: pages("WEBP"), "several_images"),
    "TIFF of two pages": (lambda: pages("TIFF"), "several_images"),
    "TIFF of 32-bit numbers": (lambda: encoded(Image.new("F", (20, 20)), "TIFF"), "unsupported_pixels"),
    "one byte too many": (lambda: encoded(PICTURE, "PNG").ljust(MAX_BYTES + 1, b"\0"), "too_large"),
    "JPEG of a thousand scans": (many_scans, "damaged"),
    "text bomb before the pixels": (lambda: grey_png(extra=bomb(b"zTXt", b"Comment\0\0")), "damaged"),
    "text bomb after the pixels": (lambda: grey_png(late=bomb(b"zTXt", b"Comment\0\0")), "damaged"),
    "colour profile bomb": (lambda: grey_png(extra=bomb(b"iCCP", b"profile\0\0")), "damaged"),
    **{
        f"{kind} cut off at {percent} %": (partial(cut_off, kind, percent), "damaged")
        for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF")
        for percent in (50, 95)
    },
}


def refusal(source: Any) -> ImageRefused:
    with pytest.raises(ImageRefused) as refused:
        read_image(source)
    assert "\n" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(("data", "expected", "tolerance"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_images_have_the_right_pixels_from_every_source(
    data: bytes, expected: np.ndarray, tolerance: int, tmp_path: Path
) -> None:
    image = read_image(data)
    assert image.mode == "RGB"
    pixels = np.asarray(image, dtype=int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= tolerance
    path = tmp_path / "cell"
    path.write_bytes(data)
    with Image.open(io.BytesIO(data)) as opened:
        for source in (path, str(path), memoryview(data), opened, image):
            assert read_image(source).tobytes() == image.tobytes()


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_bad_files_are_refused_with_a_reason(make: Callable[[], bytes], reason: str, tmp_path: Path) -> None:
    data, path = make(), tmp_path / "cell.png"
    path.write_bytes(data)
    from_bytes, from_file = refusal(data), refusal(path)
    assert (from_bytes.reason, str(from_file)) == (reason, str(from_bytes))


def test_refusals_say_what_the_file_is_and_what_to_do() -> None:
    assert str(refusal(header_only(b"heic"))) == (
        "This is an HEIC photo (save it as JPEG). Use a PNG, JPEG, TIFF, BMP, WebP or GIF image of one cell."
    )
    assert str(refusal(encoded(PICTURE, "PNG").ljust(MAX_BYTES + 1, b"\0"))) == (
        "The file is 5.1 MB; the limit is 5 MB. Crop the image to one cell."
    )


@pytest.mark.parametrize("action", ["ignore", "error"])
def test_large_images_are_refused_whatever_the_filter_of_warnings(action: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        assert refusal(png(10_000, 10_000, b"")).reason == "too_large"


def test_the_limits_themselves_are_allowed() -> None:
    assert read_image(encoded(Image.new("1", (5000, MAX_PIXELS // 5000)), "PNG")).size == (5000, 5000)
    assert read_image(encoded(PICTURE, "PNG").ljust(MAX_BYTES, b"\0")).size == PICTURE.size


@pytest.mark.parametrize(
    "name",
    ["two words.png", "клетка 細胞 é", "<img src=x onerror=alert(1)>.png", "cell.jpg", "50%.png", "a\nb.png"],
)
def test_any_file_name_will_do(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(PICTURE, "PNG"))
    assert read_image(tmp_path / name).tobytes() == COLOURS.tobytes()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.png", "no_file"),
        ("two\nlines.png", "no_file"),
        ("zero\0.png", "no_file"),
        ("pipe.png", "no_file"),
        (".", "no_file"),
        ("long" * 100, "unreadable"),
    ],
)
def test_a_path_without_a_readable_file_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    if name == "pipe.png":
        if os.name == "nt":
            pytest.skip("Windows has no named pipes in folders")
        os.mkfifo(tmp_path / name)
    assert refusal(tmp_path / name).reason == reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "unsupported_type"),
        (1.5, "unsupported_type"),
        (["cell.png"], "unsupported_type"),
        (np.zeros((20, 20, 3), np.float32), "unsupported_pixels"),
        (np.zeros((20, 20), bool), "unsupported_pixels"),
        (np.zeros(20, np.uint8), "unsupported_pixels"),
        (np.zeros((20, 20, 2), np.uint8), "unsupported_pixels"),
        (np.zeros((3, 20, 20), np.uint8), "unsupported_pixels"),
        (np.zeros((1, 20, 20, 3), np.uint8), "unsupported_pixels"),
        (Image.new("F", (20, 20)), "unsupported_pixels"),
        (Image.new("I", (20, 20)), "unsupported_pixels"),
        (np.zeros((0, 0), np.uint8), "too_small"),
        (np.zeros((20, 15, 3), np.uint8), "too_small"),
        (Image.new("RGB", (1, 1)), "too_small"),
        # A view that repeats one value: 26 million pixels that take no memory.
        (np.broadcast_to(np.uint8(0), (5000, 5200)), "too_large"),
        (Image.new("1", (5200, 5000)), "too_large"),
    ],
)
def test_other_sources_pass_the_same_checks(source: Any, reason: str) -> None:
    assert refusal(source).reason == reason


@pytest.mark.parametrize(
    ("data", "reason"), [(pages("GIF"), "several_images"), (cut_off("JPEG", 75), "damaged")]
)
def test_opened_images_pass_the_same_checks(data: bytes, reason: str) -> None:
    with Image.open(io.BytesIO(data)) as opened:
        assert refusal(opened).reason == reason


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(16, 40), st.integers(16, 40)).flatmap(
            lambda size: st.sampled_from([size, (*size, 3), (*size, 4)])
        ),
    )
)
@settings(max_examples=50, deadline=None)
def test_array_keeps_its_values(array: np.ndarray) -> None:
    pixels = np.asarray(read_image(array), dtype=int)
    if array.ndim == 2:
        assert np.array_equal(pixels, rgb(array))
    elif array.shape[2] == 3:
        assert np.array_equal(pixels, array)
    else:
        over_black = array[..., :3] * (array[..., 3:] / 255)
        assert np.abs(pixels - over_black).max() <= 1


def test_array_need_not_be_contiguous() -> None:
    view = COLOURS[::-1, ::2, ::-1]
    assert read_image(view).tobytes() == view.tobytes()


def test_result_is_independent_of_the_source_and_carries_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "patient's name"
    with Image.open(io.BytesIO(encoded(PICTURE, "JPEG", exif=exif, comment="name", dpi=(72, 72)))) as opened:
        image = read_image(opened)
        before = image.tobytes()
        opened.paste("white", (0, 0, 32, 48))
    assert image.info == {}
    assert not image.getexif()
    assert image.tobytes() == before


def test_source_image_is_left_as_it_was() -> None:
    with Image.open(io.BytesIO(turned(6, "PNG"))) as opened:
        read_image(opened)
        assert opened.size == (48, 32)
        assert opened.getexif()[0x0112] == 6


def test_no_file_stays_open(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(encoded(PICTURE, "PNG"))
    bad.write_bytes(cut_off("PNG", 75))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_image(good)
        with pytest.raises(ImageRefused):
            read_image(bad)
        gc.collect()
    assert not [warning for warning in caught if issubclass(warning.category, ResourceWarning)]


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refuse(data)


@pytest.mark.parametrize("seed", range(5))
def test_any_damaged_image_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    for whole, _, _ in ACCEPTED.values():
        data = bytearray(whole)
        for _ in range(rng.choice((1, 3, 10))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        read_or_refuse(bytes(data))
        read_or_refuse(bytes(data[: rng.randrange(len(data))]))


def read_or_refuse(data: bytes) -> None:
    try:
        image = read_image(data)
    except ImageRefused:
        return
    assert image.mode == "RGB"
    assert min(image.size) >= MIN_SIDE


def test_real_cell_is_unchanged(sample_cells: Path) -> None:
    path = min(sample_cells.rglob("*.png"))
    with Image.open(path) as opened:
        assert read_image(path).tobytes() == opened.convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("size", "warned"),
    [(TRAINED_SIDES, 0), ((130, 130), 0), ((394, 394), 0), ((1280, 960), 1), ((39, 50), 1), ((395, 20), 2)],
)
def test_sizes_outside_of_the_training_cells_are_warned_about(size: tuple[int, int], warned: int) -> None:
    assert len(size_warnings(*size)) == warned
