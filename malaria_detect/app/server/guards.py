"""What every answer carries: the headers that tell a browser what a page of ours may do."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import jinja2
from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform

# Scripts that Voila writes into a page without a template: a cell that takes longer than its proxies like to wait.
_HEARTBEAT = "<script>window.voila_heartbeat()</script>"
_SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)
_TEMPLATES = ("index.html.j2", "loading.html", "page.html", "error.html")

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not no-referrer: browsers then call themselves "null" where the server asks which site a request comes from.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NOTHING_POLICY = "default-src 'none'; frame-ancestors 'none'"


def page_scripts(template_paths: Sequence[str], cells: int) -> list[str]:
    """Sources for ``script-src`` that allow the page's own inline scripts, and no other.

    Parameters
    ----------
    template_paths : sequence of str
        Folders of Voila's templates.
    cells : int
        How many cells the notebook has: Voila writes a script before each.

    Returns
    -------
    list of str
        Such as ``'sha256-...'``, quotes included.
    """
    files = [Path(folder, name) for folder in template_paths for name in _TEMPLATES]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return script_hashes([*texts, _HEARTBEAT], cells)


def script_hashes(texts: Iterable[str], cells: int) -> list[str]:
    """Hash the inline scripts of templates, see :func:`page_scripts`.

    Parameters
    ----------
    texts : iterable of str
        HTML or Jinja templates of it.
    cells : int
        A script that names its cell is hashed once for each.
    """
    scripts = {
        found["text"]
        for text in texts
        for found in _SCRIPT.finditer(text)
        # Those with an address come from this server, and JSON is no script.
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
    """What the page may load and do: everything from this server alone.

    Parameters
    ----------
    scripts : iterable of str
        From :func:`page_scripts`.
    """
    return "; ".join(
        (
            "default-src 'none'",
            # anywidget imports its modules from the page's own blobs.
            " ".join(("script-src 'self' blob:", *scripts)),
            # JupyterLab's widgets place themselves by style attributes.
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
    """Add to an answer's headers what each answer of this server has.

    Parameters
    ----------
    status : int
        The answer's.
    headers : HTTPHeaders
        Changed in place.
    policy : str
        The ``Content-Security-Policy`` of pages; whatever is no HTML gets one that allows nothing.
    """
    headers.pop("Server", None)
    if status == 101:
        return
    for name, value in HEADERS.items():
        headers[name] = value
    is_page = headers.get("Content-Type", "").startswith("text/html")
    headers["Content-Security-Policy"] = policy if is_page else NOTHING_POLICY


class SecurityHeaders(OutputTransform):
    """Gives every answer of an application its security headers; see :func:`with_policy`."""

    policy: ClassVar[str] = NOTHING_POLICY

    @classmethod
    def with_policy(cls, policy: str) -> type["SecurityHeaders"]:
        """Return the transform whose pages have this policy.

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
        """Add them."""
        security_headers(status_code, headers, self.policy)
        return status_code, headers, chunk
