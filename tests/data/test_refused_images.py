"""Images that are refused, each with a reason: of a wrong kind, damaged, too large, or made to do harm."""

import io
import os
import random
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from malaria_detect.data.images import MAX_BYTES, MAX_PIXELS, ImageRefused, read_image
from tests.data.image_files import PICTURE, chunk, cut_off, encoded, pages, png


def media_file(brand: bytes) -> bytes:
    """The first bytes of an ISO media file."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(400)


def many_scans() -> bytes:
    """A progressive JPEG that repeats its last scan a thousand times."""
    plain = encoded(PICTURE.convert("L"), "JPEG", progressive=True)
    last = plain[plain.rindex(b"\xff\xda") : -2]
    return plain[:-2] + last * 1000 + plain[-2:]


def bomb(name: bytes, start: bytes) -> bytes:
    return chunk(name, start + zlib.compress(bytes(50_000_000)))


def grey_png(**chunks: bytes) -> bytes:
    return png(20, 20, bytes(21 * 20), **chunks)  # type: ignore[arg-type]


KINDS = {
    "text": b"cells, counted on Monday\n",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "PDF": encoded(PICTURE, "PDF"),
    "HEIC": media_file(b"heic"),
    "AVIF": media_file(b"avif"),
    "video": media_file(b"isom"),
    "DICOM": bytes(128) + b"DICM" + bytes(300),
    "noise": random.Random(0).randbytes(2000),
    "PNG cut off in its header": encoded(PICTURE, "PNG")[:12],
}
FLAT, WHITE, CLEAR = (Image.new("RGBA", (40, 30), colour) for colour in ("tan", "white", (90, 80, 200, 0)))
BLANK = {
    "black PNG": encoded(Image.new("RGB", (40, 30)), "PNG"),
    "black JPEG": encoded(Image.new("RGB", (40, 30)), "JPEG"),
    "white JPEG": encoded(WHITE.convert("RGB"), "JPEG"),
    "JPEG of one colour": encoded(FLAT.convert("RGB"), "JPEG", quality=30),
    "black and white PNG, all white": encoded(WHITE.convert("1"), "PNG"),
    "grey WebP of one colour": encoded(FLAT.convert("L"), "WEBP"),
    "clear PNG": encoded(CLEAR, "PNG"),
    "clear WebP": encoded(CLEAR, "WEBP", lossless=True, exact=True),
    "clear GIF": encoded(FLAT.quantize(2), "GIF", transparency=0),
    "clear TIFF": encoded(CLEAR, "TIFF"),
    "white TIFF of 16 bits": encoded(Image.fromarray(np.full((40, 30), 65535, np.uint16)), "TIFF"),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    **{kind: (data, "unknown_format") for kind, data in KINDS.items()},
    **{kind: (data, "blank") for kind, data in BLANK.items()},
    "empty": (b"", "empty"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 " + bytes(200), "unknown_format"),
    "JPEG cut off in its header": (encoded(PICTURE, "JPEG")[:20], "unknown_format"),
    "PNG with a wrong checksum": (encoded(PICTURE, "PNG").replace(b"IDAT", b"IDAT\xff", 1), "damaged"),
    "header bomb PNG": (png(30_000, 30_000, b""), "too_large"),
    "header bomb GIF": (b"GIF89a" + struct.pack("<HH", 30_000, 30_000) + b"\0\0\0," + bytes(40), "too_large"),
    "26 megapixels": (encoded(Image.new("L", (5200, 5000)), "PNG"), "too_large"),
    # The pixels are missing but the size is refused: the header was checked before they were read.
    "long and thin": (png(20_000, 1_000, b""), "too_large"),
    "one row too many": (png(5000, MAX_PIXELS // 5000 + 1, b""), "too_large"),
    "one byte too many": (encoded(PICTURE, "PNG").ljust(MAX_BYTES + 1, b"\0"), "too_large"),
    "1 x 1": (encoded(Image.new("RGB", (1, 1)), "PNG"), "too_small"),
    "one side too short": (encoded(Image.new("RGB", (300, 15)), "JPEG"), "too_small"),
    "animated GIF": (pages("GIF"), "several_images"),
    "animated PNG": (pages("PNG"), "several_images"),
    "animated WebP": (pages("WEBP"), "several_images"),
    "TIFF of two pages": (pages("TIFF"), "several_images"),
    "TIFF of 32-bit numbers": (encoded(Image.new("F", (20, 20)), "TIFF"), "unsupported_pixels"),
    "JPEG of a thousand scans": (many_scans(), "damaged"),
    "text bomb before the pixels": (grey_png(extra=bomb(b"zTXt", b"Comment\0\0")), "damaged"),
    "text bomb after the pixels": (grey_png(late=bomb(b"zTXt", b"Comment\0\0")), "damaged"),
    "colour profile bomb": (grey_png(extra=bomb(b"iCCP", b"profile\0\0")), "damaged"),
    **{
        f"{kind} cut off at {percent} %": (cut_off(kind, percent), "damaged")
        for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF")
        for percent in (50, 95)
    },
}


def refusal(source: Any) -> ImageRefused:
    with pytest.raises(ImageRefused) as refused:
        read_image(source)
    assert "\n" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_bad_files_are_refused_with_a_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "cell.png"
    path.write_bytes(data)
    from_bytes, from_file = refusal(data), refusal(path)
    assert (from_bytes.reason, str(from_file)) == (reason, str(from_bytes))


def test_a_refusal_says_what_kind_of_file_it_is() -> None:
    assert len({str(refusal(data)) for data in KINDS.values()}) == len(KINDS)


def test_a_file_just_over_the_limit_is_not_said_to_have_the_size_of_the_limit() -> None:
    data, _ = REFUSED["one byte too many"]
    assert re.findall(r"[\d.]*\d", str(refusal(data))) == ["5.1", "5"]


@pytest.mark.parametrize("action", ["ignore", "error"])
def test_large_images_are_refused_whatever_the_filter_of_warnings(action: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        assert refusal(png(10_000, 10_000, b"")).reason == "too_large"


@pytest.mark.parametrize("name", ["missing.png", "two\nlines.png", "zero\0.png", "."])
def test_a_path_without_a_file_is_refused(name: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / name).reason == "no_file"


def test_a_path_that_the_system_cannot_open_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / ("long" * 100)).reason == "unreadable"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert refusal(tmp_path / "pipe.png").reason == "no_file"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "unsupported_type"),
        (["cell.png"], "unsupported_type"),
        (np.zeros((20, 20, 3), np.float32), "unsupported_pixels"),
        (np.zeros((20, 20), bool), "unsupported_pixels"),
        (np.zeros(20, np.uint8), "unsupported_pixels"),
        (np.zeros((20, 20, 2), np.uint8), "unsupported_pixels"),
        (np.zeros((3, 20, 20), np.uint8), "unsupported_pixels"),
        (np.zeros((1, 20, 20, 3), np.uint8), "unsupported_pixels"),
        (Image.new("F", (20, 20)), "unsupported_pixels"),
        (Image.new("I", (20, 20)), "unsupported_pixels"),
        (np.zeros((20, 20), np.uint16), "unsupported_pixels"),
        (np.zeros((0, 0), np.uint8), "too_small"),
        (np.zeros((20, 15, 3), np.uint8), "too_small"),
        (Image.new("RGB", (1, 1)), "too_small"),
        # A view that repeats one value: 26 million pixels that take no memory.
        (np.broadcast_to(np.uint8(0), (5000, 5200)), "too_large"),
        (Image.new("1", (5200, 5000)), "too_large"),
        (Image.open(io.BytesIO(pages("GIF"))), "several_images"),
        (Image.open(io.BytesIO(cut_off("JPEG", 75))), "damaged"),
    ],
)
def test_other_sources_pass_the_same_checks(source: Any, reason: str) -> None:
    assert refusal(source).reason == reason
