"""The stored values of a TIFF picture, from its strips or tiles.

Pillow's libtiff decompresses: it is given the strips or tiles as a picture of single bytes, which it cannot misread.
Byte order, bits, predictor and planes are dealt with here.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import numpy as np
from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import TiffImageFile

from malaria_detect.data.image_checks import PictureLimits, damaged, too_large
from malaria_detect.data.tiff_tags import Directory

NONE, LZW, JPEG, PACK_BITS, ZSTD = 1, 5, 7, 32773, 50000
DEFLATES = (8, 32946)

# Bytes of a pixel after decompression, tiles in full: four samples of 16 bits.
_MAX_UNPACKED = 8
_BLACK_IS_ZERO, _RGB, _CMYK, _YCBCR = 1, 2, 5, 6


@dataclass(frozen=True)
class _Layout:
    """How the samples of a page are stored: in blocks, which are strips or tiles."""

    page: Directory
    width: int
    height: int
    bits: int
    planes: int
    depth: int  # samples of a pixel in one plane
    compression: int
    tiled: bool
    block_width: int
    block_height: int

    @classmethod
    def of(cls, page: Directory, limits: PictureLimits) -> "_Layout":
        width, height = page.number(Tag.ImageWidth), page.number(Tag.ImageLength)
        samples = page.number(Tag.SamplesPerPixel, 1)
        separate = page.number(Tag.PlanarConfiguration, 1) == 2
        tiled = Tag.TileOffsets in page
        layout = cls(
            page=page,
            width=width,
            height=height,
            bits=page.number(Tag.BitsPerSample, 1),
            planes=samples if separate else 1,
            depth=1 if separate else samples,
            compression=page.number(Tag.Compression, NONE),
            tiled=tiled,
            block_width=page.number(Tag.TileWidth) if tiled else width,
            block_height=page.number(Tag.TileLength)
            if tiled
            else min(height, page.number(Tag.RowsPerStrip, height)),
        )
        if min(layout.block_width, layout.block_height) < 1:
            raise damaged()
        pixels = layout.across * layout.block_width * layout.down * layout.block_height
        most = _MAX_UNPACKED * limits.max_pixels
        if pixels * samples * -(-layout.bits // 8) > most:
            raise too_large(f"The file unpacks to more than {most // 10**6} MB.", limits)
        return layout

    @property
    def across(self) -> int:
        """Blocks in a row."""
        return -(-self.width // self.block_width)

    @property
    def down(self) -> int:
        """Blocks in a column."""
        return -(-self.height // self.block_height)

    @cached_property
    def blocks(self) -> list[tuple[int, int]]:
        """Offset and size in bytes of each block, one plane after the other."""
        tags = (
            (Tag.TileOffsets, Tag.TileByteCounts) if self.tiled else (Tag.StripOffsets, Tag.StripByteCounts)
        )
        offsets, sizes = (self.page.values(tag) for tag in tags)
        number = self.planes * self.across * self.down
        if min(len(offsets), len(sizes)) < number:
            raise damaged()
        return list(zip(offsets[:number].tolist(), sizes[:number].tolist(), strict=True))


def read_samples(data: bytes, page: Directory, limits: PictureLimits) -> np.ndarray:
    """Values of a picture as stored, with any predictor undone: (height, width, samples), uint8 or uint16.

    Raises
    ------
    ImageRefused
        ``too_large`` or ``damaged``.
    LookupError, ValueError, OSError, ArithmeticError, struct.error
        If the file is damaged.
    """
    layout = _Layout.of(page, limits)
    if any(not size or offset + size > len(data) for offset, size in layout.blocks):
        raise damaged()
    number = layout.across * layout.down
    planes = [
        _plane(data, layout, layout.blocks[plane * number : (plane + 1) * number])
        for plane in range(layout.planes)
    ]
    return np.concatenate(planes, axis=2) if len(planes) > 1 else planes[0]


def _plane(data: bytes, layout: _Layout, blocks: list[tuple[int, int]]) -> np.ndarray:
    """Values in one plane: (height, width, depth)."""
    if layout.compression == JPEG:
        values = _decompressed(data, layout, blocks, layout.block_width)
    elif 8 < layout.bits < 16:
        # Cameras store them in words of 16 bits or packed; the latter takes too few bytes for words.
        try:
            values = _unpacked(_bytes(data, layout, blocks, 16), layout, 16)
        except OSError:
            values = _unpacked(_bytes(data, layout, blocks, layout.bits), layout, layout.bits)
    else:
        values = _unpacked(_bytes(data, layout, blocks, layout.bits), layout, layout.bits)
    return values.reshape(len(values), -1, layout.depth)[: layout.height, : layout.width]


def _bytes(data: bytes, layout: _Layout, blocks: list[tuple[int, int]], bits: int) -> np.ndarray:
    """Bytes of a plane, the padding of tiles included: uint8, (rows, blocks across, bytes). OSError if some miss."""
    row = -(-layout.block_width * layout.depth * bits // 8)
    if layout.compression != NONE:
        return _decompressed(data, layout, blocks, row).reshape(-1, layout.across, row)
    found = np.zeros((layout.down, layout.across, layout.block_height, row), np.uint8)
    for index, (offset, size) in enumerate(blocks):
        down, across = divmod(index, layout.across)
        block = found[down, across]
        if not layout.tiled:
            block = block[: layout.height - down * layout.block_height]
        if size < block.size:
            raise OSError("Too few bytes.")
        block[:] = np.frombuffer(data, np.uint8, block.size, offset).reshape(block.shape)
    return found.swapaxes(1, 2).reshape(-1, layout.across, row)


def _unpacked(packed: np.ndarray, layout: _Layout, bits: int) -> np.ndarray:
    """Values from bytes, with the predictor undone: (rows, blocks across, values)."""
    if bits == 8:
        values = packed
    elif bits == 16:
        values = packed.view(layout.page.order + "u2").astype(np.uint16)
    else:
        number = layout.block_width * layout.depth
        values = np.empty((*packed.shape[:2], number), np.uint16)
        weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.uint16)
        # Row by row, because a byte for each bit takes much memory.
        for row, out in zip(packed, values, strict=True):
            single = np.unpackbits(row, axis=1, count=number * bits)
            np.matmul(single.reshape(layout.across, number, bits), weights, out=out)
    if layout.page.number(Tag.Predictor, 1) == 1:
        return values
    differences = values.reshape(*values.shape[:2], layout.block_width, layout.depth)
    return np.cumsum(differences, axis=2, dtype=values.dtype).reshape(values.shape)


def _decompressed(data: bytes, layout: _Layout, blocks: list[tuple[int, int]], width: int) -> np.ndarray:
    """Bytes of a plane, (rows, bytes in a row), uint8. OSError if they are damaged or too few.

    ``width`` of a block is in pixels for JPEG and in bytes otherwise.
    """
    height = layout.down * layout.block_height if layout.tiled else layout.height
    offsets, sizes = (list(numbers) for numbers in zip(*blocks, strict=True))
    jpeg = layout.compression == JPEG
    if jpeg:
        depth = layout.depth
    else:
        # Up to four bytes are one pixel, because Pillow limits the number of pixels.
        depth = next(number for number in (4, 3, 1) if width % number == 0)
        width //= depth
    photometric = {1: _BLACK_IS_ZERO, 3: _RGB, 4: _CMYK}[depth]
    # libtiff converts YCbCr to RGB. A JFIF file has YCbCr whatever the tag says.
    ycbcr = layout.page.number(Tag.PhotometricInterpretation) == _YCBCR
    if jpeg and depth == 3 and (ycbcr or b"JFIF" in data[offsets[0] : offsets[0] + 16]):
        photometric = _YCBCR
    tags = {
        Tag.ImageWidth: ("I", [layout.across * width]),
        Tag.ImageLength: ("I", [height]),
        Tag.BitsPerSample: ("H", [8] * depth),
        Tag.Compression: ("H", [layout.compression]),
        Tag.PhotometricInterpretation: ("H", [photometric]),
        Tag.SamplesPerPixel: ("H", [depth]),
    }
    if layout.tiled:
        tags |= {Tag.TileWidth: ("I", [width]), Tag.TileLength: ("I", [layout.block_height])}
        tags |= {Tag.TileOffsets: ("I", offsets), Tag.TileByteCounts: ("I", sizes)}
    else:
        tags |= {Tag.RowsPerStrip: ("I", [layout.block_height])}
        tags |= {Tag.StripOffsets: ("I", offsets), Tag.StripByteCounts: ("I", sizes)}
    if jpeg and Tag.JPEGTables in layout.page:
        tags[Tag.JPEGTables] = ("B", layout.page.values(Tag.JPEGTables).tolist())
    with TiffImageFile(BytesIO(_with_tags(data, tags))) as image:
        return np.asarray(image).reshape(height, -1)


def _with_tags(data: bytes, tags: dict[Tag, tuple[str, list[int]]]) -> bytes:
    """The same file with other tags (type as a letter of `struct`, and values), as a little-endian classic TIFF."""
    codes = {"B": 7, "H": 3, "I": 4}
    start = len(data) + len(data) % 2
    directory, beyond = struct.pack("<H", len(tags)), b""
    after = start + 2 + 12 * len(tags) + 4
    for tag, (letter, numbers) in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}{letter}", *numbers)
        directory += struct.pack("<HHI", tag, codes[letter], len(numbers))
        if len(packed) <= 4:
            directory += packed.ljust(4, b"\0")
        else:
            directory += struct.pack("<I", after + len(beyond))
            beyond += packed + bytes(len(packed) % 2)
    header = struct.pack("<2sHI", b"II", 42, start)
    return header + data[8:].ljust(start - 8, b"\0") + directory + bytes(4) + beyond
