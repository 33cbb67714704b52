"""Preprocessings: their names, what they do to a cell, and that the black around it stays black."""

import colorsys
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from malaria_detect.data.preprocessing import (
    PREPROCESSINGS,
    PreprocessError,
    check_preprocess,
    parse_preprocess,
    preprocess,
)
from malaria_detect.data.stain import cell_mask
from tests.drawn import draw_cell
from tests.refused import refused

CHOICES = [*((name,) for name in PREPROCESSINGS), ("blur:3.5",), ("macenko", "reinhard", "blur", "hsv")]


def a_cell(parasitized: bool = True) -> Image.Image:
    return draw_cell(np.random.default_rng(1), parasitized)


def pixels(image: Image.Image, *names: str) -> np.ndarray:
    return np.asarray(preprocess(image, names))


def test_names_have_one_spelling() -> None:
    assert check_preprocess(["blur", "blur:1.50", "reinhard", "macenko", "hsv"]) == (
        *("blur:1", "blur:1.5", "reinhard", "macenko", "hsv"),
    )
    assert parse_preprocess(" reinhard , blur:2.0 ") == ("reinhard", "blur:2")
    assert parse_preprocess(" ") == check_preprocess(()) == ()
    cell = a_cell()
    assert preprocess(cell, ()) is cell


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        *((names, "unknown") for names in (["sharpen"], ["HSV"], [""], ["hsv:1"], ["macenko:2"], "sharpen")),
        *(([f"blur:{sigma}"], "bad_sigma") for sigma in ("0", "-1", "nan", "inf", "21", "", "wide", "1:2")),
        *((["hsv", after], "bad_order") for after in ("blur", "hsv", "macenko")),
    ],
)
def test_wrong_names_are_refused(names: list[str] | str, reason: str) -> None:
    for known in PREPROCESSINGS if reason == "unknown" else [""]:
        with refused(PreprocessError, reason, naming=known):
            check_preprocess(names)


@pytest.mark.parametrize("names", CHOICES)
def test_black_around_the_cell_stays_black_and_size_stays(names: tuple[str, ...]) -> None:
    cell = a_cell()
    before = np.asarray(cell).copy()
    changed = preprocess(cell, names)
    assert (changed.mode, changed.size) == ("RGB", cell.size)
    assert not np.asarray(changed)[~cell_mask(before)].any()
    assert np.asarray(changed)[cell_mask(before)].any(axis=1).mean() > 0.99
    assert np.abs(np.asarray(changed).astype(int) - before).max() > 5
    assert np.array_equal(np.asarray(cell), before)
    # A wider black margin counts for nothing.
    wider = Image.new("RGB", (cell.width + 60, cell.height + 40))
    wider.paste(cell, (30, 20))
    inner = pixels(wider, *names)[20:-20, 30:-30]
    assert np.abs(inner.astype(int) - np.asarray(changed)).max() <= 1


def test_preprocessings_are_applied_in_their_order() -> None:
    cell = a_cell()
    one_by_one = preprocess(preprocess(cell, ["reinhard"]), ["blur:2"])
    assert np.array_equal(pixels(cell, "reinhard", "blur:2"), np.asarray(one_by_one))
    assert not np.array_equal(pixels(cell, "blur:2", "reinhard"), np.asarray(one_by_one))


def test_hsv_channels_are_those_of_the_colour() -> None:
    colours = np.array([[[200, 100, 100], [100, 120, 240], [180, 180, 180]]], dtype=np.uint8)
    wanted = [[255 * part for part in colorsys.rgb_to_hsv(*colour)] for colour in colours[0] / 255]
    assert np.abs(pixels(Image.fromarray(colours), "hsv")[0] - np.array(wanted)).max() <= 1


def test_blur_smooths_the_cell_and_does_not_darken_its_edge() -> None:
    even = np.zeros((50, 60, 3), np.uint8)
    even[10:40, 5:50] = (200, 150, 160)
    assert np.array_equal(pixels(Image.fromarray(even), "blur:3"), even)
    cell = a_cell()
    inside = cell_mask(np.asarray(cell))
    spreads = [pixels(cell, *names)[inside].std() for names in ((), ("blur:1",), ("blur:4",))]
    assert spreads[0] > spreads[1] > spreads[2] > 0


ODD = st.one_of(
    arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))),
    # Few colours, among them black, in larger pictures: even ones, halves, thin lines.
    st.tuples(
        st.integers(16, 40), st.integers(16, 40), st.lists(st.sampled_from([0, 9, 11, 254, 255]), min_size=1)
    ).map(lambda odd: np.resize(np.array(odd[2], np.uint8), (odd[0], odd[1], 3))),
)


@settings(max_examples=60)
@given(ODD, st.sampled_from(CHOICES))
def test_no_image_is_too_odd(odd: np.ndarray, names: tuple[str, ...]) -> None:
    changed = pixels(Image.fromarray(odd), *names)
    assert changed.shape == odd.shape
    assert not changed[~cell_mask(odd)].any()


def test_preprocessing_costs_no_torch() -> None:
    program = """
import sys
from PIL import Image
from malaria_detect.data.preprocessing import preprocess
preprocess(Image.effect_noise((30, 30), 90).convert("RGB"), ["macenko", "reinhard"])
assert not {"torch", "fastai", "tensorflow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
