"""MkDocs hooks: MathML formulas, links to the reference, and a check that the site loads nothing from other hosts."""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

FORMULA = re.compile(r'<(span|div) class="arithmatex">\s*\\[(\[](.+?)\\[)\]]\s*</\1>', re.DOTALL)
NAME = re.compile(r"<code>(malaria_detect(?:\.\w+)+)</code>")
# Links may lead elsewhere; scripts, styles, images and fonts may not come from there.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect))[^>]*\bhref=["']?(?:https?:)?//[^>]*>"""
    r"""|(?:@import|url\()\s*["']?(?:https?:)?//[^)"']*"""
)


def on_page_content(content: str, **_: Any) -> str:
    """Replace the formulas that pymdownx.arithmatex marked, and link names that the reference documents."""
    content = FORMULA.sub(lambda found: as_mathml(found[2], block=found[1] == "div"), content)
    return NAME.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', content)


def on_post_build(config: Any, **_: Any) -> None:
    """Fail the build if a page loads something from another host."""
    for path in sorted(Path(config["site_dir"]).rglob("*")):
        if path.suffix in {".html", ".css"} and (found := LOADED.search(path.read_text(encoding="utf-8"))):
            raise PluginError(f"{path} loads from another host: {found[0]}")


def as_mathml(latex: str, *, block: bool) -> str:
    """MathML of a LaTeX formula, as a block of its own or within a line; browsers show it without scripts."""
    mathml: str = convert(html.unescape(latex).strip(), display="block" if block else "inline")
    return mathml
