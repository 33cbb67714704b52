"""Style and templates: readable, below one root, and without a call to anywhere else."""

import json
import re
from itertools import chain
from pathlib import Path

import jinja2
import pytest
from voila.app import Voila

from malaria_detect.app.server.voila import STYLE, TEMPLATES, PageKernelSpecs
from malaria_detect.inference.metadata import RESEARCH_USE

PROJECT = Path(__file__).resolve().parents[3]
PACKAGE = PROJECT / "malaria_detect"
CSS = (STYLE / "page.css").read_text(encoding="utf-8")
PALETTE = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", CSS))

TEXT, LARGE_OR_SHAPE = 4.5, 3.0  # WCAG 2.2 AA: 1.4.3 and 1.4.11


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("ink", "paper", TEXT),
        ("ink", "surface", TEXT),
        ("ink", "uncertainty-tint", TEXT),
        ("quiet", "paper", TEXT),
        ("quiet", "surface", TEXT),
        ("brand", "surface", TEXT),
        ("brand", "paper", TEXT),
        ("brand", "hover", TEXT),
        ("surface", "brand", TEXT),
        ("surface", "brand-dark", TEXT),
        ("surface", "chosen", TEXT),
        ("parasitized", "surface", TEXT),
        ("uninfected", "surface", TEXT),
        ("uncertainty", "uncertainty-tint", TEXT),
        ("problem", "problem-tint", TEXT),
        ("problem", "surface", TEXT),
        ("control", "surface", LARGE_OR_SHAPE),
        ("control", "paper", LARGE_OR_SHAPE),
        ("parasitized-fill", "track", LARGE_OR_SHAPE),
        ("uninfected-fill", "track", LARGE_OR_SHAPE),
        ("brand", "track", LARGE_OR_SHAPE),
    ],
)
def test_palette_has_the_contrast_of_wcag_aa(front: str, back: str, least: float) -> None:
    assert contrast(PALETTE[front], PALETTE[back]) >= least


def test_all_colours_are_the_palettes() -> None:
    rules = CSS.partition("}")[2]
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", rules)) <= {"#000000"}  # behind a cell, as in its picture


def test_no_rule_reaches_beyond_the_page() -> None:
    without_comments = re.sub(r"/\*.*?\*/", "", CSS, flags=re.DOTALL)
    flat = re.sub(r"@(container|media)[^{]+\{", "", without_comments)
    selectors = [one.strip() for one in re.findall(r"([^{}]+)\{", flat)]
    assert len(selectors) > 50
    assert [one for one in selectors if not one.startswith((".malaria-detect", ".md-"))] == []


def test_nothing_of_the_page_points_elsewhere() -> None:
    sources = chain(PACKAGE.glob("widgets/**/*"), PACKAGE.glob("serve/**/*"), PACKAGE.glob("visit_report*"))
    for source in sources:
        if source.suffix in {".css", ".js", ".html", ".j2", ".py"}:
            addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s'\"]*", source.read_text(encoding="utf-8"))
            assert [one for one in addresses if "www.w3.org/" not in one] == [], source


@pytest.mark.parametrize("name", ["loading.html", "page.html"])
def test_research_use_line_stands_while_the_page_loads_and_on_error_pages(name: str) -> None:
    assert RESEARCH_USE in (TEMPLATES / name).read_text(encoding="utf-8")


def test_voila_takes_its_pages_from_the_package() -> None:
    voila = Voila()
    voila.template_paths = ["/somewhere"]
    PageKernelSpecs(parent=voila)
    assert voila.template_paths == [str(TEMPLATES), str(STYLE), "/somewhere"]


def test_other_applications_get_ordinary_kernel_specs() -> None:
    assert PageKernelSpecs().find_kernel_specs()["python3"]


def test_error_pages_are_ours_and_ask_nobody() -> None:
    voila = Voila()
    voila.initialize(["--no-browser", str(PROJECT / "dashboard.ipynb")])
    PageKernelSpecs(parent=voila)
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(voila.template_paths), extensions=["jinja2.ext.i18n"], autoescape=True
    )
    pages.install_null_translations()  # type: ignore[attr-defined]  # the extension's
    page = pages.get_template("404.html").render(status_code=404, status_message="Not <b>Found")
    assert RESEARCH_USE in page
    assert "404: Not &lt;b&gt;Found" in page
    assert "//" not in re.sub(r"/\*.*?\*/", "", page, flags=re.DOTALL)


def test_voila_hides_code_tracebacks_and_files_and_takes_no_other_template() -> None:
    settings = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))["VoilaConfiguration"]
    assert settings["strip_sources"] is True
    assert settings["show_tracebacks"] is False
    assert settings["file_allowlist"] == []
    assert settings["allow_template_override"] == settings["allow_theme_override"] == "NO"
