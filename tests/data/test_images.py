"""The door for pictures: files are really made here, good ones and bad ones, and go through it."""

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
    FORMATS,
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
    """A PNG by hand: `colour` 0 is grey, 2 RGB; `extra` chunks stand before the pixels, `late` ones behind."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + late
        + chunk(b"IEND", b"")
    )


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


def with_block(row: int, column: int, colour: tuple[int, int, int]) -> np.ndarray:
    changed = COLOURS.copy()
    changed[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = colour
    return changed


def pages(kind: str) -> bytes:
    return encoded(PICTURE, kind, save_all=True, append_images=[PICTURE.rotate(180)])


def with_alpha(alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([COLOURS, alpha]))


ACCEPTED: dict[str, tuple[Callable[[], bytes], np.ndarray, int]] = {  # file, pixels wanted, tolerance
    "RGB PNG": (lambda: encoded(PICTURE, "PNG"), COLOURS, 0),
    "grey PNG": (lambda: encoded(Image.fromarray(GREY), "PNG"), rgb(GREY), 0),
    "black and white PNG": (
        lambda: encoded(Image.fromarray(GREY > 128), "PNG"),
        rgb(np.where(GREY > 128, 255, 0)),
        0,
    ),
    "palette PNG": (lambda: encoded(PICTURE.quantize(8), "PNG"), COLOURS, 0),
    "palette PNG with one transparent colour": (
        lambda: encoded(PICTURE.quantize(8), "PNG", transparency=PICTURE.quantize(8).getpixel((0, 40))),
        with_block(2, 0, (0, 0, 0)),
        0,
    ),
    "palette PNG with half-transparent colours": (
        lambda: encoded(PICTURE.quantize(8), "PNG", transparency=bytes([128] * 8)),
        np.round(COLOURS * (128 / 255)),
        1,
    ),
    "RGB PNG with a transparent colour": (
        lambda: encoded(PICTURE, "PNG", transparency=(255, 255, 255)),
        with_block(2, 0, (0, 0, 0)),
        0,
    ),
    "RGBA PNG, half transparent": (
        lambda: encoded(with_alpha(HALF), "PNG"),
        np.round(COLOURS * (128 / 255)),
        1,
    ),
    "RGBA PNG, all transparent": (lambda: encoded(with_alpha(HALF * 0), "PNG"), COLOURS * 0, 0),
    "grey PNG with alpha": (
        lambda: encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(HALF)]), "PNG"),
        np.round(rgb(GREY) * (128 / 255)),
        1,
    ),
    "16-bit grey PNG": (lambda: encoded(Image.fromarray(DEEP), "PNG"), rgb(DEEP_AS_8_BIT), 0),
    "16-bit grey PNG with a transparent grey": (
        lambda: deep_png(DEEP, chunk(b"tRNS", struct.pack(">H", 65535))),
        rgb(np.where(DEEP == 65535, 0, DEEP_AS_8_BIT)),
        0,
    ),
    # Pillow takes the upper byte of colours, which differs from rounding by one at most.
    "16-bit RGB PNG": (lambda: deep_png(rgb(DEEP)), rgb(DEEP_AS_8_BIT), 1),
    "16-bit grey TIFF": (lambda: encoded(Image.fromarray(DEEP), "TIFF"), rgb(DEEP_AS_8_BIT), 0),
    "16-bit grey TIFF, big-endian": (
        lambda: encoded(Image.frombytes("I;16B", PICTURE.size, DEEP.astype(">u2").tobytes()), "TIFF"),
        rgb(DEEP_AS_8_BIT),
        0,
    ),
    "JPEG": (lambda: encoded(PICTURE, "JPEG", quality=95, subsampling=0), COLOURS, 6),
    "progressive JPEG": (
        lambda: encoded(PICTURE, "JPEG", quality=95, subsampling=0, progressive=True),
        COLOURS,
        6,
    ),
    "grey JPEG": (lambda: encoded(Image.fromarray(GREY), "JPEG", quality=95), rgb(GREY), 4),
    "CMYK JPEG": (lambda: encoded(PICTURE.convert("CMYK"), "JPEG", quality=95), COLOURS, 4),
    "CMYK JPEG with black ink": (
        lambda: encoded(Image.new("CMYK", PICTURE.size, (255, 0, 0, 128)), "JPEG", quality=95),
        COLOURS * 0 + np.array([0, 127, 127], np.uint8),
        4,
    ),
    "JPEG of a phone with a preview behind it": (
        lambda: encoded(
            PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)], quality=95, subsampling=0
        ),
        COLOURS,
        6,
    ),
    "TIFF": (lambda: encoded(PICTURE, "TIFF"), COLOURS, 0),
    "TIFF, LZW": (lambda: encoded(PICTURE, "TIFF", compression="tiff_lzw"), COLOURS, 0),
    "TIFF, deflate": (lambda: encoded(PICTURE, "TIFF", compression="tiff_deflate"), COLOURS, 0),
    "TIFF with alpha": (lambda: encoded(with_alpha(HALF), "TIFF"), np.round(COLOURS * (128 / 255)), 1),
    "BMP": (lambda: encoded(PICTURE, "BMP"), COLOURS, 0),
    "palette BMP": (lambda: encoded(PICTURE.quantize(8), "BMP"), COLOURS, 0),
    "WebP": (lambda: encoded(PICTURE, "WEBP", lossless=True), COLOURS, 0),
    "WebP with alpha": (
        lambda: encoded(with_alpha(HALF), "WEBP", lossless=True),
        np.round(COLOURS * (128 / 255)),
        1,
    ),
    "GIF of one picture": (lambda: encoded(PICTURE.quantize(8), "GIF"), COLOURS, 0),
    **{
        f"{kind} turned by EXIF {orientation}": (
            partial(turned, orientation, kind, **options),
            COLOURS,
            6 if kind == "JPEG" else 0,
        )
        for orientation in ORIENTATIONS
        for kind, options in (
            ("JPEG", {"quality": 95, "subsampling": 0}),
            ("PNG", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
        )
    },
}

WANTED_FORMATS = "wanted is a PNG, JPEG, TIFF, BMP, WebP or GIF picture of one cell"
WANTED_WHOLE = "wanted is a whole one"
WANTED_PIXELS = "wanted are at most 25 million"
WANTED_SINGLE = "wanted is a single one"

REFUSED: dict[str, tuple[Callable[[], bytes], str, str]] = {  # file, what came, what was wanted
    "empty": (lambda: b"", "The file is empty", WANTED_FORMATS),
    "text": (lambda: b"cells, counted on Monday\n", "a text", WANTED_FORMATS),
    "web page": (lambda: b"<!doctype html><title>404</title>", "a text", WANTED_FORMATS),
    "SVG": (
        lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>',
        "an SVG drawing",
        WANTED_FORMATS,
    ),
    "PDF": (lambda: encoded(PICTURE, "PDF"), "a PDF document", WANTED_FORMATS),
    "HEIC": (lambda: header_only(b"heic"), "an HEIC photo (save it as JPEG)", WANTED_FORMATS),
    "AVIF": (lambda: header_only(b"avif"), "an AVIF picture", WANTED_FORMATS),
    "film": (lambda: header_only(b"isom"), "a film", WANTED_FORMATS),
    "DICOM": (lambda: bytes(128) + b"DICM" + bytes(300), "a DICOM file", WANTED_FORMATS),
    "JPEG 2000": (
        lambda: b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 " + bytes(200),
        "a file of an unknown kind",
        WANTED_FORMATS,
    ),
    "noise": (lambda: random.Random(0).randbytes(2000), "a file of an unknown kind", WANTED_FORMATS),
    "PNG cut off in its header": (
        lambda: encoded(PICTURE, "PNG")[:12],
        "beginning is damaged",
        WANTED_FORMATS,
    ),
    "JPEG cut off in its header": (
        lambda: encoded(PICTURE, "JPEG")[:20],
        "beginning is damaged",
        WANTED_FORMATS,
    ),
    "PNG with a wrong checksum": (
        lambda: encoded(PICTURE, "PNG").replace(b"IDAT", b"IDAT\xff", 1),
        "damaged or cut off",
        WANTED_WHOLE,
    ),
    "header bomb PNG": (lambda: png(30_000, 30_000, b""), "absurd number of pixels", WANTED_PIXELS),
    "header bomb GIF": (
        lambda: b"GIF89a" + struct.pack("<HHBBB", 30_000, 30_000, 0, 0, 0) + b"," + bytes(40),
        "absurd number of pixels",
        WANTED_PIXELS,
    ),
    "26 megapixels": (
        lambda: encoded(Image.new("L", (5200, 5000)), "PNG"),
        "5200 x 5000 px (26.0 million in all)",
        WANTED_PIXELS,
    ),
    # The pixels are missing, and the refusal is about the size: so the header was judged before they were read.
    "long and thin": (lambda: png(20_000, 1_000, b""), "20000 x 1000 px", "at most 5,000 px a side"),
    "26 megapixels without pixels": (lambda: png(5200, 5000, b""), "5200 x 5000 px", WANTED_PIXELS),
    "1 x 1": (lambda: encoded(Image.new("RGB", (1, 1)), "PNG"), "1 x 1 px", f"at least {MIN_SIDE} px"),
    "one side too short": (
        lambda: encoded(Image.new("RGB", (300, 15)), "JPEG"),
        "300 x 15 px",
        f"at least {MIN_SIDE} px",
    ),
    "animated GIF": (lambda: pages("GIF"), "The GIF file holds several pictures", WANTED_SINGLE),
    "animated PNG": (lambda: pages("PNG"), "The PNG file holds several pictures", WANTED_SINGLE),
    "animated WebP": (lambda: pages("WEBP"), "The WEBP file holds several pictures", WANTED_SINGLE),
    "TIFF of two pages": (lambda: pages("TIFF"), "The TIFF file holds several pictures", WANTED_SINGLE),
    "TIFF of 32-bit numbers": (
        lambda: encoded(Image.new("F", (20, 20)), "TIFF"),
        "32-bit numbers",
        "wanted are grey or colours",
    ),
    "over the limit of bytes": (
        lambda: encoded(PICTURE, "PNG").ljust(MAX_BYTES + 1, b"\0"),
        "The file has 5.1 MB",
        "wanted are at most 5 MB",
    ),
    "JPEG of a thousand scans": (many_scans, "more than 200 layers", "wanted is an ordinary one"),
    "text bomb before the pixels": (
        lambda: grey_png(extra=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))),
        "damaged or cut off",
        WANTED_WHOLE,
    ),
    "text bomb behind the pixels": (
        lambda: grey_png(late=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))),
        "damaged or cut off",
        WANTED_WHOLE,
    ),
    "colour profile bomb": (
        lambda: grey_png(extra=chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(50_000_000)))),
        "damaged or cut off",
        WANTED_WHOLE,
    ),
    **{
        f"{kind} cut off at {percent} %": (
            partial(cut_off, kind, percent),
            "damaged or cut off",
            WANTED_WHOLE,
        )
        for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF")
        for percent in (50, 75, 95)
    },
}


@pytest.mark.parametrize(("make", "wanted", "tolerance"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_picture_has_the_right_pixels(
    make: Callable[[], bytes], wanted: np.ndarray, tolerance: int
) -> None:
    image = read_image(make())
    assert image.mode == "RGB"
    pixels = np.asarray(image, dtype=int)
    assert pixels.shape == wanted.shape
    assert np.abs(pixels - wanted).max() <= tolerance


@pytest.mark.parametrize("make", [case[0] for case in ACCEPTED.values()], ids=ACCEPTED)
def test_file_bytes_and_pil_image_of_one_picture_read_the_same(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    data = make()
    path = tmp_path / "cell"
    path.write_bytes(data)
    wanted = read_image(data).tobytes()
    assert read_image(path).tobytes() == wanted
    assert read_image(str(path)).tobytes() == wanted
    assert read_image(memoryview(data)).tobytes() == wanted
    with Image.open(io.BytesIO(data)) as opened:
        assert read_image(opened).tobytes() == wanted
    assert read_image(read_image(data)).tobytes() == wanted


@pytest.mark.parametrize(("make", "came", "wanted"), REFUSED.values(), ids=REFUSED)
def test_bad_file_is_refused_in_one_sentence(
    make: Callable[[], bytes], came: str, wanted: str, tmp_path: Path
) -> None:
    data = make()
    path = tmp_path / "cell.png"
    path.write_bytes(data)
    sentences = set()
    for source in (data, path):
        with pytest.raises(ImageRefused) as refusal:
            read_image(source)
        sentences.add(str(refusal.value))
    assert len(sentences) == 1
    check_sentence(sentences.pop(), came, wanted)


def check_sentence(sentence: str, came: str, wanted: str) -> None:
    assert came in sentence
    assert wanted in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert ". " not in sentence


@pytest.mark.parametrize("action", ["ignore", "error"])
def test_picture_that_pillow_only_warns_of_is_refused_whatever_becomes_of_warnings(action: Any) -> None:
    data = png(10_000, 10_000, b"")
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        with pytest.raises(ImageRefused, match=WANTED_PIXELS):
            read_image(data)


def test_picture_of_exactly_the_most_pixels_is_read() -> None:
    assert read_image(encoded(Image.new("1", (5000, MAX_PIXELS // 5000)), "PNG")).size == (5000, 5000)
    with pytest.raises(ImageRefused, match=WANTED_PIXELS):
        read_image(png(5000, MAX_PIXELS // 5000 + 1, b""))


def test_file_of_exactly_the_most_bytes_is_read() -> None:
    assert read_image(encoded(PICTURE, "PNG").ljust(MAX_BYTES, b"\0")).size == PICTURE.size


@pytest.mark.parametrize(
    "name",
    [
        "two words.png",
        "клетка 細胞 é.png",
        "<img src=x onerror=alert(1)>.png",
        "cell.jpg",
        "no ending",
        "50%.png",
        "a\nb.png",
    ],
)
def test_any_name_will_do_for_a_picture(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(PICTURE, "PNG"))
    assert read_image(tmp_path / name).tobytes() == COLOURS.tobytes()
    assert read_image(f"{tmp_path}/{name}").tobytes() == COLOURS.tobytes()


def test_missing_file_folder_and_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path, came in (
        (tmp_path / "missing.png", "There is no file"),
        (tmp_path / "two\nlines.png", "two\\nlines.png"),
        (tmp_path / ("long" * 100), "cannot be opened (File name too long)"),
        ("zero\0.png", "There is no file"),
        (tmp_path / "pipe.png", "There is no file"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(ImageRefused) as refusal:
            read_image(path)
        check_sentence(str(refusal.value), came, WANTED_FORMATS)


@pytest.mark.parametrize("source", [None, 5, 1.5, ["cell.png"], object()])
def test_other_types_are_refused(source: Any) -> None:
    with pytest.raises(ImageRefused) as refusal:
        read_image(source)
    check_sentence(str(refusal.value), f"a Python {type(source).__name__}", "a uint8 array")


@pytest.mark.parametrize(
    ("array", "came"),
    [
        (np.zeros((20, 20, 3), np.float32), "float32"),
        (np.zeros((20, 20), bool), "bool"),
        (np.zeros((20, 20), np.uint16), "uint16"),
        (np.zeros(20, np.uint8), "(20,)"),
        (np.zeros((20, 20, 1), np.uint8), "(20, 20, 1)"),
        (np.zeros((20, 20, 2), np.uint8), "(20, 20, 2)"),
        (np.zeros((3, 20, 20), np.uint8), "(3, 20, 20)"),
        (np.zeros((1, 20, 20, 3), np.uint8), "(1, 20, 20, 3)"),
    ],
)
def test_array_of_another_type_or_shape_is_refused(array: np.ndarray, came: str) -> None:
    with pytest.raises(ImageRefused) as refusal:
        read_image(array)
    check_sentence(str(refusal.value), came, "wanted is uint8 of shape (height, width)")


# A view that repeats one value stands for 26 million pixels and takes no memory.
@pytest.mark.parametrize(
    ("source", "came"),
    [
        (np.zeros((0, 0), np.uint8), "0 x 0 px"),
        (np.zeros((20, 15, 3), np.uint8), "15 x 20 px"),
        (np.broadcast_to(np.uint8(0), (5000, 5200)), "5200 x 5000 px"),
        (Image.new("RGB", (1, 1)), "1 x 1 px"),
        (Image.new("1", (5200, 5000)), "5200 x 5000 px"),
        (Image.new("F", (20, 20)), "'F'"),
        (Image.new("I", (20, 20)), "'I'"),
    ],
)
def test_arrays_and_pil_images_pass_the_same_checks(source: Any, came: str) -> None:
    with pytest.raises(ImageRefused) as refusal:
        read_image(source)
    check_sentence(str(refusal.value), came, "wanted")


def test_opened_animation_and_opened_broken_file_are_refused() -> None:
    for data, wanted in ((pages("GIF"), WANTED_SINGLE), (cut_off("JPEG", 75), WANTED_WHOLE)):
        with Image.open(io.BytesIO(data)) as opened, pytest.raises(ImageRefused, match=wanted):
            read_image(opened)


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


def test_array_need_not_lie_in_one_piece() -> None:
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
def test_any_damaged_picture_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    for make, _, _ in ACCEPTED.values():
        data = bytearray(make())
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


def test_real_cell_passes_unchanged(sample_cells: Path) -> None:
    path = min(sample_cells.rglob("*.png"))
    with Image.open(path) as opened:
        assert read_image(path).tobytes() == opened.convert("RGB").tobytes()


def test_size_of_training_cells_brings_no_warning() -> None:
    shortest, longest = TRAINED_SIDES
    for size in ((shortest, longest), (130, 130), (longest, longest), (shortest, shortest)):
        assert size_warnings(*size) == ()


def test_size_outside_of_that_of_training_cells_is_told() -> None:
    (field,) = size_warnings(1280, 960)
    check_sentence(field, "1280 x 960 px", "40 to 394 px")
    assert "field" in field
    (small,) = size_warnings(39, 50)
    check_sentence(small, "39 x 50 px", "40 to 394 px")
    assert len(size_warnings(395, 20)) == 2


def test_accepted_formats_are_those_named_in_the_refusals() -> None:
    assert [name.lower() for name in FORMATS] == ["png", "jpeg", "tiff", "bmp", "webp", "gif"]
    for name in FORMATS:
        assert name.lower() in WANTED_FORMATS.lower()
