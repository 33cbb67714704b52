import base64
import hashlib
from pathlib import Path

import pytest
from tornado.httputil import HTTPHeaders

from malaria_detect.app.server.guards import (
    HEADERS,
    NOTHING_POLICY,
    page_policy,
    page_scripts,
    script_hashes,
    security_headers,
)
from malaria_detect.app.server.voila import TEMPLATES


def source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_inline_scripts_are_allowed_by_their_hash_and_nothing_else_is() -> None:
    page = """<script> run("ä") </script><script src="/other.js"></script>
    <script type="application/json">{"a": 1}</script><style>p { color: red }</style><script type="text/javascript">
    two()
    </script>"""
    assert script_hashes([page], 0) == sorted([source(' run("ä") '), source("\n    two()\n    ")])


def test_a_script_that_names_its_cell_is_allowed_once_for_each_cell() -> None:
    template = "<script>voila_process({{ cellloop.index }}, {{ cell_count }})</script>"
    assert set(script_hashes([template], 3)) == {source(f"voila_process({cell}, 3)") for cell in (1, 2, 3)}


def test_our_templates_scripts_are_found() -> None:
    scripts = page_scripts([str(TEMPLATES)], 3)
    assert source("window.md_cells_done();") in scripts
    assert source("window.voila_heartbeat()") in scripts
    text = Path(TEMPLATES, "loading.html").read_text(encoding="utf-8")
    assert source(text.partition("<script>")[2].partition("</script>")[0]) in scripts


def test_a_page_may_run_only_the_scripts_that_are_named() -> None:
    policy = page_policy(["'sha256-abc='"])
    assert "script-src 'self' blob: 'sha256-abc='" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("kind", "is_page"), [("text/html; charset=UTF-8", True), ("application/json", False), (None, False)]
)
def test_only_pages_get_the_pages_policy(kind: str | None, is_page: bool) -> None:
    headers = HTTPHeaders({"Content-Type": kind} if kind else {})
    headers["Content-Security-Policy"] = "what a handler thinks"
    headers["Server"] = "a version"
    security_headers(200, headers, "the page's")
    assert headers["Content-Security-Policy"] == ("the page's" if is_page else NOTHING_POLICY)
    assert "Server" not in headers
    assert HEADERS.items() <= dict(headers.get_all()).items()


def test_a_websocket_that_opens_is_left_alone() -> None:
    headers = HTTPHeaders({"Upgrade": "websocket"})
    security_headers(101, headers, "")
    assert dict(headers.get_all()) == {"Upgrade": "websocket"}
