"""Figures of cells: grids, sizes, counts."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text
from PIL import Image

from malaria_detect import plots
from malaria_detect.plots.cells import Picture
from tests.plots.figures import BLUE, VERMILLION, drawn_cell, texts


def test_cell_grid_shows_each_cell_whole_on_a_black_square() -> None:
    cells: list[Picture] = [drawn_cell(30, 50), drawn_cell(60, 20), Image.fromarray(drawn_cell(40, 40))]
    figure = plots.cell_grid(cells, ["Parasitized", "Uninfected", "no label"], columns=2)
    assert len(figure.axes) == 3
    for axes, cell in zip(figure.axes, cells, strict=True):
        shown = np.asarray(axes.images[0].get_array())
        side = max(np.asarray(cell).shape[:2])
        assert shown.shape == (side, side, 3)
        assert shown.sum() == np.asarray(cell).sum()
    frames = [to_hex(axes.spines["left"].get_edgecolor()) for axes in figure.axes]
    assert frames[:2] == [VERMILLION, BLUE]
    assert frames[2] not in frames[:2]
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


@pytest.mark.parametrize(("images", "titles"), [(0, 0), (1, 2), (3, 2)])
def test_grid_without_a_title_for_each_picture_is_refused(images: int, titles: int) -> None:
    with pytest.raises(ValueError, match=f"{images} images and {titles} titles"):
        plots.cell_grid([drawn_cell(40, 40)] * images, ["Parasitized"] * titles)


def test_float_picture_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        plots.mean_images({"Parasitized": drawn_cell(40, 40).astype(float)})


def test_mean_images_stand_side_by_side_under_their_class() -> None:
    means = {"Parasitized": drawn_cell(64, 64), "Uninfected": drawn_cell(64, 64) / 255}
    figure = plots.mean_images(means)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(means)
    for axes, mean in zip(figure.axes, means.values(), strict=True):
        assert np.array_equal(np.asarray(axes.images[0].get_array()), mean)


def test_top_losses_stand_four_in_a_row_framed_by_their_label() -> None:
    titles = ["label Uninfected\ncalled Parasitized\nloss 4.10"] * 5
    figure = plots.top_losses([drawn_cell(40, 40)] * 5, titles)
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    assert {to_hex(axes.spines["top"].get_edgecolor()) for axes in figure.axes} == {BLUE}
    heights = [round(axes.get_position().y0, 9) for axes in figure.axes]
    assert heights[0] == heights[3] > heights[4]


def test_size_histogram_counts_every_cell_of_each_class() -> None:
    sides = {"Parasitized": np.array([40, 130, 131, 394]), "Uninfected": np.array([100, 109, 110])}
    figure = plots.size_histogram(sides)
    assert len(figure.axes) == 2
    for axes, (name, values) in zip(figure.axes, sides.items(), strict=True):
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert sum(bar.get_height() for bar in bars) == len(values)
        assert axes.get_title(loc="left") == f"{name}: {len(values)} cells"
        assert bars[0].get_x() == 40
        assert bars[-1].get_x() + bars[-1].get_width() == 400
    assert figure.axes[1].get_xlabel() == "longer side (px)"
    assert "median 109 px" in texts(figure)


def test_class_counts_name_count_and_share_of_each_bar() -> None:
    counts = {
        "training": {"Parasitized": 7923, "Uninfected": 7950},
        "validation": {"Parasitized": 300, "Uninfected": 100},
    }
    figure = plots.class_counts(counts)
    (axes,) = figure.axes
    widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert widths == [7923, 7950, 300, 100]
    lines = texts(figure)
    assert "Parasitized 7,923 (50\N{NO-BREAK SPACE}%)" in lines
    assert "Uninfected 100 (25\N{NO-BREAK SPACE}%)" in lines
    assert {"training", "validation"} <= set(lines)


def test_patient_counts_stack_infected_patients_before_healthy_ones() -> None:
    figure = plots.patient_counts(parasitized=[0, 5, 20, 0], uninfected=[7, 10, 1, 90])
    (axes,) = figure.axes
    steps = [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]
    (parasitized, _, _), (uninfected, _, baseline) = steps
    assert parasitized.tolist() == [20, 5, 0, 0]
    assert uninfected.tolist() == [21, 15, 90, 7]
    assert np.asarray(baseline).tolist() == [20, 5, 0, 0]
    lines = texts(figure)
    assert "Parasitized: 25 cells of 2 patients" in lines
    assert "Uninfected: 108 cells of 4 patients" in lines
