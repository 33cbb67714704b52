"""Figures of cells: images, sizes, numbers, colours and activations."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle, StepPatch
from matplotlib.text import Text
from numpy.testing import assert_allclose
from PIL import Image

from malaria_detect import plots
from malaria_detect.plots.cells import Picture
from tests.plots.figures import drawn_cell, figure_of, some_class_images, texts

VERMILLION, BLUE = "#d55e00", "#0072b2"


def drawn(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def frames(figure: Figure) -> list[str]:
    return [to_hex(axes.spines["left"].get_edgecolor()) for axes in figure.axes]


def test_cell_grid_shows_each_cell_whole_on_a_black_square() -> None:
    cells: list[Picture] = [drawn_cell(30, 50), drawn_cell(60, 20), Image.fromarray(drawn_cell(40, 40))]
    figure = plots.cell_grid(cells, ["Parasitized", "Uninfected", "no label"], columns=2)
    for axes, cell, shown in zip(figure.axes, cells, drawn(figure), strict=True):
        assert_allclose(shown, np.asarray(cell))
        height, width = shown.shape[:2]
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert right - left == bottom - top == max(height, width)
        assert (left + right, top + bottom) == (width - 1, height - 1)
        assert to_hex(axes.get_facecolor()) == "#000000"
    assert frames(figure)[:2] == [VERMILLION, BLUE]
    assert frames(figure)[2] not in frames(figure)[:2]
    # Two columns: the third cell starts the second row.
    first, second, third = (np.round(axes.get_position().p0, 9) for axes in figure.axes)
    assert first[1] == second[1] > third[1]
    assert first[0] == third[0] < second[0]


def test_titles_of_a_grid_are_folded_and_stay_in_their_column() -> None:
    title = "C100P61ThinF_IMG_20150918_144104_cell_162.png Uninfected"
    figure = plots.cell_grid([drawn_cell(40, 40)] * 4, [title, r"$\oops$", "", "Parasitized"], columns=2)
    figure.draw_without_rendering()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0].replace("\n", "") == title.replace(" ", "")
    assert titles[1] == r"$\oops$"  # no formula
    for axes in figure.axes:
        for text in axes.findobj(Text):
            # Drawn type is a little wider than measured: its edges lie on whole pixels.
            assert text.get_window_extent().width <= 1.05 * axes.get_window_extent().width


def test_mean_images_are_side_by_side_and_top_losses_four_in_a_row() -> None:
    means = {"Parasitized": drawn_cell(64, 64), "Uninfected": drawn_cell(64, 64) / 255}
    figure = plots.mean_images(means)
    assert texts(figure) == list(means)
    assert_allclose(drawn(figure)[1], means["Uninfected"])
    for name, columns in (("mean_images", 2), ("top_losses", 4)):
        heights = [round(axes.get_position().y0, 9) for axes in figure_of(name).axes]
        assert heights.count(max(heights)) == columns
    # Framed by label, not by decision.
    assert set(frames(figure_of("top_losses"))) == {BLUE}


def test_class_images_show_both_classes_and_where_each_is_higher() -> None:
    means, _ = some_class_images()
    figure = figure_of("class_images")
    pictures = drawn(figure)
    assert_allclose(pictures[0], means["Parasitized"])
    assert_allclose(pictures[1], means["Uninfected"])
    # Standard deviations are brightened, both classes by the same factor.
    assert (pictures[3].max(), pictures[4].max()) == pytest.approx((1, 0.5))
    middle, corner = (24, 24), (0, 0)
    assert [to_hex(pictures[place][middle]) for place in (2, 5)] == [BLUE, VERMILLION]
    assert [to_hex(pictures[place][corner]) for place in (2, 5)] == ["#ffffff"] * 2
    assert "difference\nup to 10.0 levels" in texts(figure)
    assert "Uninfected\nstandard deviation" in texts(figure)


def test_classes_that_are_alike_differ_nowhere() -> None:
    mean = some_class_images()[0]["Uninfected"]
    alike = {"Parasitized": mean, "Uninfected": mean}
    figure = plots.class_images(alike, {name: np.zeros_like(mean) for name in alike})
    assert "difference\nup to 0.0 levels" in texts(figure)
    assert (drawn(figure)[2] == 1).all()


def test_size_histogram_counts_every_cell_of_each_class() -> None:
    sides = {"Parasitized": np.array([40, 130, 131, 394]), "Uninfected": np.array([100, 109, 110])}
    figure = plots.size_histogram(sides)
    for axes, (name, values) in zip(figure.axes, sides.items(), strict=True):
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert sum(bar.get_height() for bar in bars) == len(values)
        assert axes.get_title(loc="left") == f"{name}: {len(values)} cells"
        assert bars[0].get_x() == 40
        assert bars[-1].get_x() + bars[-1].get_width() == 400
    assert {"longer side (px)", "median 109 px"} <= set(texts(figure))


def test_class_counts_name_count_and_share_of_each_bar() -> None:
    counts = {
        "training": {"Parasitized": 7923, "Uninfected": 7950},
        "validation": {"Parasitized": 300, "Uninfected": 100},
    }
    figure = plots.class_counts(counts)
    widths = [patch.get_width() for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert widths == [7923, 7950, 300, 100]
    shares = {"Parasitized 7,923 (50\N{NO-BREAK SPACE}%)", "Uninfected 100 (25\N{NO-BREAK SPACE}%)"}
    assert shares | counts.keys() <= set(texts(figure))


def test_patient_counts_stack_infected_patients_before_healthy_ones() -> None:
    figure = plots.patient_counts(parasitized=[0, 5, 20, 0], uninfected=[7, 10, 1, 90])
    steps = [patch.get_data() for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
    (parasitized, _, _), (uninfected, _, baseline) = steps
    assert parasitized.tolist() == [20, 5, 0, 0]
    assert uninfected.tolist() == [21, 15, 90, 7]
    assert np.asarray(baseline).tolist() == [20, 5, 0, 0]
    lines = {"Parasitized: 25 cells of 2 patients", "Uninfected: 108 cells of 4 patients"}
    assert lines <= set(texts(figure))


def test_colour_histograms_are_shares_of_each_class_in_three_channels() -> None:
    colours = {"Parasitized": [[200, 100, 150]] * 3 + [[220, 100, 150]], "Uninfected": [[200, 160, 170]]}
    figure = plots.colour_histograms(colours)
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == ["red", "green", "blue"]
    parasitized, uninfected = (patch for patch in figure.axes[0].patches if isinstance(patch, Polygon))
    assert [to_hex(one.get_edgecolor()) for one in (parasitized, uninfected)] == [VERMILLION, BLUE]
    heights = {tuple(corner) for corner in parasitized.get_xy().tolist()}
    assert {(200, 0.75), (205, 0.75), (220, 0.25), (225, 0.25)} <= heights
    assert uninfected.get_xy()[:, 1].max() == 1
    assert {"Parasitized", "Uninfected", "mean of a cell (0 to 255)"} <= set(texts(figure))


def test_patients_are_stripes_of_their_own_colour_from_red_to_blue() -> None:
    colours = {"infected": [[100, 120, 200], [220, 150, 140], [170, 150, 170]], "healthy": [[0, 0, 255]]}
    figure = plots.patient_colours(colours)
    infected, healthy = (picture * 255 for picture in drawn(figure))
    assert np.rint(infected).tolist() == [[[220, 150, 140], [170, 150, 170], [100, 120, 200]]]
    assert np.rint(healthy).tolist() == [[[0, 0, 255]]]
    assert texts(figure) == ["3 infected patients", "1 healthy patient"]


def test_the_channels_that_vary_most_are_shown_and_all_are_counted() -> None:
    maps = np.random.default_rng(0).normal(size=(1200, 5, 4)) * np.arange(1200)[:, None, None]
    figure = plots.activation_grid(maps, shown=10)
    assert texts(figure) == ["10 of 1,200 channels, 5 × 4"]
    loudest = np.argsort(-maps.std(axis=(1, 2)))[:10]
    assert_allclose(drawn(figure), maps[loudest])
    few = plots.activation_grid(np.zeros((3, 1, 1)))
    assert texts(few) == ["3 of 3 channels, 1 × 1"]
    assert len(drawn(few)) == 3


@pytest.mark.parametrize(("shape", "shown"), [((0, 4, 4), 8), ((4, 4), 8), ((4, 4, 4), 0)])
def test_nothing_to_draw_is_refused(shape: tuple[int, ...], shown: int) -> None:
    with pytest.raises(ValueError, match="Expected maps"):
        plots.activation_grid(np.zeros(shape), shown)
    for images in (0, 1):
        with pytest.raises(ValueError, match=f"{images} images and {2 * images} titles"):
            plots.cell_grid([drawn_cell(40, 40)] * images, ["Parasitized"] * 2 * images)
