"""Images that are read: the pixels of every kind of file, and what is independent of the kind."""

import gc
import io
import os
import random
import struct
import warnings
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
from tests.data.image_files import COLOURS, PICTURE, chunk, cut_off, encoded, png

GREY = COLOURS[:, :, 0]
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


def turned(orientation: int, kind: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PICTURE.transpose(ORIENTATIONS[orientation]), kind, exif=exif, **options)


def deep_png(values: np.ndarray, extra: bytes = b"") -> bytes:
    """A PNG with 16 bits a value, which Pillow can write only in grey."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    height, width = values.shape[:2]
    return png(width, height, rows, depth=16, colour=2 if values.ndim == 3 else 0, extra=extra)


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


FADED = np.round(COLOURS * (128 / 255))
WITHOUT_WHITE = np.where((COLOURS == 255).all(axis=2, keepdims=True), 0, COLOURS)
BLACK_AND_WHITE = np.asarray(PICTURE.convert("1"))
HALF_CLEAR = Image.fromarray(np.dstack([COLOURS, HALF]))
GREY_HALF_CLEAR = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(HALF)])
PALETTE = PICTURE.quantize(8)
WHITE_IN_PALETTE = PALETTE.getpixel((0, 40))
GOOD: dict[str, Any] = {"quality": 95, "subsampling": 0}
PHONE: dict[str, Any] = {"save_all": True, "append_images": [PICTURE.rotate(180)], **GOOD}
INK = Image.merge(
    "CMYK", [Image.new("L", PICTURE.size, cyan) for cyan in (255, 0, 0)] + [Image.fromarray(GREY)]
)
INKED = rgb(255 - GREY) * [0, 1, 1]
BIG_ENDIAN = Image.frombytes("I;16B", PICTURE.size, DEEP.astype(">u2").tobytes())
ONE_CLEAR_GREY = chunk(b"tRNS", struct.pack(">H", 65535))
DEEP_RGB = COLOURS.astype(np.uint16) * 257
CLEAR_RGB = chunk(b"tRNS", DEEP_RGB[0, 0].astype(">u2").tobytes())
LOW_BYTES = chunk(b"tRNS", (COLOURS[0, 0] + np.uint16(0x1200)).astype(">u2").tobytes())
CLEARED = np.where((COLOURS[0, 0] == COLOURS).all(axis=2, keepdims=True), 0, COLOURS)

ACCEPTED: dict[str, tuple[bytes, np.ndarray, int]] = {  # file, expected pixels, tolerance
    "RGB PNG": (encoded(PICTURE, "PNG"), COLOURS, 0),
    "grey PNG": (encoded(Image.fromarray(GREY), "PNG"), rgb(GREY), 0),
    "black and white PNG": (encoded(Image.fromarray(BLACK_AND_WHITE), "PNG"), rgb(BLACK_AND_WHITE * 255), 0),
    "palette PNG": (encoded(PALETTE, "PNG"), COLOURS, 0),
    "palette PNG, one clear": (encoded(PALETTE, "PNG", transparency=WHITE_IN_PALETTE), WITHOUT_WHITE, 0),
    "palette PNG, half-clear colours": (encoded(PALETTE, "PNG", transparency=bytes([128] * 8)), FADED, 1),
    "RGB PNG, one clear colour": (encoded(PICTURE, "PNG", transparency=(255, 255, 255)), WITHOUT_WHITE, 0),
    "RGBA PNG": (encoded(HALF_CLEAR, "PNG"), FADED, 1),
    "grey PNG with alpha": (encoded(GREY_HALF_CLEAR, "PNG"), np.round(rgb(GREY) * (128 / 255)), 1),
    "16-bit grey PNG": (encoded(Image.fromarray(DEEP), "PNG"), rgb(DEEP_AS_8_BIT), 0),
    "16-bit PNG, one clear": (deep_png(DEEP, ONE_CLEAR_GREY), rgb(DEEP_AS_8_BIT * (DEEP < 65535)), 0),
    "16-bit RGB PNG, one clear colour": (deep_png(DEEP_RGB, CLEAR_RGB), CLEARED, 0),
    "16-bit RGB PNG, no pixel clear": (deep_png(DEEP_RGB, LOW_BYTES), COLOURS, 0),
    # Pillow takes the upper byte of colours, which differs from rounding by one at most.
    "16-bit RGB PNG": (deep_png(rgb(DEEP)), rgb(DEEP_AS_8_BIT), 1),
    "16-bit grey TIFF": (encoded(Image.fromarray(DEEP), "TIFF"), rgb(DEEP_AS_8_BIT), 0),
    "16-bit grey TIFF, big-endian": (encoded(BIG_ENDIAN, "TIFF"), rgb(DEEP_AS_8_BIT), 0),
    "JPEG": (encoded(PICTURE, "JPEG", **GOOD), COLOURS, 6),
    "progressive JPEG": (encoded(PICTURE, "JPEG", **GOOD, progressive=True), COLOURS, 6),
    "grey JPEG": (encoded(Image.fromarray(GREY), "JPEG", quality=95), rgb(GREY), 4),
    "CMYK JPEG": (encoded(PICTURE.convert("CMYK"), "JPEG", quality=95), COLOURS, 4),
    "CMYK JPEG with black ink": (encoded(INK, "JPEG", quality=95), INKED, 4),
    "MPO of a phone": (encoded(PICTURE, "MPO", **PHONE), COLOURS, 6),
    "TIFF": (encoded(PICTURE, "TIFF"), COLOURS, 0),
    "TIFF, LZW": (encoded(PICTURE, "TIFF", compression="tiff_lzw"), COLOURS, 0),
    "TIFF, deflate": (encoded(PICTURE, "TIFF", compression="tiff_deflate"), COLOURS, 0),
    "TIFF with alpha": (encoded(HALF_CLEAR, "TIFF"), FADED, 1),
    "BMP": (encoded(PICTURE, "BMP"), COLOURS, 0),
    "palette BMP": (encoded(PALETTE, "BMP"), COLOURS, 0),
    "WebP": (encoded(PICTURE, "WEBP", lossless=True), COLOURS, 0),
    "WebP with alpha": (encoded(HALF_CLEAR, "WEBP", lossless=True), FADED, 1),
    "GIF": (encoded(PALETTE, "GIF"), COLOURS, 0),
}
for tag in ORIENTATIONS:
    ACCEPTED[f"JPEG, EXIF orientation {tag}"] = (turned(tag, "JPEG", **GOOD), COLOURS, 6)
    ACCEPTED[f"PNG, EXIF orientation {tag}"] = (turned(tag, "PNG"), COLOURS, 0)
    ACCEPTED[f"TIFF, EXIF orientation {tag}"] = (turned(tag, "TIFF", compression="tiff_lzw"), COLOURS, 0)


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


def test_the_limits_themselves_are_allowed() -> None:
    ramp = Image.linear_gradient("L").resize((5000, MAX_PIXELS // 5000))
    assert read_image(encoded(ramp, "PNG")).size == (5000, 5000)
    assert read_image(encoded(PICTURE, "PNG").ljust(MAX_BYTES, b"\0")).size == PICTURE.size


@pytest.mark.parametrize(
    "name",
    ["two words.png", "клетка 細胞 é", "<img src=x onerror=alert(1)>.png", "cell.jpg", "50%.png", "a\nb.png"],
)
def test_any_file_name_will_do(name: str, tmp_path: Path) -> None:
    if os.name == "nt" and set(name) & set("<>\n"):
        pytest.skip("Windows has no such names")
    (tmp_path / name).write_bytes(encoded(PICTURE, "PNG"))
    assert read_image(tmp_path / name).tobytes() == COLOURS.tobytes()


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(16, 40), st.integers(16, 40)).flatmap(
            lambda size: st.sampled_from([size, (*size, 3), (*size, 4)])
        ),
    )
)
@settings(max_examples=50)
def test_array_keeps_its_values(array: np.ndarray) -> None:
    # Below a ramp, so that the picture is neither blank nor dark.
    ramp = np.arange(0, 256, 16, dtype=np.uint8).reshape(16, *[1] * (array.ndim - 1))
    array = np.concatenate([np.broadcast_to(np.maximum(ramp, 160), (16, *array.shape[1:])), array])
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


def test_result_and_source_are_independent_and_the_result_carries_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "patient's name", 6
    stored = encoded(PICTURE, "JPEG", exif=exif, comment="name", dpi=(72, 72))
    with Image.open(io.BytesIO(stored)) as opened:
        image = read_image(opened)
        before = image.tobytes()
        assert (opened.size, opened.getexif()[0x0112]) == (PICTURE.size, 6)
        opened.paste("white", (0, 0, 32, 48))
    assert image.info == {}
    assert not image.getexif()
    assert image.tobytes() == before


def test_no_file_stays_open(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(encoded(PICTURE, "PNG"))
    bad.write_bytes(cut_off("PNG", 75))
    gc.collect()  # what other tests have left open
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_image(good)
        with pytest.raises(ImageRefused):
            read_image(bad)
        gc.collect()
    assert not [warning for warning in caught if issubclass(warning.category, ResourceWarning)]


@given(st.binary(max_size=400))
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


@pytest.mark.parametrize(
    ("size", "warned"),
    [(TRAINED_SIDES, 0), ((130, 130), 0), ((394, 394), 0), ((1280, 960), 1), ((39, 50), 1), ((395, 20), 2)],
)
def test_sizes_outside_of_the_training_cells_are_warned_about(size: tuple[int, int], warned: int) -> None:
    assert len(size_warnings(*size)) == warned
