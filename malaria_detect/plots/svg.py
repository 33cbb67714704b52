"""Figures as SVG for a page."""

import base64
import hashlib
import io
import re
import xml.etree.ElementTree as ElementTree
from html import escape

import matplotlib.style
from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
# Written to a hundredth of a point, which nobody sees and every processor agrees on.
_LENGTHS = ("d", "x", "y", "width", "height")
_NUMBER = re.compile(r"-?\d+\.\d+")
# Stands for a digest of the whole figure until that is known.
_PREFIX = "figure-(digest)"


def to_svg(figure: Figure, description: str) -> str:
    """Write a figure as SVG to be put into a page: readable aloud, as wide as its place, the same at every run.

    Text stays text: it is a tenth of the bytes of outlines, can be searched and translated, and takes the page's own
    type (``svg { font-family: ... }``). Room was measured with DejaVu Sans, which is wider than what pages use.

    Parameters
    ----------
    figure : Figure
        Of a function of this package.
    description : str
        What the figure says, for those who do not see it.

    Returns
    -------
    str
        One ``<svg>`` element, without prolog and without references to anything outside. Its ids begin with a digest
        of its contents, so that figures do not clash on a page.

    Raises
    ------
    ValueError
        When the description is empty.

    Examples
    --------
    >>> from malaria_detect.plots import class_counts
    >>> figure = class_counts({"all": {"Parasitized": 3, "Uninfected": 4}})
    >>> to_svg(figure, "Three parasitized and four uninfected cells.")[:4]
    '<svg'
    """
    if not description.strip():
        raise ValueError("A figure on a page needs a description, for those who do not see it; it is empty.")
    written = io.StringIO()
    # matplotlib's SVG writer takes these two from its settings only; all are put back at once.
    own = {"svg.fonttype": "none", "svg.hashsalt": "malaria_detect"}
    with matplotlib.style.context(["default", own]):
        # 200 dpi keep pictures of cells sharp; lines and type do not depend on it.
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", dpi=200, metadata=no_metadata)
    return _for_page(ElementTree.fromstring(written.getvalue()), description)


def _for_page(svg: ElementTree.Element, description: str) -> str:
    """Rewrite matplotlib's SVG document as an element of an HTML page."""
    markup = ElementTree.tostring(svg, encoding="unicode")
    referenced = set(re.findall(r'(?:href="#|url\(#)([^")]+)', markup))
    # matplotlib's style sheet would rule the whole page: its two rules stand on the element instead.
    svg.remove(svg[0])
    # matplotlib's ids are digests of numbers to their last digit, which differs between processors: counted instead.
    elements = [element for element in svg.iter() if element.get("id") in referenced]
    ids = {element.attrib["id"]: f"{_PREFIX}-{number}" for number, element in enumerate(elements)}
    for element in svg.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        name = element.attrib.pop("id", "")
        link = element.attrib.pop(_LINK, None)
        for key, value in list(element.attrib.items()):
            if key in _LENGTHS:
                element.set(key, _NUMBER.sub(_rounded, " ".join(value.split())))
            elif value.startswith("rotate(-0 "):
                del element.attrib[key]
            else:
                named = re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{ids[found[1]]})", value)
                element.set(key, re.sub(r"font-family: [^;]*;? ?", "", named))
        if name in ids:
            element.set("id", ids[name])
        if link is not None:
            # A picture's data are folded into lines, which became spaces.
            element.set("href", f"#{ids[link[1:]]}" if link[0] == "#" else link.replace(" ", ""))
    title = ElementTree.Element("title", {"id": f"{_PREFIX}-title"})
    title.text = description
    svg.insert(0, title)
    width, height = svg.attrib["viewBox"].split()[2:]
    svg.attrib = {
        "xmlns": _SVG,
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": f"{_PREFIX}-title",
        "font-family": "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
        "style": "display: block; width: 100%; height: auto",
    }
    written = ElementTree.tostring(svg, encoding="unicode")
    digest = hashlib.sha256(written.encode()).hexdigest()
    return written.replace(_PREFIX, f"figure-{digest[:10]}")


def _rounded(number: re.Match[str]) -> str:
    # Adding 0 makes a minus zero plain.
    return f"{round(float(number[0]), 2) + 0:g}"


def as_img(figure: Figure, alt: str) -> str:
    """A figure as an HTML ``<img>`` element that contains it.

    Parameters
    ----------
    figure : Figure
    alt : str
        What the figure shows, for those who cannot see it.
    """
    data = base64.b64encode(to_svg(figure, alt).encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'
