"""Points in polygons, against scikit-image, which needs a loop in C for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.draw import polygon2mask
from skimage.measure import points_in_poly

from malaria_detect.fields.polygon import mask_of, within

# Halves, so that corners and borders often lie on the centre of a pixel, and any float32 values.
HALVES = st.integers(-8, 80).map(lambda value: value / 2)
ANY = st.floats(-4, 40, width=32)
OUTLINES = st.sampled_from([HALVES, ANY]).flatmap(
    lambda values: st.integers(3, 12).flatmap(
        lambda corners: arrays.arrays(np.float32, (corners, 2), elements=values)
    )
)


@given(outline=OUTLINES, height=st.integers(1, 40), width=st.integers(1, 40))
def test_masks_are_those_of_scikit_image(outline: np.ndarray, height: int, width: int) -> None:
    expected = polygon2mask((height, width), outline[:, ::-1] - (0.5, 0.5))
    np.testing.assert_array_equal(mask_of(outline, (height, width)), expected)


@given(outline=OUTLINES, points=arrays.arrays(np.float64, (20, 2), elements=HALVES))
def test_points_within_are_those_of_scikit_image(outline: np.ndarray, points: np.ndarray) -> None:
    # They are compared with corners and borders in units of 1e-12, as there.
    found = within(outline, points[:, :1], points[:, 1])[:, 0]
    np.testing.assert_array_equal(found, points_in_poly(points, outline))


@pytest.mark.parametrize("turned", [1, -1])
def test_corners_and_borders_are_within(turned: int) -> None:
    square = np.array([[2, 2], [6, 2], [6, 6], [2, 6]], float)[::turned]
    points = np.array([[2, 2], [4, 2], [6, 6], [6, 3], [4, 4], [1, 2], [7, 6]], float)
    assert within(square, points[:, :1], points[:, 1])[:, 0].tolist() == [True] * 5 + [False] * 2
