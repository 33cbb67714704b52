import base64
import hashlib
from pathlib import Path

from tornado.httputil import HTTPHeaders

from malaria_detect.app.server.guards import page_scripts, script_hashes, security_headers
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


def test_a_websocket_that_opens_is_left_alone() -> None:
    headers = HTTPHeaders({"Upgrade": "websocket"})
    security_headers(101, headers, "")
    assert dict(headers.get_all()) == {"Upgrade": "websocket"}
