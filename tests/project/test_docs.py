"""How docstrings and formulas become pages of the documentation site."""

from pathlib import Path

import pytest
from mkdocs.exceptions import PluginError

from tools.docs.docstrings import to_markdown
from tools.docs.hooks import on_page_content, on_post_build


def test_references_become_links_and_citations_a_list() -> None:
    assert to_markdown("See :class:`malaria_detect.data.images.ImageRefused` [2]_.") == (
        'See <autoref identifier="malaria_detect.data.images.ImageRefused" optional>'
        "<code>ImageRefused</code></autoref> [2]."
    )
    assert to_markdown(".. [2] A source.") == "2. A source."
    assert to_markdown("``malaria_detect.data`` and `value[0]`") == "``malaria_detect.data`` and `value[0]`"


def test_formulas_become_mathml() -> None:
    page = on_page_content(r'<p><span class="arithmatex">\(a &lt; b\)</span></p>')
    assert page.startswith("<p><math ")
    assert "arithmatex" not in page


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("a.html", '<a href="https://doi.org/1">paper</a><img src="page.png">', True),
        ("a.html", '<script src="https://cdn.example.org/x.js"></script>', False),
        ("a.html", '<link rel="stylesheet" href="//fonts.example.org/css">', False),
        ("a.css", "@import 'https://fonts.example.org/css';", False),
        ("a.css", "a { background: url(https://example.org/a.png) }", False),
    ],
)
def test_the_site_loads_nothing_from_other_hosts(name: str, text: str, allowed: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    if allowed:
        on_post_build({"site_dir": str(tmp_path)})
    else:
        with pytest.raises(PluginError):
            on_post_build({"site_dir": str(tmp_path)})
