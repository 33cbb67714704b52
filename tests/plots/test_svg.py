"""Figures as SVG documents and as images of a page."""

import base64
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from malaria_detect import plots
from tests.plots.figures import FIGURES, figure_of, some_history

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_one_document_with_its_text_as_text(name: str) -> None:
    root = ElementTree.fromstring(plots.to_svg_bytes(figure_of(name)))
    assert root.tag == f"{SVG}svg"
    found = {text.text for text in root.iter(f"{SVG}text")}
    assert found


def test_an_image_holds_the_document_and_its_escaped_description() -> None:
    figure = plots.loss_curves(some_history())
    alt = '"Losses" of <b>training</b> & validation'
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign, assignment]
    parser.feed(plots.as_img(figure, alt))
    ((tag, attributes),) = tags
    assert (tag, attributes["alt"]) == ("img", alt)
    data = (attributes["src"] or "").removeprefix("data:image/svg+xml;base64,")
    assert base64.b64decode(data) == plots.to_svg_bytes(figure)


def test_an_image_without_a_description_is_refused() -> None:
    with pytest.raises(ValueError, match="description"):
        plots.as_img(plots.loss_curves(some_history()), " ")


def test_the_same_numbers_give_the_same_document_in_another_process() -> None:
    program = """
import sys
from malaria_detect import plots
from tests.plots.figures import FIGURES
sys.stdout.buffer.write(plots.to_svg_bytes(FIGURES["patient_dots"]()))
"""
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert there.stdout == plots.to_svg_bytes(FIGURES["patient_dots"]())
