"""TIFF files that are refused: not one picture, of unknown pixels, damaged, or made to do harm."""

import contextlib
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL.ExifTags import Base as Tag

from benchmarks.tiff_files import CMYK, COMPRESSIONS, GREY, JPEG, PALETTE, RGB, Page, tiff
from malaria_detect.data.images import ImageRefused, read_image
from tests.data.test_tiff import BLOCKS, FULL, MASK, ONE_PICTURE, ORDERS, REDUCED, SMALL, stored, with_extra
from tests.refused import refused


def described(text: bytes) -> bytes:
    return tiff(Page(FULL, tags={Tag.ImageDescription: text}))


def cyclic(start: int) -> bytes:
    """A file whose second page is followed by the first or itself."""
    data = tiff(Page(SMALL), Page(SMALL, tags=REDUCED["reduced"]))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * entries)
    (entries,) = struct.unpack_from("<H", data, second)
    place = second + 2 + 12 * entries
    return data[:place] + struct.pack("<I", (first, second)[start]) + data[place + 4 :]


WHERE = np.array([0x12345678], np.uint32)


def other(values: np.ndarray = FULL, photometric: int = RGB, bits: int = 8, **tags: Any) -> bytes:
    return tiff(Page(values, photometric, bits, tags={Tag[name]: value for name, value in tags.items()}))


def deflate_bomb() -> bytes:
    """A strip of 50 x 37 px that inflates to 200 MB."""
    bomb = zlib.compress(bytes(200_000_000), 1)
    data = other(Compression=8, StripByteCounts=np.array([len(bomb)], np.uint32), StripOffsets=WHERE)
    return data.replace(WHERE.astype("<u4").tobytes(), struct.pack("<I", len(data))) + bomb


REFUSED = {
    "two pages": (tiff(Page(FULL), Page(FULL)), "several_images"),
    "two full pages after a thumbnail": (
        tiff(Page(SMALL, tags=REDUCED["reduced"]), Page(FULL), Page(FULL)),
        "several_images",
    ),
    "a hundred thumbnails": (
        tiff(Page(FULL), *[Page(SMALL[::8], tags=REDUCED["reduced"])] * 100),
        "several_images",
    ),
    "ImageJ's stack": (described(b"ImageJ=1.54f\nimages=10\nslices=10\n"), "several_images"),
    "tifffile's stack": (described(b'{"shape": [4, 50, 37, 3], "truncated": true}'), "several_images"),
    "volume": (tiff(Page(FULL, tags={32997: 4})), "several_images"),
    "MetaMorph's stack": (tiff(Page(FULL, tags={33629: np.arange(12, dtype=np.uint32)})), "several_images"),
    "signed": (other(SampleFormat=[2] * 3), "unsupported_pixels"),
    "floating-point": (other(stored(16), bits=16, SampleFormat=[3] * 3), "unsupported_pixels"),
    "one signed sample": (other(SampleFormat=[1, 1, 2]), "unsupported_pixels"),
    "mixed bits": (other(BitsPerSample=[5, 6, 5]), "unsupported_pixels"),
    "32 bits": (other(BitsPerSample=[32] * 3), "unsupported_pixels"),
    "CIELAB": (other(photometric=8), "unsupported_pixels"),
    "raw": (other(FULL[..., :1], 32803), "unsupported_pixels"),
    "transparency mask": (other(MASK, 4, 1), "unsupported_pixels"),
    "no photometric interpretation": (other(PhotometricInterpretation=None), "unsupported_pixels"),
    "other inks": (other(with_extra(FULL, 8), CMYK, InkSet=2), "unsupported_pixels"),
    "YCbCr without JPEG": (other(photometric=6), "unsupported_pixels"),
    "five samples": (other(np.dstack([FULL, FULL[..., :2]])), "unsupported_pixels"),
    "three grey samples": (other(photometric=GREY), "unsupported_pixels"),
    "two samples of three": (other(FULL[..., :2]), "unsupported_pixels"),
    "fax": (other(MASK, GREY, 1, Compression=4), "unsupported_pixels"),
    "old JPEG": (other(Compression=6), "unsupported_pixels"),
    "JPEG 2000": (other(Compression=34712), "unsupported_pixels"),
    "reversed bits": (other(FillOrder=2), "unsupported_pixels"),
    "floating-point predictor": (other(Compression=8, Predictor=3), "unsupported_pixels"),
    "predictor without compression": (other(Predictor=2), "unsupported_pixels"),
    "a line of pages that ends in a circle": (cyclic(0), "damaged"),
    "a page after itself": (cyclic(1), "damaged"),
    "no page": (b"II*\0" + bytes(100), "damaged"),
    "no width": (other(ImageWidth=None), "damaged"),
    "no strips": (other(StripOffsets=None), "damaged"),
    "strips without sizes": (other(StripByteCounts=None), "damaged"),
    "empty strip": (other(StripByteCounts=0), "damaged"),
    "strip too short": (other(StripByteCounts=FULL.size - 1), "damaged"),
    "strip beyond the end": (other(StripOffsets=60_000), "damaged"),
    "too few strips": (other(RowsPerStrip=7), "damaged"),
    "strips of no rows": (other(RowsPerStrip=0), "damaged"),
    "palette too short": (other(FULL[..., :1], PALETTE, ColorMap=[1, 2, 3]), "damaged"),
    "no palette": (other(FULL[..., :1], PALETTE), "damaged"),
    "not a number": (other(stored(16), bits=16, SMaxSampleValue=float("nan")), "damaged"),
    "too many tags": (b"II*\0\x08\0\0\0\xff\xff" + bytes(800_000), "damaged"),
    "wide tiles": (
        tiff(Page(FULL, tile=(64, 48), tags={Tag.TileWidth: np.array([2**31], np.uint32)})),
        "too_large",
    ),
    "many pixels": (other(ImageWidth=6000, ImageLength=6000), "too_large"),
    "few pixels": (tiff(Page(SMALL[:15])), "too_small"),
    "much in a strip": (deflate_bomb(), "blank"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_other_tiff_files_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    with refused(ImageRefused, reason):
        read_image(data)


SEEDS = [
    tiff(Page(stored(16), bits=16, compression=compression, **blocks), order=order)
    for compression, blocks, order in zip(
        COMPRESSIONS.values(), list(BLOCKS.values()) * 2, ORDERS * 3, strict=False
    )
] + [ONE_PICTURE["reduced last"], tiff(Page(FULL, 6, compression=JPEG, tile=(16, 16)), big=True)]


def damage_many() -> None:
    """Read thousands of damaged files, and those in `REFUSED`, with a gigabyte of memory."""
    import resource

    rng = random.Random(0)
    # Python, NumPy and Pillow take 300 MB of addresses.
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    files = [data for data, _ in REFUSED.values()]
    for seed in SEEDS:
        files += [seed[:length] for length in range(0, len(seed), len(seed) // 50)]
        for _ in range(150):
            data = bytearray(seed)
            for _ in range(rng.choice((1, 2, 8))):
                # Tags are at the end, each worth many pixels.
                place = (
                    rng.randrange(len(data) - 250, len(data))
                    if rng.random() < 0.7
                    else rng.randrange(len(data))
                )
                data[place] = rng.choice((0, 1, 255, rng.randrange(256)))
            files.append(bytes(data))
    for file in files:
        with contextlib.suppress(ImageRefused):
            read_image(file)
    print(len(files), "read")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the memory of a process")
def test_damaged_files_are_read_or_refused_in_bounded_memory() -> None:
    code = "from tests.data.test_refused_tiff import damage_many; damage_many()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "read" in done.stdout
