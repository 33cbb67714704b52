"""Errors of the HTTP interface as RFC 9457 tells them, and what all its handlers have in common."""

import json
from dataclasses import asdict, dataclass
from http.client import responses
from typing import Any

from tornado.web import HTTPError, RequestHandler

from malaria_detect.app.server.telemetry import REQUEST_ID, LogsFailures, Telemetry, request_id

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class ProblemDetails:
    """Why a request was not answered (RFC 9457).

    Attributes
    ----------
    type : str
        ``about:blank``: the status says what kind of problem it is.
    title : str
        The status in words.
    status : int
    detail : str
        A sentence for the person who asked.
    request_id : str
        As in the header X-Request-Id and in the server's log.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class Problem(HTTPError):  # noqa: N818 - RFC 9457's own name
    """A request that is not answered.

    Parameters
    ----------
    status : int
        HTTP status, 400 or more.
    detail : str
        A sentence that says what came and what was wanted.
    headers : str
        Further headers of the answer; ``_`` in their names stands for ``-``.

    Examples
    --------
    >>> Problem(503, "Try again later.", retry_after="2").headers
    {'Retry-After': '2'}
    """

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(status)
        self.detail = detail
        self.headers = {name.replace("_", "-").title(): value for name, value in headers.items()}


class JsonHandler(LogsFailures):
    """A handler that answers in JSON, errors included, under the request's id.

    No answer carries CORS headers: a script of another site may send a request, as any program may, but its browser
    does not let it read what the model said of its visitor's pictures, nor send a token.
    """

    # The interface knows no cookie: what a request may do hangs on its token alone, which no browser adds by itself, so
    # that there is nothing that another site could make a visitor's browser do in the visitor's name.
    def check_xsrf_cookie(self) -> None:
        """Ask for no XSRF cookie."""

    telemetry: Telemetry

    def set_default_headers(self) -> None:
        """Begin every answer, errors included."""
        self.clear_header("Server")
        self.set_header(REQUEST_ID, request_id(self.request))
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        """Answer with no ETag: nothing is stored that it could be held against."""

    def answer(self, content: object) -> None:
        """End with a JSON document."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(content, ensure_ascii=False, allow_nan=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what went wrong."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, Problem):
            detail = error.detail
            for name, value in error.headers.items():
                self.set_header(name, value)
        elif status_code == 405:
            detail = f"This address takes {', '.join(self.allowed())} only."
        elif status_code < 500:
            detail = "The request cannot be understood: see api/openapi.json for what is."
        else:
            detail = "The server failed over this request; its log tells why under the request's id."
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.allowed()))
        title = responses.get(status_code, "Unknown")
        self.set_header("Content-Type", PROBLEM)
        self.finish(
            json.dumps(
                asdict(ProblemDetails("about:blank", title, status_code, detail, request_id(self.request)))
            )
        )

    def allowed(self) -> list[str]:
        """The methods that this address takes."""
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not RequestHandler._unimplemented_method
        ]
