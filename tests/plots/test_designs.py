"""Designs side by side: their scores, what is in print of them, and those that were not run."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from malaria_detect import plots
from tests.plots.figures import some_designs, texts


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """Where the marks of one kind lie, without those of the key."""
    return [
        (float(np.asarray(line.get_xdata())[0]), float(np.asarray(line.get_ydata())[0]))
        for line in axes.lines
        if line.get_marker() == marker and line.get_label() != "key"
    ]


def test_every_network_that_was_run_stands_in_both_panels_level_with_its_name() -> None:
    accuracy, area = plots.design_comparison(some_designs()).axes
    ran = ["resnet34", "keras-cnn-128", "feature-fusion-resnet50v2-mobilenetv2", "small-cnn-64"]
    for axes in (accuracy, area):
        labels = axes.get_yticklabels()
        assert [label.get_text().replace("\n", "") for label in labels] == ran
        assert [label.get_fontweight() for label in labels] == ["bold", "normal", "normal", "normal"]
        places = axes.get_yticks()
        assert np.abs(places - [height for _, height in marks(axes, "o")]).max() <= 0.5
    assert [x for x, _ in marks(accuracy, "o")] == [0.968] * 4
    assert [x for x, _ in marks(area, "o")] == [0.99, 0.98, 0.95, 0.93]
    intervals = [lines.get_segments()[0] for lines in area.collections if isinstance(lines, LineCollection)]
    assert np.allclose(
        [segment[:, 0] for segment in intervals], [[one - 0.01, 0.995] for one in (0.99, 0.98, 0.95, 0.93)]
    )


def test_a_name_is_broken_after_hyphens_only() -> None:
    (accuracy, _) = plots.design_comparison(some_designs()).axes
    names = [label.get_text() for label in accuracy.get_yticklabels()]
    assert any("\n" in name for name in names)
    assert all(line.endswith("-") for name in names for line in name.split("\n")[:-1])


def test_a_number_in_print_is_hollow_and_said_to_be_of_another_protocol() -> None:
    figure = plots.design_comparison(some_designs())
    accuracy, area = figure.axes
    assert [x for x, _ in marks(accuracy, "D")] == [0.9598]
    assert [x for x, _ in marks(area, "D")] == [0.97]
    assert {line.get_markerfacecolor() for line in accuracy.lines if line.get_marker() == "D"} == {"white"}
    lines = texts(figure)
    assert "published, with another split" in lines
    assert "0.960" in lines
    alone = texts(plots.design_comparison([some_designs()[0], some_designs()[3]]))
    assert not [text for text in alone if "published" in text]


def test_our_interval_is_shaded_behind_all_networks() -> None:
    accuracy, area = plots.design_comparison(some_designs()).axes
    for axes, (low, high) in ((accuracy, (0.95, 0.98)), (area, (0.98, 0.995))):
        (shade,) = [found for found in axes.patches if isinstance(found, Rectangle)]
        assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((low, high))


def test_a_network_that_was_not_run_is_named_with_why() -> None:
    said = "\n".join(texts(plots.design_comparison(some_designs()))).replace("\n", " ")
    assert "Not run: vgg16-frozen: Its weights could not be had, and no file." in said
    assert "Not run" not in "\n".join(texts(plots.design_comparison(some_designs()[:-1])))


def test_a_comparison_in_which_nothing_was_run_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one design that was run"):
        plots.design_comparison(some_designs()[-1:])
