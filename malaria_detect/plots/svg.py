"""Figures as SVG: an image for an HTML page, or the bytes of a file."""

import base64
import io
from html import escape

import matplotlib.style
from matplotlib.figure import Figure


def as_img(figure: Figure, alt: str) -> str:
    """HTML ``<img>`` element that contains the figure as SVG, for a page or a notebook.

    Figures of this package are not registered with pyplot, so none has to be closed.

    Parameters
    ----------
    figure : Figure
    alt : str
        What the figure shows, for readers who cannot see it; it is escaped here.

    Raises
    ------
    ValueError
        If the description is empty.

    Examples
    --------
    >>> from malaria_detect.plots import class_counts
    >>> figure = class_counts({"all": {"Parasitized": 3, "Uninfected": 4}})
    >>> as_img(figure, "Three parasitized and four uninfected cells.")[:36]
    '<img src="data:image/svg+xml;base64,'
    """
    if not alt.strip():
        raise ValueError("The description of the figure is empty. Say in a sentence what it shows.")
    data = base64.b64encode(to_svg_bytes(figure)).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'


def to_svg_bytes(figure: Figure) -> bytes:
    """SVG document of a figure, the same for the same numbers and matplotlib version.

    Text stays text, which keeps the file small; the reader's own sans-serif font is used.

    Parameters
    ----------
    figure : Figure
    """
    file = io.BytesIO()
    own = {"svg.fonttype": "none", "svg.hashsalt": "malaria_detect"}
    with matplotlib.style.context(["default", own]):
        # The resolution matters for cell images only.
        figure.savefig(file, format="svg", dpi=200, metadata={"Date": None})
    return file.getvalue()
