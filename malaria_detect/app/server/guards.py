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
    """Sources for ``script-src`` that allow only the page's own inline scripts.

    Parameters
    ----------
    template_paths : sequence of str
        Folders of Voila's templates.
    cells : int
        Number of cells in the notebook; Voila writes a script before each.

    Returns
    -------
    list of str
        Hashes such as ``'sha256-...'``, including the quotes.
    """
    files = [Path(folder, name) for folder in template_paths for name in _TEMPLATES]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return script_hashes([*texts, _HEARTBEAT], cells)


def script_hashes(texts: Iterable[str], cells: int) -> list[str]:
    """Hashes of the inline scripts of templates, see :func:`page_scripts`.

    Parameters
    ----------
    texts : iterable of str
        HTML, or Jinja templates of HTML.
    cells : int
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
    return sorted(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in rendered
    )


def page_policy(scripts: Iterable[str]) -> str:
    """Content security policy of the page, which allows only content from this server.

    Parameters
    ----------
    scripts : iterable of str
        Result of :func:`page_scripts`.
    """
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
    """Add the security headers to an answer's headers.

    Parameters
    ----------
    status : int
        Status of the answer.
    headers : HTTPHeaders
        Changed in place.
    policy : str
        ``Content-Security-Policy`` of HTML pages; other content gets a policy that allows nothing.
    """
    headers.pop("Server", None)
    if status == 101:
        return
    for name, value in HEADERS.items():
        headers[name] = value
    is_page = headers.get("Content-Type", "").startswith("text/html")
    headers["Content-Security-Policy"] = policy if is_page else NOTHING_POLICY


class SecurityHeaders(OutputTransform):
    """Adds security headers to all answers of an application; see :meth:`with_policy`."""

    policy: ClassVar[str] = NOTHING_POLICY

    @classmethod
    def with_policy(cls, policy: str) -> type["SecurityHeaders"]:
        """The transform with this policy for pages.

        Examples
        --------
        >>> from tornado.web import Application
        >>> application = Application()
        >>> application.add_transform(SecurityHeaders.with_policy(page_policy([])))
        """
        return type(cls.__name__, (cls,), {"policy": policy})

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add the headers."""
        security_headers(status_code, headers, self.policy)
        return status_code, headers, chunk
