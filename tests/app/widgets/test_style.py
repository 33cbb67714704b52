"""Style and templates: readable, and without a call to another host."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from matplotlib.colors import to_rgb
from voila.app import Voila

from malaria_detect.app.server.voila import TEMPLATES, PageKernelSpecs
from malaria_detect.app.widgets.base import STYLE
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.plots.figures import contrast

PROJECT = Path(__file__).resolve().parents[3]
APP = PROJECT / "malaria_detect" / "app"
PALETTE = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", (STYLE / "page.css").read_text(encoding="utf-8")))

TEXT, LARGE_OR_SHAPE = 4.5, 3.0  # WCAG 2.2 AA: 1.4.3 and 1.4.11
ON = {
    "paper": ("ink", "quiet", "brand"),
    "surface": ("ink", "quiet", "brand", "parasitized", "uninfected", "problem"),
    "hover": ("brand",),
    "uncertainty-tint": ("ink", "uncertainty"),
    "problem-tint": ("problem",),
    "brand": ("surface",),
    "chosen": ("surface",),
}
SHAPES_ON = {"surface": ("control",), "track": ("parasitized-fill", "uninfected-fill")}


def test_the_palette_has_the_contrast_of_wcag_aa() -> None:
    for pairs, least in ((ON, TEXT), (SHAPES_ON, LARGE_OR_SHAPE)):
        for back, fronts in pairs.items():
            for front in fronts:
                assert contrast(to_rgb(PALETTE[front]), to_rgb(PALETTE[back])) >= least, (front, back)


def test_nothing_of_the_page_points_elsewhere() -> None:
    sources = [one for one in APP.rglob("*") if one.suffix in {".css", ".js", ".html", ".j2", ".py"}]
    assert len(sources) > 30
    for source in sources:
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s'\"]*", source.read_text(encoding="utf-8"))
        assert [one for one in addresses if "www.w3.org/" not in one] == [], source


@pytest.mark.parametrize("name", ["loading.html", "page.html"])
def test_the_research_use_line_is_on_loading_and_error_pages(name: str) -> None:
    assert RESEARCH_USE in (TEMPLATES / name).read_text(encoding="utf-8")


def test_voila_takes_its_pages_from_the_package() -> None:
    voila = Voila()
    voila.template_paths = ["/somewhere"]
    PageKernelSpecs(parent=voila)
    assert voila.template_paths == [str(TEMPLATES), str(STYLE), "/somewhere"]


@pytest.fixture
def signals_restored() -> Iterator[None]:
    """Lets a test replace what this process does when it is told to stop."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_restored")
def test_error_pages_are_ours_and_escape_messages() -> None:
    voila = Voila()
    voila.initialize(["--no-browser", str(PROJECT / "dashboard.ipynb")])
    PageKernelSpecs(parent=voila)
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(voila.template_paths), extensions=["jinja2.ext.i18n"], autoescape=True
    )
    pages.install_null_translations()  # type: ignore[attr-defined]  # the extension's
    page = pages.get_template("404.html").render(status_code=404, status_message="Not <b>Found")
    assert "404: Not &lt;b&gt;Found" in page
    assert "//" not in re.sub(r"/\*.*?\*/", "", page, flags=re.DOTALL)
