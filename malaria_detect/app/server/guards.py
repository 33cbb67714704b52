"""Security headers of all answers, which tell browsers what the page may do."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import jinja2
from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform

# Voila writes this script into the page, without a template, while a cell takes long to run.
_HEARTBEAT = "<script>window.voila_heartbeat()</script>"
_SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)
_TEMPLATES = ("index.html.j2", "loading.html", "page.html", "error.html")

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not no-referrer, with which browsers send "null" as the origin of a request.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NOTHING_POLICY = "default-src 'none'; frame-ancestors 'none'"


def page_scripts(template_paths: Sequence[str], cells: int) -> list[str]:
    """Sources for ``script-src`` that allow only the inline scripts of Voila's templates in some folders.

    A notebook has a number of `cells`, and Voila writes a script before each.
    """
    files = [Path(folder, name) for folder in template_paths for name in _TEMPLATES]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return script_hashes([*texts, _HEARTBEAT], cells)


def script_hashes(texts: Iterable[str], cells: int) -> list[str]:
    """Hashes, such as ``'sha256-...'`` with the quotes, of the inline scripts of HTML or of its Jinja templates.

    A script that contains the number of its cell is hashed once per cell.
    """
    scripts = {
        found["text"]
        for text in texts
        for found in _SCRIPT.finditer(text)
        # Scripts with an address come from this server, and JSON is not a script.
        if "src=" not in found["attributes"] and "json" not in found["attributes"]
    }
    rendered = set()
    for script in scripts:
        if "{%" in script:
            continue
        template = jinja2.Environment(autoescape=True, keep_trailing_newline=True).from_string(script)
        for cell in range(1, cells + 1) if "cellloop" in script else (0,):
            rendered.add(template.render(cellloop={"index": cell}, cell_count=cells))
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in rendered)
    return sorted(f"'sha256-{digest}'" for digest in digests)


def page_policy(scripts: Iterable[str]) -> str:
    """Content security policy of the page: only content from this server, and scripts of :func:`page_scripts`."""
    return "; ".join(
        (
            "default-src 'none'",
            # anywidget imports its modules from blobs that the page creates.
            " ".join(("script-src 'self' blob:", *scripts)),
            # JupyterLab's widgets use style attributes for their layout.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def security_headers(status: int, headers: HTTPHeaders, policy: str) -> None:
    """Add the security headers to an answer's headers; HTML gets the policy, other content one that allows nothing."""
    headers.pop("Server", None)
    if status != 101:
        headers.update(HEADERS)
        is_page = headers.get("Content-Type", "").startswith("text/html")
        headers["Content-Security-Policy"] = policy if is_page else NOTHING_POLICY


class SecurityHeaders(OutputTransform):
    """Adds security headers to all answers of an application; subclasses have the policy of its pages."""

    policy: ClassVar[str] = NOTHING_POLICY

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add the headers."""
        security_headers(status_code, headers, self.policy)
        return status_code, headers, chunk
