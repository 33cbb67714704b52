"""Image files of all kinds, good and bad, made in memory."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

# Six blocks of 16 x 16 px, no two alike, so that every turn, flip and channel swap shows.
BLOCKS = np.array(
    [[[200, 30, 40], [20, 180, 60]], [[10, 50, 220], [250, 240, 20]], [[255, 255, 255], [0, 0, 0]]], np.uint8
)
COLOURS = BLOCKS.repeat(16, axis=0).repeat(16, axis=1)  # 32 px wide, 48 px high
PICTURE = Image.fromarray(COLOURS)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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


def pages(kind: str) -> bytes:
    """A file with two images."""
    return encoded(PICTURE, kind, save_all=True, append_images=[PICTURE.rotate(180)])


def cut_off(kind: str, percent: int) -> bytes:
    """The first part of a file."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    return whole[: len(whole) * percent // 100]
