"""Figures of what cells look like on the whole."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch
from numpy.typing import ArrayLike

from malaria_detect import plots
from tests.plots.figures import BLUE, VERMILLION, figure_of, some_class_images, some_colours, texts


def test_colour_histograms_are_shares_of_each_class_in_three_channels() -> None:
    colours = {"Parasitized": [[200, 100, 150]] * 3 + [[220, 100, 150]], "Uninfected": [[200, 160, 170]]}
    figure = plots.colour_histograms(colours)
    red, green, blue = figure.axes
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == ["red", "green", "blue"]
    for axes in (red, green, blue):
        lines = {
            patch.get_label(): patch
            for patch in axes.patches
            if isinstance(patch, StepPatch) and not patch.fill
        }
        assert {name: to_hex(step.get_edgecolor()) for name, step in lines.items()} == {
            "Parasitized": VERMILLION,
            "Uninfected": BLUE,
        }
        for step in lines.values():
            assert np.sum(step.get_data()[0]) == pytest.approx(1)
    values, edges, _ = next(p for p in red.patches if isinstance(p, StepPatch)).get_data()
    assert dict(zip(edges, values, strict=False))[200] == 0.75
    assert dict(zip(edges, values, strict=False))[220] == 0.25
    assert {"Parasitized", "Uninfected", "mean of a cell (0 to 255)"} <= set(texts(figure))


@pytest.mark.parametrize("wrong", [np.zeros((0, 3)), np.zeros(3), np.zeros((4, 2))])
def test_colours_of_another_shape_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="Colours of Uninfected must have the shape"):
        plots.colour_histograms({"Parasitized": some_colours(3), "Uninfected": wrong})


def test_patients_are_stripes_of_their_own_colour_from_red_to_blue() -> None:
    colours = {"infected": [[100, 120, 200], [220, 150, 140], [170, 150, 170]], "healthy": [[0, 0, 255]]}
    figure = plots.patient_colours(colours)
    infected, healthy = (np.asarray(axes.images[0].get_array()) * 255 for axes in figure.axes)
    assert np.rint(infected).tolist() == [[[220, 150, 140], [170, 150, 170], [100, 120, 200]]]
    assert np.rint(healthy).tolist() == [[[0, 0, 255]]]
    assert texts(figure) == ["3 infected patients", "1 healthy patient"]


@pytest.mark.parametrize("wrong", [[[0, 0, 256]], [[-1, 0, 0]], [[0.5, 0.5]], [0.5], np.zeros((0, 3))])
def test_patients_colours_outside_their_range_are_refused(wrong: ArrayLike) -> None:
    with pytest.raises(ValueError, match="Colours of healthy must have the shape"):
        plots.patient_colours({"healthy": wrong})


def test_class_images_show_both_classes_and_where_each_is_higher() -> None:
    means, _ = some_class_images()
    figure = figure_of("class_images")
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert np.array_equal(pictures[0], means["Parasitized"])
    assert np.array_equal(pictures[1], means["Uninfected"])
    assert pictures[3].max() == 1  # standard deviations are brightened, both classes by the same
    assert pictures[3].max() / pictures[4].max() == pytest.approx(2)
    assert pictures[2].min() == pytest.approx(-10)
    assert pictures[5].max() > 0 == pictures[5].min()
    tint = figure.axes[2].images[0]
    assert tint.get_clim() == pytest.approx((-10, 10))
    assert [to_hex(color) for color in tint.cmap(np.array([0.0, 0.5, 1.0]))] == [BLUE, "#ffffff", VERMILLION]
    written = texts(figure)
    assert {"mean", "standard deviation", "difference", "up to 10.0 levels"} <= set(written)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == list(means)


def test_classes_that_are_alike_differ_nowhere() -> None:
    mean = some_class_images()[0]["Uninfected"]
    alike = {"Parasitized": mean, "Uninfected": mean}
    figure = plots.class_images(alike, {name: np.zeros_like(mean) for name in alike})
    assert "up to 0.0 levels" in texts(figure)
    assert not np.asarray(figure.axes[2].images[0].get_array()).any()


def test_pictures_that_do_not_belong_together_are_refused() -> None:
    means, spreads = some_class_images()
    one = {"Parasitized": means["Parasitized"]}
    smaller = {name: spread[:40] for name, spread in spreads.items()}
    for first, second in (
        (one, one),
        (means, one),
        (means, smaller),
        (means, dict(reversed(spreads.items()))),
    ):
        with pytest.raises(ValueError, match="of the same two classes"):
            plots.class_images(first, second)
