"""Figures: what stands in them and where the numbers lie; and the SVG that a page takes."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text
from PIL import Image

from malaria_detect import plots
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.passport import Epoch
from malaria_detect.plots.cells import Picture
from malaria_detect.plots.style import INK

SVG = "{http://www.w3.org/2000/svg}"
VERMILLION, BLUE = "#d55e00", "#0072b2"


def some_scores(area: float = 0.99, low: float = 0.98) -> Scores:
    return Scores(
        cells=2500,
        patients=24,
        parasitized=1500,
        threshold=0.5,
        true_positive=1440,
        false_negative=60,
        false_positive=20,
        true_negative=980,
        estimates={
            "accuracy": Estimate(0.968, 0.95, 0.98, 2420, 2500),
            "sensitivity": Estimate(0.96, 0.94, 0.97, 1440, 1500),
            "specificity": Estimate(0.98, 0.97, 0.99, 980, 1000),
            "precision": Estimate(1440 / 1460, 0.98, 0.99, 1440, 1460),
            "f1": Estimate(0.973, 0.96, 0.98),
            "roc_auc": Estimate(area, low, 0.995),
        },
        roc=((0.0, 0.0), (0.0, 0.8), (0.02, 0.96), (0.2, 1.0), (1.0, 1.0)),
    )


def some_history(sizes: Sequence[int] = (96, 96, 96, 160, 160, 224)) -> list[Epoch]:
    return [
        Epoch(
            epoch=number,
            size=size,
            train_loss=0.5 / number + 0.1,
            valid_loss=0.4 / number,
            accuracy=1 - 0.1 / number,
            precision=0.95,
            recall=0.94,
            f1=0.945,
            roc_auc=1 - 0.03 / number,
            seconds=90.0,
        )
        for number, size in enumerate(sizes, start=1)
    ]


def written(figure: Figure) -> list[Text]:
    """Everything that stands written in a figure."""
    figure.draw_without_rendering()
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in written(figure)]


def line(axes: Axes, name: str) -> tuple[list[float], list[float]]:
    (found,) = (line for line in axes.lines if line.get_label() == name)
    return np.asarray(found.get_xdata()).tolist(), np.asarray(found.get_ydata()).tolist()


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """Contrast ratio of WCAG 2.2; AA asks 4.5 of text."""

    def luminance(color: Sequence[float]) -> float:
        parts = np.array(color[:3])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def drawn_cell(width: int, height: int) -> np.ndarray:
    """A pink ellipse on black."""
    y, x = np.ogrid[:height, :width]
    inside = ((y - height / 2) / height) ** 2 + ((x - width / 2) / width) ** 2 < 0.24
    return np.where(inside[..., None], np.array([205, 160, 185]), 0).astype(np.uint8)


def every_figure() -> dict[str, Figure]:
    """One figure of each function."""
    cells = [drawn_cell(40 + 10 * n, 60) for n in range(5)]
    return {
        "confusion_matrix": plots.confusion_matrix(some_scores()),
        "roc_curve": plots.roc_curve(some_scores()),
        "loss_curves": plots.loss_curves(some_history()),
        "accuracy_curves": plots.accuracy_curves(some_history()),
        "cell_grid": plots.cell_grid(cells, ["Parasitized", "Uninfected"] * 2 + ["Parasitized"], columns=3),
        "mean_images": plots.mean_images({"Parasitized": cells[0], "Uninfected": cells[1] / 255}),
        "size_histogram": plots.size_histogram({"Parasitized": [120, 130, 150], "Uninfected": [110, 140]}),
        "class_counts": plots.class_counts({"training": {"Parasitized": 30, "Uninfected": 10}}),
        "patient_counts": plots.patient_counts([3, 0, 9], [1, 8, 2]),
        "top_losses": plots.top_losses(cells, ["label Uninfected\ncalled Parasitized"] * 5),
        "lr_curve": plots.lr_curve([1e-5, 1e-3, 1e-1, 1.0], [0.9, 0.6, 0.4, 9.0], 1.4e-3),
    }


FIGURES = tuple(every_figure())


def test_confusion_matrix_shows_counts_and_shares_of_each_label() -> None:
    figure = plots.confusion_matrix(some_scores())
    (axes,) = figure.axes
    placed = {text.get_text(): text.get_position() for text in axes.texts}
    where = {"1,440": (0, 0), "60": (1, 0), "20": (0, 1), "980": (1, 1)}
    for count, (column, row) in where.items():
        x, y = placed[count]
        assert (int(x), int(y)) == (column, row)
    lines = texts(figure)
    for share in ("96.0 %", "4.0 %", "2.0 %", "98.0 %", "1,500 cells", "1,000 cells"):
        assert share in lines
    assert "24 patients; threshold 0.5; shares of each label" in lines


def test_confusion_matrix_colours_by_share_and_keeps_the_ink_readable() -> None:
    (axes,) = plots.confusion_matrix(some_scores()).axes
    fills = {
        (round(patch.get_x()), round(patch.get_y())): to_rgb(patch.get_facecolor())
        for patch in axes.patches
        if isinstance(patch, Rectangle)
    }
    assert len(fills) == 4
    for column, row in fills:
        # Vermillion has more red, blue has more blue; a greater share lies further from white.
        red, _, blue = fills[column, row]
        assert (red > blue) == (row == 0)
        assert contrast(fills[column, row], to_rgb(INK)) >= 4.5
    assert sum(fills[0, 0]) < sum(fills[1, 0])
    assert sum(fills[1, 1]) < sum(fills[0, 1])


def test_roc_curve_of_a_good_model_shows_its_corner_enlarged() -> None:
    figure = plots.roc_curve(some_scores())
    (axes,) = figure.axes
    (inset,) = axes.child_axes
    assert isinstance(inset, Axes)
    expected = ([0.0, 0.0, 0.02, 0.2, 1.0], [0.0, 0.8, 0.96, 1.0, 1.0])
    for shown in (axes, inset):
        assert line(shown, "ROC") == expected
        assert np.allclose(line(shown, "threshold"), [[0.02], [0.96]])
    assert inset.get_xlim()[1] == 0.2
    assert inset.get_ylim()[0] == 0.8
    lines = texts(figure)
    for text in ("ROC AUC 0.9900", "95 % interval 0.9800 to 0.9950", "threshold 0.5:", "specificity 98.0 %"):
        assert text in lines
    assert axes.get_xlabel() == "false positive rate (1 − specificity)"


def test_roc_curve_of_a_poor_model_has_no_inset_and_no_undefined_interval() -> None:
    figure = plots.roc_curve(some_scores(area=0.8, low=float("nan")))
    assert figure.axes[0].child_axes == []
    assert not [text for text in texts(figure) if "nan" in text or "interval" in text]


def test_loss_curves_draw_both_losses_over_bands_of_picture_size() -> None:
    history = some_history()
    figure = plots.loss_curves(history)
    (axes,) = figure.axes
    epochs = [1, 2, 3, 4, 5, 6]
    assert line(axes, "training") == (epochs, [epoch.train_loss for epoch in history])
    assert line(axes, "validation") == (epochs, [epoch.valid_loss for epoch in history])
    bands = [(patch.get_x(), patch.get_width()) for patch in axes.patches if isinstance(patch, Rectangle)]
    assert bands == [(0.5, 3.0), (3.5, 2.0), (5.5, 1.0)]
    lines = texts(figure)
    for text in ("96 px", "160 px", "224", "training 0.183", "validation 0.067"):
        assert text in lines


def test_accuracy_curves_draw_accuracy_and_area() -> None:
    history = some_history()
    (axes,) = plots.accuracy_curves(history).axes
    assert line(axes, "accuracy")[1] == [epoch.accuracy for epoch in history]
    assert line(axes, "ROC AUC")[1] == [epoch.roc_auc for epoch in history]


@pytest.mark.parametrize("draw", [plots.loss_curves, plots.accuracy_curves])
@pytest.mark.parametrize("sizes", [(96,), (64,) * 30, (96, 160, 224)])
def test_curves_number_whole_epochs_however_many(
    draw: Callable[[Sequence[Epoch]], Figure], sizes: tuple[int, ...]
) -> None:
    (axes,) = draw(some_history(sizes)).axes
    ticks = axes.get_xticks()
    assert 1 <= len(ticks) <= 10
    assert (ticks == ticks.astype(int)).all()


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    (last,) = some_history([96])
    figure = plots.loss_curves([last, replace(last, epoch=2, train_loss=0.1, valid_loss=0.1001)])
    figure.draw_without_rendering()
    ends = [text for text in figure.axes[0].texts if text.get_text().startswith(("training", "validation"))]
    one, other = (text.get_window_extent() for text in ends)
    assert not one.overlaps(other)


def test_curves_of_no_epoch_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        plots.loss_curves([])


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
    with pytest.raises(ValueError, match=f"there are {images} and {titles}"):
        plots.cell_grid([drawn_cell(40, 40)] * images, ["Parasitized"] * titles)


def test_float_picture_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1; this one goes from 0\.0 to 205\.0"):
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
    assert "Parasitized 7,923 (50 %)" in lines
    assert "Uninfected 100 (25 %)" in lines
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


def test_lr_curve_marks_the_suggestion_and_cuts_off_the_explosion() -> None:
    rates, losses = [1e-6, 1e-4, 1e-2, 1.0], [0.9, 0.7, 0.5, 40.0]
    figure = plots.lr_curve(rates, losses, 1.4e-3)
    (axes,) = figure.axes
    curve, suggestion = axes.lines
    assert np.asarray(curve.get_xdata()).tolist() == rates
    assert np.asarray(curve.get_ydata()).tolist() == losses
    assert np.asarray(suggestion.get_xdata()).tolist() == [1.4e-3, 1.4e-3]
    assert axes.get_xscale() == "log"
    assert 0.9 < axes.get_ylim()[1] < 2
    assert "suggested 1.4e-3" in texts(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_dark_large_and_inside_the_figure(name: str) -> None:
    figure = every_figure()[name]
    for text in written(figure):
        assert contrast(to_rgb(text.get_color()), (1, 1, 1)) >= 4.5
        # On a telephone, 360 px wide; eight or four cells in a row are for wider places.
        if name not in ("cell_grid", "top_losses"):
            assert float(text.get_fontsize()) * 360 / (72 * figure.get_figwidth()) > 10
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= -0.01
    assert drawn.x1 <= figure.get_figwidth() + 0.01
    assert drawn.y1 <= figure.get_figheight() + 0.01


def test_drawing_leaves_the_global_settings_and_pyplot_alone() -> None:
    program = """
import sys, matplotlib
before = matplotlib.rcParams.copy()
from malaria_detect import plots
plots.to_svg(plots.class_counts({"all": {"Parasitized": 1, "Uninfected": 2}}), "Three cells.")
print(before == matplotlib.rcParams.copy(), "matplotlib.pyplot" in sys.modules, "torch" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False", "False"]


@pytest.mark.parametrize("name", FIGURES)
def test_svg_fits_into_a_page(name: str) -> None:
    figure = every_figure()[name]
    svg = plots.to_svg(figure, 'Cells <of> "two" classes & more.')
    root = ElementTree.fromstring(svg)
    assert svg.startswith("<svg ")
    assert root.tag == f"{SVG}svg"
    for outside in ("<?xml", "<!DOCTYPE", "<style", "<script", "<metadata", "xlink", "@import"):
        assert outside not in svg
    assert svg.count("http") == 1  # the name of SVG itself
    # As wide as its place: a viewBox, and no width or height of its own.
    assert "width" not in root.attrib
    assert [float(number) for number in root.attrib["viewBox"].split()][2] == pytest.approx(
        72 * figure.get_figwidth(), abs=0.01
    )
    # Read aloud as one picture.
    title = root[0]
    assert root.attrib["role"] == "img"
    assert title.tag == f"{SVG}title"
    assert title.text == 'Cells <of> "two" classes & more.'
    assert root.attrib["aria-labelledby"] == title.attrib["id"]


@pytest.mark.parametrize("name", FIGURES)
def test_svg_keeps_text_as_text_in_the_type_of_the_page(name: str) -> None:
    figure = every_figure()[name]
    expected = {line for text in texts(figure) for line in text.split("\n")}
    root = ElementTree.fromstring(plots.to_svg(figure, "A figure."))
    assert {text.text for text in root.iter(f"{SVG}text")} <= expected
    assert any(True for _ in root.iter(f"{SVG}text"))
    assert not [element for element in root.iter() if "font-family" in element.get("style", "")]
    assert "sans-serif" in root.attrib["font-family"]


def test_ids_of_all_figures_differ_and_lead_somewhere() -> None:
    seen: set[str] = set()
    for name, figure in every_figure().items():
        svg = plots.to_svg(figure, f"The figure {name}.")
        root = ElementTree.fromstring(svg)
        ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert len(ids) == len(set(ids))
        assert not seen & set(ids)
        seen |= set(ids)
        links = [element.get("href", "") for element in root.iter() if "href" in element.attrib]
        links += [
            element.attrib["clip-path"][4:-1] for element in root.iter() if "clip-path" in element.attrib
        ]
        assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
        assert all(link.startswith(("#", "data:image/png;base64,")) and " " not in link for link in links)
        assert "url(#p" not in svg


def test_svg_is_the_same_in_another_process() -> None:
    program = """
from malaria_detect import plots
figure = plots.lr_curve([1e-5, 1e-3, 1e-1], [0.9, 0.6, 0.4], 1.4e-3)
print(plots.to_svg(figure, "The finder."), end="")
"""
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    figure = plots.lr_curve([1e-5, 1e-3, 1e-1], [0.9, 0.6, 0.4], 1.4e-3)
    assert there.stdout == plots.to_svg(figure, "The finder.")


def test_svg_needs_a_description() -> None:
    with pytest.raises(ValueError, match="needs a description"):
        plots.to_svg(plots.loss_curves(some_history()), " ")
