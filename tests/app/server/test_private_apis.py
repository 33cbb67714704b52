"""Private names of other projects that the server uses; a test fails if a new version of a project changes its name."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler
from voila.request_info_handler import RequestInfoSocketHandler

START = RequestStartLine("GET", "/", "HTTP/1.0")


class Connection:
    """As much of a connection as a handler without an answer needs."""

    def set_close_callback(self, callback: object) -> None:
        pass


def test_voila_stores_requests_by_kernel() -> None:
    # Removed in malaria_detect.app.server.page: our kernels never ask for them.
    assert isinstance(RequestInfoSocketHandler._cache, dict)
    RequestInfoSocketHandler.send_updates({"kernel_id": "a kernel", "payload": {}})
    assert RequestInfoSocketHandler._cache.pop("a kernel") == {}


def test_a_tornado_handler_holds_the_headers_of_its_answer() -> None:
    # Read in malaria_detect.app.server.telemetry, for the size of the answer.
    request = HTTPServerRequest(start_line=START, headers=HTTPHeaders(), connection=Connection())  # type: ignore[arg-type]
    handler = RequestHandler(Application(), request)
    handler.set_header("Content-Length", "7")
    assert handler._headers.get("Content-Length") == "7"


def test_jsonschema_does_without_the_grammar_of_addresses() -> None:
    # malaria_detect.app.server.start keeps it from being imported.
    optional = "rfc3987_syntax"
    formats = Path(str(distribution("jsonschema").locate_file("jsonschema/_format.py"))).read_text(
        encoding="utf-8"
    )
    assert f"from {optional} import" in formats
    code = f"import sys; sys.modules[{optional!r}] = None; import jupyter_events.logger"
    subprocess.run([sys.executable, "-c", code], check=True)
