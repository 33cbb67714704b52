"""Errors of the HTTP API in the format of RFC 9457, and the base class of its handlers."""

import json
from dataclasses import asdict, dataclass
from http.client import responses
from typing import Any

from tornado.web import HTTPError

from malaria_detect.app.server.telemetry import REQUEST_ID, LogsFailures, Telemetry, request_id

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class ProblemDetails:
    """Why a request failed (RFC 9457).

    Attributes
    ----------
    type : str
        Always ``about:blank``: the status says what kind of problem it is.
    title : str
        The status in words.
    status : int
        HTTP status.
    detail : str
        What is wrong and what to do, for a person.
    request_id : str
        Id of the request, as in the header X-Request-Id and in the server's log.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class Problem(HTTPError):  # noqa: N818 - RFC 9457's own name
    """A request that fails, with the sentence for its answer.

    Parameters
    ----------
    status : int
        HTTP status, 400 or more.
    detail : str
        What is wrong and what to do.
    headers : str
        Further headers of the answer, with ``_`` in their names instead of ``-``.

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

    # The API has no cookies. A request is authorised by its token only, which browsers never add by themselves, so
    # another site cannot act in a visitor's name.
    def check_xsrf_cookie(self) -> None:
        """Do nothing: no XSRF cookie is needed."""

    telemetry: Telemetry

    def set_default_headers(self) -> None:
        """Set the headers that all answers have, including errors."""
        self.clear_header("Server")
        self.set_header(REQUEST_ID, request_id(self.request))
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        """Do nothing: answers are not cached and need no ETag."""

    def answer(self, content: object) -> None:
        """Send a JSON document and finish."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(content, ensure_ascii=False, allow_nan=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the problem that ended the request."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, Problem):
            detail = error.detail
            for name, value in error.headers.items():
                self.set_header(name, value)
        elif status_code == 405:
            detail = f"This address supports only {', '.join(self.allowed())}."
        elif status_code < 500:
            detail = "The request is malformed. See api/openapi.json for the description of this API."
        else:
            detail = "The server failed on this request. Its log has the reason, under the request id."
        self.tell_allowed(status_code)
        title = responses.get(status_code, "Unknown")
        self.set_header("Content-Type", PROBLEM)
        self.finish(
            json.dumps(
                asdict(ProblemDetails("about:blank", title, status_code, detail, request_id(self.request)))
            )
        )
