"""Log and metrics of a running server: one JSON line per request, and metrics for Prometheus.

Neither contains images, file names, requested paths or queries, addresses of clients or tokens, because more people
read a log than use the page.
"""

import logging
import re
import traceback
import uuid
from collections.abc import Callable
from http.client import responses
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pythonjsonlogger.json import JsonFormatter
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from malaria_detect.core.errors import MalariaDetectError

LOGGER = "malaria_detect.app.server"
REQUEST_ID = "X-Request-Id"
# Characters of a header in the log.
_MOST_LOGGED = 200
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# s: from an answer without a prediction to the longest wait of a client.
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_MEANINGS = {
    "queue_length": "Jobs waiting for a prediction worker.",
    "workers_alive": "Prediction workers running.",
    "kernels_running": "Kernels running, including those waiting for a visitor.",
}
_REFUSED = (
    "Refused: the request does not come from a page of this server. If a proxy changes the header Host, allow the "
    "page's origin with --allow-origin."
)


class Telemetry:
    """Counts and logs the requests of one server.

    Parameters
    ----------
    **watched : callable
        Give numbers that change by themselves: ``queue_length``, ``workers_alive`` and ``kernels_running``.

    Attributes
    ----------
    pictures, refusals : prometheus_client.Counter
        Images that the API answered for, and how many of them could not be read.

    Examples
    --------
    >>> telemetry = Telemetry(queue_length=lambda: 3, workers_alive=lambda: 2)
    >>> "malaria_detect_queue_length 3.0" in telemetry.exposition().decode()
    True
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, **watched: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        about = ("malaria_detect_requests", "Answered requests.", ["method", "route", "status"])
        self._requests = Counter(*about, registry=registry)
        about = ("malaria_detect_request_seconds", "Time from request to answer.", ["route"])
        self._seconds = Histogram(*about, buckets=_BUCKETS, registry=registry)
        about_pictures = "Images that the HTTP API answered for."
        self.pictures = Counter("malaria_detect_pictures", about_pictures, registry=registry)
        about_refusals = "Images sent to the HTTP API that could not be read."
        self.refusals = Counter("malaria_detect_refusals", about_refusals, registry=registry)
        for name, value in watched.items():
            Gauge(f"malaria_detect_{name}", _MEANINGS[name], registry=registry).set_function(value)
        ProcessCollector(registry=registry)
        self._logger = logging.getLogger(LOGGER)

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus, to be sent as :attr:`content_type`."""
        return generate_latest(self._registry)

    def log_request(self, handler: RequestHandler) -> None:
        """Count an answered request and log it; for tornado's setting ``log_function``.

        Three attributes of a handler are used, if present: ``route``, its name instead of that of its class;
        ``pictures``, the number of images that it answered for; ``quiet``, to log only failures.
        """
        request, status = handler.request, handler.get_status()
        # Clients can invent methods, and each would be a new time series.
        method = request.method if request.method in RequestHandler.SUPPORTED_METHODS else "other"
        route, seconds = _route_of(handler), request.request_time()
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)
        if status < 500 and getattr(handler, "quiet", False):
            # Otherwise a hundred uninformative lines per visitor would hide the others.
            return
        length = handler._headers.get("Content-Length")
        line = {
            "request_id": request_id(request),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
            "bytes": int(length) if length is not None else None,
            "pictures": getattr(handler, "pictures", 0),
        }
        self._logger.log(logging.ERROR if status >= 500 else logging.INFO, line)

    def log_failure(self, handler: RequestHandler, error: BaseException) -> None:
        """Log an unexpected error: its traceback, and its message if it is a :class:`MalariaDetectError`."""
        line = {
            "error": type(error).__name__,
            "message": str(error) if isinstance(error, MalariaDetectError) else None,
            "traceback": "".join(traceback.format_tb(error.__traceback__)),
        }
        self._logger.error(_named(handler) | line)

    def log_refused_origin(self, handler: RequestHandler) -> None:
        """Log a request that was refused because of its origin, with its headers ``Origin`` and ``Host``."""
        headers = {
            name.lower(): handler.request.headers.get(name, "")[:_MOST_LOGGED] for name in ("Origin", "Host")
        }
        self._logger.warning(_named(handler) | {"message": _REFUSED} | headers)


class LogsFailures(RequestHandler):
    """A handler that logs errors with :meth:`Telemetry.log_failure`; tornado itself would log the requested path."""

    def allowed(self) -> list[str]:
        """HTTP methods that this address supports."""
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not getattr(RequestHandler, method.lower())
        ]

    def tell_allowed(self, status_code: int) -> None:
        """Add the header ``Allow`` to an error if it is 405."""
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.allowed()))

    def log_exception(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        """Log an unexpected error; expected ones are in the line of their request."""
        if error is not None and not isinstance(error, HTTPError):
            self.settings["telemetry"].log_failure(self, error)


class OneLineErrors(LogsFailures):
    """A handler that sends errors as one line of text; the Jupyter server would send a page."""

    def write_error(self, status_code: int, **_: Any) -> None:
        """Send the status and its meaning."""
        self.tell_allowed(status_code)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {responses.get(status_code, 'Unknown')}\n")


class JsonLines(JsonFormatter):
    """One JSON object a line, in which line ends are escaped: clients cannot insert lines into the log."""

    def __init__(self) -> None:
        names = {"levelname": "level", "exc_info": "traceback"}
        super().__init__(["levelname", "message"], rename_fields=names, timestamp="time")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Order the fields of a line."""
        level, message = log_data.pop("level"), log_data.pop("message")
        # A request is logged by its own fields.
        said = {} if message == "" else {"level": level.lower(), "message": message}
        return {"time": log_data.pop("time").isoformat(timespec="milliseconds"), **said, **log_data}


def request_id(request: HTTPServerRequest) -> str:
    """Id of a request: its X-Request-Id if that is 1 to 64 of ``A-Za-z0-9._-``, otherwise a new id."""
    if not _ACCEPTED_ID.fullmatch(request.headers.get(REQUEST_ID, "")):
        # Stored where a proxy would have put it, so that answer and log line have the same id.
        request.headers[REQUEST_ID] = uuid.uuid4().hex
    return request.headers[REQUEST_ID]


def _route_of(handler: RequestHandler) -> str:
    """Name of what was requested: the handler's ``route`` or class, never the path, which the client chooses."""
    return str(getattr(handler, "route", type(handler).__name__))


def _named(handler: RequestHandler) -> dict[str, Any]:
    return {"request_id": request_id(handler.request), "route": _route_of(handler)}


def log_to(stream: TextIO | None = None) -> None:
    """Write the log of :mod:`malaria_detect.app.server` to a stream only (by default standard error), as JSON lines."""
    output = logging.StreamHandler(stream)
    output.setFormatter(JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [output]
    logger.setLevel(logging.INFO)
    logger.propagate = False
