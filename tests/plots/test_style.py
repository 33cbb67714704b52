"""What all figures have in common: type that can be read, nothing cut off, no settings changed."""

import base64
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from malaria_detect import plots
from malaria_detect.plots.style import spread
from tests.plots.figures import FIGURES, contrast, figure_of, overlapping, written


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_dark_large_apart_and_inside_the_figure_and_stays_text_in_svg(name: str) -> None:
    figure = figure_of(name)
    for text in written(figure):
        assert contrast(to_rgb(text.get_color()), (1, 1, 1)) >= 4.5
        # On a telephone, 360 px wide; eight or four cells in a row are for wider places.
        if name not in ("cell_grid", "top_losses"):
            assert float(text.get_fontsize()) * 360 / (72 * figure.get_figwidth()) > 10
    assert overlapping(written(figure)) == []
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= -0.01
    assert drawn.x1 <= figure.get_figwidth() + 0.01
    assert drawn.y1 <= figure.get_figheight() + 0.01
    document = ElementTree.fromstring(plots.to_svg_bytes(figure))
    assert any(text.text for text in document.iter("{http://www.w3.org/2000/svg}text"))


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.01, 0.5))
def test_spread_labels_keep_their_order_and_distance(heights: list[float], apart: float) -> None:
    wanted = {f"line {number}": height for number, height in enumerate(heights)}
    found = spread(wanted, apart)
    assert found.keys() == wanted.keys()
    assert (np.diff(list(found.values())) >= apart - 1e-9).all()
    assert [wanted[name] for name in found] == sorted(heights)


def test_another_process_draws_the_same_and_leaves_settings_and_pyplot_alone() -> None:
    program = """
import sys, matplotlib
before = matplotlib.rcParams.copy()
from malaria_detect import plots
from tests.plots.figures import FIGURES
sys.stdout.buffer.write(plots.to_svg_bytes(FIGURES["patient_dots"]()))
assert before == matplotlib.rcParams.copy()
assert "matplotlib.pyplot" not in sys.modules
assert "torch" not in sys.modules
"""
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert there.stdout == plots.to_svg_bytes(FIGURES["patient_dots"]())


def test_an_image_holds_the_document_and_its_escaped_description() -> None:
    figure = figure_of("loss_curves")
    alt = '"Losses" of <b>training</b> & validation'
    image = ElementTree.fromstring(plots.as_img(figure, alt).replace('">', '"/>'))
    assert (image.tag, image.attrib["alt"]) == ("img", alt)
    data = image.attrib["src"].removeprefix("data:image/svg+xml;base64,")
    assert base64.b64decode(data) == plots.to_svg_bytes(figure)


def test_an_image_without_a_description_is_refused() -> None:
    with pytest.raises(ValueError, match="description"):
        plots.as_img(figure_of("loss_curves"), " ")
