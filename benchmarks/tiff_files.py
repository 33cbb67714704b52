"""TIFF files of any layout, written byte by byte."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import TiffImageFile

GREY, RGB, PALETTE, CMYK = 1, 2, 3, 5
WHITE_IS_ZERO = 0
COMPRESSIONS = {
    "none": 1,
    "LZW": 5,
    "deflate": 8,
    "old deflate": 32946,
    "PackBits": 32773,
    "Zstandard": 50000,
}
JPEG = 7
_PILLOWS = {5: "tiff_lzw", 32773: "packbits", 50000: "zstd"}


@dataclass(frozen=True)
class Page:
    """One page: values of shape (height, width, samples), and how they are stored."""

    values: np.ndarray
    photometric: int = RGB
    bits: int = 8
    rows: int | None = None  # of a strip
    tile: tuple[int, int] | None = None  # height, width
    planar: bool = False
    compression: int = 1
    predictor: int = 1
    words: bool = False  # whether 9 to 15 bits are stored in 16
    tags: Mapping[Any, Any] = field(default_factory=dict)  # of the page, None to leave one out

    def blocks(self, order: str) -> list[bytes]:
        """Strips or tiles, compressed."""
        height, width, samples = self.values.shape
        down, across = self.tile or (self.rows or height, width)
        planes = np.split(self.values, samples, axis=2) if self.planar else [self.values]
        blocks = []
        for plane in planes:
            for top in range(0, height, down):
                for left in range(0, width, across):
                    block = plane[top : top + down, left : left + across]
                    if self.tile:
                        gap = (0, down - block.shape[0]), (0, across - block.shape[1]), (0, 0)
                        block = np.pad(block, gap, constant_values=7)
                    blocks.append(self._compressed(block, order))
        return blocks

    def _compressed(self, block: np.ndarray, order: str) -> bytes:
        if self.compression == JPEG:
            return jpeg(block)
        if self.predictor == 2:
            block = np.diff(block, axis=1, prepend=block.dtype.type(0))
        if self.words or self.bits == 16:
            data = block.astype(order + "u2").tobytes()
        else:
            rows = block.reshape(len(block), -1, 1).astype(">u2").view(np.uint8)
            data = np.packbits(
                np.unpackbits(rows, axis=2)[..., -self.bits :].reshape(len(block), -1), 1
            ).tobytes()
        if self.compression in _PILLOWS:
            return pillows(data, _PILLOWS[self.compression])
        return data if self.compression == 1 else zlib.compress(data)


def jpeg(block: np.ndarray) -> bytes:
    """A JPEG in Pillow's best quality: grey, YCbCr or CMYK."""
    file, mode = io.BytesIO(), {1: "L", 3: "RGB", 4: "CMYK"}[block.shape[2]]
    image = Image.frombytes(mode, block.shape[1::-1], block.tobytes())
    image.save(file, "JPEG", quality=100, subsampling=0)
    return file.getvalue()


def pillows(data: bytes, compression: str) -> bytes:
    """Bytes as Pillow's libtiff compresses a picture of them."""
    file = io.BytesIO()
    Image.frombytes("L", (len(data), 1), data).save(file, "TIFF", compression=compression)
    with TiffImageFile(io.BytesIO(file.getvalue())) as image:
        ((offset,), (size,)) = (image.tag_v2[tag] for tag in (Tag.StripOffsets, Tag.StripByteCounts))
    return file.getvalue()[offset : offset + size]


def tiff(*pages: Page, order: str = "<", big: bool = False, children: Sequence[Page] = ()) -> bytes:
    """A file of some pages; `children` are in SubIFDs of the first."""
    data = b"II" if order == "<" else b"MM"
    data += struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)
    below = []
    for child in children:
        data, offset, _ = _with_page(data, child, order, big)
        below.append(offset)
    link = 8 if big else 4
    if below:
        first = Page(**{**vars(pages[0]), "tags": {**pages[0].tags, Tag.SubIFDs: below}})
        pages = (first, *pages[1:])
    for page in pages:
        data, offset, following = _with_page(data, page, order, big)
        pointer = struct.pack(order + ("Q" if big else "I"), offset)
        data = data[:link] + pointer + data[link + len(pointer) :]
        link = following
    return data


def _with_page(data: bytes, page: Page, order: str, big: bool) -> tuple[bytes, int, int]:
    """The file with a page at its end, the page's offset, and where the offset of the next belongs."""
    blocks, (height, width, samples) = page.blocks(order), page.values.shape
    places = []
    for block in blocks:
        places.append(len(data))
        data += block
    tags: dict[int, Any] = {
        Tag.ImageWidth: width,
        Tag.ImageLength: height,
        Tag.BitsPerSample: [page.bits] * samples,
        Tag.Compression: page.compression,
        Tag.PhotometricInterpretation: page.photometric,
        Tag.SamplesPerPixel: samples,
        Tag.PlanarConfiguration: 2 if page.planar else 1,
        Tag.Predictor: page.predictor,
        Tag.TileOffsets if page.tile else Tag.StripOffsets: np.array(places, np.uint32),
        Tag.TileByteCounts if page.tile else Tag.StripByteCounts: np.array([*map(len, blocks)], np.uint32),
    }
    if page.tile:
        tags |= {Tag.TileLength: page.tile[0], Tag.TileWidth: page.tile[1]}
    else:
        tags |= {Tag.RowsPerStrip: page.rows or height}
    tags = {tag: value for tag, value in sorted({**tags, **page.tags}.items()) if value is not None}
    data += bytes(len(data) % 2)
    entries = b""
    count, pointer, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    values, beyond = b"", len(data) + struct.calcsize("=" + count) + len(tags) * (12 + 8 * big) + inline
    for tag, value in tags.items():
        kind, number, packed = _packed(value, order)
        entries += struct.pack(order + "HH" + pointer, tag, kind, number)
        if len(packed) <= inline:
            entries += packed.ljust(inline, b"\0")
        else:
            entries += struct.pack(order + pointer, beyond + len(values))
            values += packed + bytes(len(packed) % 2)
    offset = len(data)
    data += struct.pack(order + count, len(tags)) + entries
    return data + bytes(inline) + values, offset, len(data)


def _packed(value: Any, order: str) -> tuple[int, int, bytes]:
    """Type, count and bytes of a tag: bytes are a text, numbers SHORT if they fit, LONG otherwise."""
    if isinstance(value, bytes):
        return 2, len(value) + 1, value + b"\0"
    numbers = np.atleast_1d(value)
    if numbers.dtype.kind == "f":
        return 11, len(numbers), numbers.astype(order + "f4").tobytes()
    short = numbers.dtype != np.uint32 and numbers.max() < 2**16
    return 3 if short else 4, len(numbers), numbers.astype(order + ("u2" if short else "u4")).tobytes()
