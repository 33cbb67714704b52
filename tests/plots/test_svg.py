"""The SVG that a page takes: complete, readable aloud, the same at every run."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import matplotlib
import pytest

from malaria_detect import plots
from tests.plots.figures import FIGURES, description_of, figure_of, four_scores, some_history, svg_of, texts

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", FIGURES)
def test_svg_fits_into_a_page(name: str) -> None:
    figure = figure_of(name)
    svg = svg_of(name)
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
    assert title.text == description_of(name)
    assert root.attrib["aria-labelledby"] == title.attrib["id"]


@pytest.mark.parametrize("name", FIGURES)
def test_svg_keeps_text_as_text_in_the_type_of_the_page(name: str) -> None:
    figure = figure_of(name)
    expected = {line for text in texts(figure) for line in text.split("\n")}
    root = ElementTree.fromstring(svg_of(name))
    assert {text.text for text in root.iter(f"{SVG}text")} <= expected
    assert any(True for _ in root.iter(f"{SVG}text"))
    assert not [element for element in root.iter() if "font-family" in element.get("style", "")]
    assert "sans-serif" in root.attrib["font-family"]


def test_ids_of_all_figures_differ_and_lead_somewhere() -> None:
    seen: set[str] = set()
    for name in FIGURES:
        svg = svg_of(name)
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
from tests.plots.figures import svg_of
print(svg_of("patient_leakage") + svg_of("reliability_diagram"), end="")
"""
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout == svg_of("patient_leakage") + svg_of("reliability_diagram")


@pytest.mark.parametrize("name", ["roc_curve with points", "patient_dots", "cell_grid"])
def test_svg_depends_on_the_numbers_alone(name: str) -> None:
    """Not on whether, and how, the figure was looked at before; nor on the reader's own matplotlib settings."""
    figure = FIGURES[name]()
    figure.set_dpi(50)
    figure.draw_without_rendering()
    assert plots.to_svg(figure, description_of(name)) == svg_of(name)
    others: Any = {
        "font.family": "serif",
        "font.size": 20,
        "axes.facecolor": "black",
        "axes.grid": True,
        "savefig.bbox": "tight",
        "svg.fonttype": "path",
        "svg.hashsalt": "other",
    }
    with matplotlib.rc_context(others):
        assert plots.to_svg(FIGURES[name](), description_of(name)) == svg_of(name)


def test_svg_of_other_numbers_is_another() -> None:
    one, other = (plots.patient_leakage(*[four_scores(value)] * 3) for value in (0.97, 0.971))
    assert plots.to_svg(one, "A figure.") != plots.to_svg(other, "A figure.")


@pytest.mark.parametrize("name", FIGURES)
def test_svg_holds_no_more_digits_than_can_be_seen(name: str) -> None:
    """Digits that differ between processors would make committed figures look changed."""
    for element in ElementTree.fromstring(svg_of(name)).iter():
        for key in ("d", "x", "y", "width", "height"):
            assert not re.search(r"\.\d{3}", element.get(key, ""))


def test_svg_needs_a_description() -> None:
    with pytest.raises(ValueError, match="needs a description"):
        plots.to_svg(plots.loss_curves(some_history()), " ")
