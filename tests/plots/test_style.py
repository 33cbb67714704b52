"""What all figures have in common: type that can be read, nothing cut off, no settings changed."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from malaria_detect.plots.style import spread
from tests.plots.figures import FIGURES, contrast, figure_of, overlapping, written


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_dark_large_and_inside_the_figure(name: str) -> None:
    figure = figure_of(name)
    for text in written(figure):
        assert contrast(to_rgb(text.get_color()), (1, 1, 1)) >= 4.5
        # On a telephone, 360 px wide; eight or four cells in a row are for wider places.
        if name not in ("cell_grid", "top_losses"):
            assert float(text.get_fontsize()) * 360 / (72 * figure.get_figwidth()) > 10
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= -0.01
    assert drawn.x1 <= figure.get_figwidth() + 0.01
    assert drawn.y1 <= figure.get_figheight() + 0.01


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_runs_into_another(name: str) -> None:
    assert overlapping(written(figure_of(name))) == []


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.01, 0.5))
def test_spread_labels_keep_their_order_and_distance(heights: list[float], apart: float) -> None:
    wanted = {f"line {number}": height for number, height in enumerate(heights)}
    found = spread(wanted, apart)
    assert found.keys() == wanted.keys()
    assert (np.diff(list(found.values())) >= apart - 1e-9).all()
    assert [wanted[name] for name in found] == sorted(heights)


def test_labels_that_are_far_apart_stay_where_they_want() -> None:
    assert spread({"low": 0.1, "high": 0.9}, apart=0.2) == pytest.approx({"low": 0.1, "high": 0.9})


def test_drawing_leaves_the_global_settings_and_pyplot_alone() -> None:
    program = """
import sys, matplotlib
before = matplotlib.rcParams.copy()
from malaria_detect import plots
plots.to_svg_bytes(plots.class_counts({"all": {"Parasitized": 1, "Uninfected": 2}}))
print(before == matplotlib.rcParams.copy(), "matplotlib.pyplot" in sys.modules, "torch" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False", "False"]
