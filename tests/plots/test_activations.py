"""The grid of channels: which are shown, and that it says how many of how many."""

import numpy as np
import pytest

from malaria_detect.plots.activations import activation_grid


def test_the_channels_that_vary_most_are_shown_and_all_are_counted() -> None:
    maps = np.random.default_rng(0).normal(size=(1200, 5, 4)) * np.arange(1200)[:, None, None]
    figure = activation_grid(maps, shown=10)
    assert figure.get_suptitle() == "10 of 1,200 channels, 5 × 4"
    drawn = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    loudest = np.argsort(-maps.std(axis=(1, 2)))[:10]
    assert len(drawn) == 10
    for picture, channel in zip(drawn, loudest, strict=True):
        np.testing.assert_array_equal(picture, maps[channel])


def test_a_layer_with_few_channels_is_shown_whole() -> None:
    figure = activation_grid(np.zeros((3, 1, 1)))
    assert figure.get_suptitle() == "3 of 3 channels, 1 × 1"
    assert sum(bool(axes.images) for axes in figure.axes) == 3


@pytest.mark.parametrize(("shape", "shown"), [((0, 4, 4), 8), ((4, 4), 8), ((4, 4, 4), 0)])
def test_what_is_no_layer_is_refused(shape: tuple[int, ...], shown: int) -> None:
    with pytest.raises(ValueError, match="Expected maps"):
        activation_grid(np.zeros(shape), shown)
