"""Errors of the HTTP API in the format of RFC 9457, and the base class of its handlers."""

import json
from dataclasses import asdict, dataclass
from http.client import responses
from typing import Any

from tornado.web import HTTPError

from malaria_detect.app.server.telemetry import REQUEST_ID, LogsFailures, request_id

PROBLEM = "application/problem+json"
_MALFORMED = "The request is malformed. See api/openapi.json for the description of this API."
_FAILED = "The server failed on this request. Its log has the reason, under the request id."


@dataclass(frozen=True)
class ProblemDetails:
    """Why a request failed (RFC 9457): ``type`` is always ``about:blank``, ``title`` the status in words.

    ``detail`` says what is wrong and what to do, for a person.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class Problem(HTTPError):  # noqa: N818 - RFC 9457's own name
    """A request that fails, with the sentence for its answer, and headers with ``_`` in their names instead of ``-``.

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
    """A handler that answers in JSON, including errors, with the request's id.

    No answer has CORS headers: a script of another site can send a request, as any program can, but its browser neither
    lets it read the answer nor send a token.
    """

    def check_xsrf_cookie(self) -> None:
        """Do nothing: a request is authorised by its token only, which browsers never add by themselves."""

    def set_default_headers(self) -> None:
        """Set the headers that all answers have, including errors."""
        self.clear_header("Server")
        self.set_header(REQUEST_ID, request_id(self.request))
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        """Do nothing: answers are not cached and need no ETag."""

    def answer(self, content: object, content_type: str = "application/json") -> None:
        """Send a JSON document and finish."""
        self.set_header("Content-Type", content_type)
        self.finish(json.dumps(content, ensure_ascii=False, allow_nan=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the problem that ended the request."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        detail = _MALFORMED if status_code < 500 else _FAILED
        if isinstance(error, Problem):
            detail = error.detail
            for name, value in error.headers.items():
                self.set_header(name, value)
        elif status_code == 405:
            detail = f"This address supports only {', '.join(self.allowed())}."
        self.tell_allowed(status_code)
        title = responses.get(status_code, "Unknown")
        details = ProblemDetails("about:blank", title, status_code, detail, request_id(self.request))
        self.answer(asdict(details), PROBLEM)
