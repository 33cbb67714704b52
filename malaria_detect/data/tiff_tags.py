"""The directories of a TIFF file: their tags, and which of them is the picture."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL.ExifTags import Base as Tag

from malaria_detect.data.image_checks import ImageRefused, damaged

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

IMAGE_DEPTH, METAMORPH_STACK = 32997, 33629  # not in Pillow's list
_NAMES = "u1 u1 u2 u4 i1 u1 i2 i4 f4 f8 u4 u8 i8 u8"
_TYPES = dict(zip((1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 16, 17, 18), _NAMES.split(), strict=True))
_MAX_TAGS = 4096
# Thumbnails, masks and the levels of a pyramid; more are a stack.
_MAX_PAGES = 64
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_OLD_REDUCED = 2


class Directory:
    """The tags of one page. Their values are read when asked for, so that only those in use can be damaged.

    Parameters
    ----------
    data : bytes
        The whole file.
    offset : int
        Where the directory begins.

    Attributes
    ----------
    order : str
        Byte order of the file, ``<`` or ``>``.
    following : int
        Offset of the next directory, 0 after the last.
    """

    def __init__(self, data: bytes, offset: int) -> None:
        self.order, big = _kind(data)
        number, inline, pointer = ("Q", 8, "u8") if big else ("H", 4, "u4")
        (total,) = struct.unpack_from(self.order + number, data, offset)
        if total > _MAX_TAGS:
            raise damaged()
        start = offset + struct.calcsize("=" + number)
        fields = [("tag", "u2"), ("type", "u2"), ("count", pointer), ("value", pointer)]
        layout = np.dtype([(name, self.order + kind) for name, kind in fields])
        entries = np.frombuffer(data, layout, total, start)
        (self.following,) = struct.unpack_from(
            self.order + ("Q" if big else "I"), data, start + entries.nbytes
        )
        # The first of a repeated tag counts.
        self._entries = {
            tag: (kind, count, value, start + index * layout.itemsize + layout.itemsize - inline)
            for index, (tag, kind, count, value) in reversed(list(enumerate(entries.tolist())))
            if kind in _TYPES
        }
        self._data, self._inline = data, inline

    def __contains__(self, tag: int) -> bool:
        """Whether the directory has a tag."""
        return tag in self._entries

    def values(self, tag: int) -> np.ndarray:
        """Numbers of a tag, a text or undefined bytes as uint8. LookupError or ValueError if there are none."""
        kind, count, place, here = self._entries[tag]
        dtype = np.dtype(self.order + _TYPES[kind])
        return np.frombuffer(
            self._data, dtype, count, here if count * dtype.itemsize <= self._inline else place
        )

    def number(self, tag: int, default: int | None = None) -> int:
        """First value of a tag; without the tag the default, or LookupError."""
        if tag not in self and default is not None:
            return default
        return int(self.values(tag)[0])

    @property
    def is_reduced(self) -> bool:
        """Whether the page is a thumbnail, another reduced copy, or a mask."""
        new = self.number(Tag.NewSubfileType, 0)
        return bool(new & (_REDUCED | _MASK)) or self.number(Tag.SubfileType, 1) == _OLD_REDUCED


def full_page(data: bytes) -> Directory:
    """Directory of the one picture in a TIFF file.

    Raises
    ------
    ImageRefused
        ``several_images`` if there are several, not counting reduced copies and masks; ``damaged``.
    """
    pages = list(_pages(data))
    full = [page for page in pages if not page.is_reduced] or pages[:1]
    if not full:
        raise damaged()
    if len(full) > 1 or _is_stack(full[0]):
        raise _several()
    return full[0]


def _pages(data: bytes) -> Iterator[Directory]:
    order, big = _kind(data)
    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    seen: set[int] = set()
    while offset:
        page = _once(data, offset, seen)
        yield page
        # Those of a full page are its own reduced copies; those of a thumbnail hold the picture.
        if page.is_reduced and Tag.SubIFDs in page:
            for child in page.values(Tag.SubIFDs).tolist():
                yield _once(data, child, seen)
        offset = page.following


def _once(data: bytes, offset: int, seen: set[int]) -> Directory:
    if offset in seen:
        raise damaged()
    seen.add(offset)
    if len(seen) > _MAX_PAGES:
        raise _several()
    return Directory(data, offset)


def _is_stack(page: Directory) -> bool:
    """Whether the page stands for several images, as ImageJ, MetaMorph and tifffile write them."""
    if page.number(IMAGE_DEPTH, 1) > 1 or (METAMORPH_STACK in page and len(page.values(METAMORPH_STACK)) > 1):
        return True
    text = page.values(Tag.ImageDescription)[:4096].tobytes() if Tag.ImageDescription in page else b""
    images = [line.removeprefix(b"images=") for line in text.splitlines() if line.startswith(b"images=")]
    return (text.startswith(b"ImageJ=") and images[:1] not in ([], [b"1"])) or b'"truncated": true' in text


def _kind(data: bytes) -> tuple[str, bool]:
    """Byte order, and whether it is a BigTIFF file."""
    return "<" if data.startswith(b"II") else ">", b"+" in data[2:4]


def _several() -> ImageRefused:
    return ImageRefused(
        "The TIFF file has several pages. Save the cell as a single image.", reason="several_images"
    )
