"""Features of the handcrafted forest: what is a spot, and that drawn parasites are found."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from malaria_detect.designs.handcrafted import features_of, train_features
from malaria_detect.designs.handcrafted_forest import DESIGN, spot_features

PINK, PURPLE = (220, 170, 180), (120, 50, 140)


def cell(*spots: tuple[int, int, int, int], side: int = 100, noise: int = 0) -> Image.Image:
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 4, side - 5, side - 5), fill=PINK)
    for spot in spots:
        draw.ellipse(spot, fill=PURPLE)
    grain = np.random.default_rng(noise).integers(-6, 7, (side, side, 1)) * (np.asarray(image) > 0)
    return Image.fromarray((np.asarray(image).astype(int) + grain).clip(0, 255).astype(np.uint8))


def test_spots_are_counted_and_measured() -> None:
    large, small = (80, 80, 120, 120), (40, 40, 64, 64)
    none, one, two = cell(side=200), cell(large, side=200), cell(large, small, side=200)
    counts = [int(spot_features(image)[0]) for image in (none, one, two)]
    assert counts == [0, 1, 2]
    _, largest, total, saturation, spread = spot_features(two)
    # The edge of the cell is left out, and a spot with a sharp edge is blurred by a pixel.
    area = np.pi * 90**2
    assert largest == pytest.approx(np.pi * 21**2 / area, rel=0.1)
    assert total == pytest.approx(np.pi * (21**2 + 13**2) / area, rel=0.1)
    assert saturation == pytest.approx(1 - 50 / 140 - (1 - 170 / 220), abs=0.1)
    assert spread > spot_features(one)[4] > spot_features(none)[4]


def test_areas_are_shares_of_the_cell_whatever_its_size() -> None:
    small, large = cell((30, 30, 50, 50)), cell((60, 60, 100, 100), side=200)
    assert spot_features(large)[1:3] == pytest.approx(spot_features(small)[1:3], rel=0.2)


@pytest.mark.parametrize("image", [Image.new("RGB", (40, 40)), Image.new("RGB", (5, 5), "white")])
def test_an_image_without_a_cell_has_no_features(image: Image.Image) -> None:
    assert spot_features(image).tolist() == [0] * 5


def test_a_forest_learns_spots_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(25, 60, (80, 2))
    images = [
        cell((x, y, x + 14, y + 14), noise=x) if n % 2 else cell(noise=y)
        for n, (x, y) in enumerate(corners.tolist())
    ]
    labels = np.arange(80) % 2 == 1
    trained = train_features(DESIGN, images[:60], labels[:60], seed=1)
    odds = trained.log_odds(images[60:])
    assert ((odds > 0) == labels[60:]).all()
    assert np.isfinite(odds).all()
    again = train_features(DESIGN, images[:60], labels[:60], seed=1)
    assert np.array_equal(again.log_odds(images[60:]), odds)
    assert features_of(DESIGN, images[:3]).shape == (3, 5)
    assert DESIGN.size(trained.classifier) > 300
