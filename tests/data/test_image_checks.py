"""Pictures that show nothing or are nearly black are refused; those without the stain's colour are noticed."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from malaria_detect.data.image_checks import ImageRefused, check_content, is_colourless
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import find_cells
from tests.data.image_files import COLOURS, encoded, png
from tests.refused import refused


@pytest.fixture(scope="module")
def cells(sample_cells: Any) -> list[Image.Image]:
    return [read_image(cell.path) for cell in find_cells(sample_cells).cells[::4]]


def seeded(pixels: np.ndarray, noise: float) -> np.ndarray:
    return pixels + np.random.default_rng(0).normal(0, noise, pixels.shape) * (pixels > 0)


def eight_bit(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality=80))).convert("RGB")


# From the brightness of a cell, (height, width, 3), to pictures that are practically grey.
GREY: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "grey": eight_bit,
    "JPEG": lambda grey: as_jpeg(eight_bit(grey)),
    "JPEG of noise": lambda grey: as_jpeg(eight_bit(seeded(grey, 5))),
    "noise": lambda grey: eight_bit(seeded(grey, 1.5)),
    "warm lamp": lambda grey: eight_bit(grey * [1, 0.97, 0.94]),
    "cold lamp": lambda grey: eight_bit(grey * [0.95, 0.98, 1]),
    "sepia": lambda grey: eight_bit(grey * [1, 0.85, 0.65]),
    "pink": lambda grey: eight_bit(grey * [1, 0.7, 0.8]),
    "one channel": lambda grey: eight_bit(grey * [0, 1, 0]),
    "offset": lambda grey: eight_bit((grey + np.array([4, 0, -4])) * (grey > 0)),
}


def brightness(image: Image.Image) -> np.ndarray:
    return np.repeat(np.asarray(image.convert("L"), float)[..., None], 3, axis=2)


def test_cells_have_colour_and_show_something(cells: list[Image.Image]) -> None:
    for cell in cells:
        check_content(cell)
        check_content(as_jpeg(cell))
        assert not is_colourless(cell)


@pytest.mark.parametrize("turn_grey", GREY.values(), ids=GREY)
def test_grey_cells_are_colourless_however_they_were_saved(
    turn_grey: Callable[[np.ndarray], Image.Image], cells: list[Image.Image]
) -> None:
    for cell in cells:
        grey = turn_grey(brightness(cell))
        check_content(grey)
        assert is_colourless(grey)


def test_a_grey_cell_is_colourless_on_any_background_and_at_any_size(cells: list[Image.Image]) -> None:
    for background in ("black", "white", (225, 225, 225)):
        canvas = Image.new("RGB", (900, 700), background)
        canvas.paste(cells[0].convert("L").convert("RGB"), (300, 200))
        assert is_colourless(canvas)
        canvas.paste(cells[0].resize((400, 400)), (300, 200))
        assert not is_colourless(canvas)


def sparse(noise: float) -> Image.Image:
    return eight_bit(seeded(np.full((120, 130, 3), 190.0), noise))


DISC = Image.new("RGB", (120, 120))
DISC.paste((200, 150, 160), (30, 30, 90, 90))
NOTHING = {
    "black": Image.new("RGB", (120, 130)),
    "nearly black": Image.new("RGB", (120, 130), (1, 2, 0)),
    "white": Image.new("RGB", (120, 130), "white"),
    "nearly white": sparse(1.0),
    "noisy JPEG": as_jpeg(sparse(1.5)),
    "one colour on black": DISC,
    "one colour, large": Image.new("RGB", (3000, 2000), (200, 150, 160)),
    "smallest": Image.new("RGB", (16, 16), (200, 150, 160)),
}


@pytest.mark.parametrize("image", NOTHING.values(), ids=NOTHING)
def test_pictures_that_show_nothing_are_blank(image: Image.Image) -> None:
    with refused(ImageRefused, "blank"):
        read_image(image)


@pytest.mark.parametrize("bits", [11, 12, 14, 15])
def test_cells_of_fewer_bits_in_16_are_too_dark(bits: int, cells: list[Image.Image]) -> None:
    deep = (np.asarray(cells[0], np.uint32) * (2**bits - 1) // 255).astype(">u2")
    deep[-8:-2, 2:42] = 65535  # a scale bar
    height, width = deep.shape[:2]
    for colour, values in ((2, deep), (0, deep[..., 0])):
        rows = b"".join(b"\0" + row.tobytes() for row in values)
        with refused(ImageRefused, "too_dark"):
            read_image(png(width, height, rows, depth=16, colour=colour))
    with refused(ImageRefused, "too_dark"):
        read_image(Image.fromarray(deep[..., 0].astype(np.uint16)))


@pytest.mark.parametrize("bits", [12, 14])
def test_cells_that_were_saved_nearly_black_are_too_dark(bits: int, cells: list[Image.Image]) -> None:
    dark = np.asarray(cells[0]) >> (16 - bits)
    dark[-8:-2, 2:42] = 255  # a scale bar
    with refused(ImageRefused, "too_dark"):
        read_image(Image.fromarray(dark))


def test_coloured_blocks_have_colour() -> None:
    assert not is_colourless(Image.fromarray(COLOURS))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_closed_image_is_refused(kind: str) -> None:
    with Image.open(io.BytesIO(encoded(Image.fromarray(COLOURS), kind))) as image:
        pass
    with refused(ImageRefused, "unreadable"):
        read_image(image)
