"""Log and metrics of a running server: one JSON line per request, and metrics for Prometheus.

Neither contains images, file names, requested paths or queries, addresses of clients or tokens, because more people
read a log than use the page.
"""

import json
import logging
import re
import traceback
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import responses
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from malaria_detect.core.errors import MalariaDetectError

LOGGER = "malaria_detect.app.server"
REQUEST_ID = "X-Request-Id"
# Marks a record whose message is a complete line of JSON.
_IS_JSON = {"is_json": True}
# Characters of a header in the log.
_MOST_LOGGED = 200
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# s: from an answer without a prediction to the longest wait of a client.
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Telemetry:
    """Counts and logs the requests of one server.

    Parameters
    ----------
    queue_length, workers_alive : callable
        Give the number of waiting jobs and of running prediction workers.
    kernels_running : callable, optional
        Gives the number of kernels, including those waiting for a visitor.

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

    def __init__(
        self,
        *,
        queue_length: Callable[[], int],
        workers_alive: Callable[[], int],
        kernels_running: Callable[[], int] | None = None,
    ) -> None:
        # Not the global registry of the library: two servers in one process must not share metrics.
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "malaria_detect_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "malaria_detect_request_seconds",
            "Time from the first byte of a request to the end of its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.pictures = Counter(
            "malaria_detect_pictures",
            "Images that the HTTP API answered for.",
            registry=self._registry,
        )
        self.refusals = Counter(
            "malaria_detect_refusals",
            "Images sent to the HTTP API that could not be read.",
            registry=self._registry,
        )
        self._watch("queue_length", "Jobs waiting for a prediction worker.", queue_length)
        self._watch("workers_alive", "Prediction workers running.", workers_alive)
        if kernels_running is not None:
            self._watch(
                "kernels_running", "Kernels running, including those waiting for a visitor.", kernels_running
            )
        ProcessCollector(registry=self._registry)
        self._logger = logging.getLogger(LOGGER)

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus, to be sent as :attr:`content_type`."""
        return generate_latest(self._registry)

    def log_request(self, handler: RequestHandler) -> None:
        """Count an answered request and log it; for tornado's setting ``log_function``.

        Parameters
        ----------
        handler : tornado.web.RequestHandler
            Three attributes of a handler are used, if present: ``route``, its name instead of that of its class;
            ``pictures``, the number of images that it answered for; ``quiet``, to log only failures.
        """
        request, status = handler.request, handler.get_status()
        # Clients can invent methods, and each would be a new time series.
        method = request.method if request.method in RequestHandler.SUPPORTED_METHODS else "other"
        route = route_of(handler)
        seconds = request.request_time()
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)
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
        level = logging.ERROR if status >= 500 else logging.INFO
        # Otherwise a hundred uninformative lines per visitor would hide the others.
        self._write(
            logging.DEBUG if level == logging.INFO and getattr(handler, "quiet", False) else level, line
        )

    def log_failure(self, handler: RequestHandler, error: BaseException) -> None:
        """Log an unexpected error: its traceback, and its message if it is a :class:`MalariaDetectError`."""
        line = {
            "request_id": request_id(handler.request),
            "route": route_of(handler),
            "error": type(error).__name__,
            "message": str(error) if isinstance(error, MalariaDetectError) else None,
            "traceback": "".join(traceback.format_tb(error.__traceback__)),
        }
        self._write(logging.ERROR, line)

    def log_refused_origin(self, handler: RequestHandler) -> None:
        """Log a request that was refused because of its origin, with its headers ``Origin`` and ``Host``."""
        headers = handler.request.headers
        line = {
            "request_id": request_id(handler.request),
            "route": route_of(handler),
            "message": "Refused: the request does not come from a page of this server. If a proxy changes the header "
            "Host, allow the page's origin with --allow-origin.",
            "origin": headers.get("Origin", "")[:_MOST_LOGGED],
            "host": headers.get("Host", "")[:_MOST_LOGGED],
        }
        self._write(logging.WARNING, line)

    def _write(self, level: int, line: dict[str, Any]) -> None:
        self._logger.log(level, "%s", _as_json(line), extra=_IS_JSON)

    def _watch(self, name: str, meaning: str, value: Callable[[], int]) -> None:
        Gauge(f"malaria_detect_{name}", meaning, registry=self._registry).set_function(value)


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


class _JsonLines(logging.Formatter):
    """Formats all messages as JSON lines; those of requests already are."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if vars(record).keys() >= _IS_JSON.keys():
            return text
        line = {"level": record.levelname.lower(), "message": text}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _as_json(line)


def _as_json(line: dict[str, Any]) -> str:
    # JSON escapes line ends, so that clients cannot insert lines into the log.
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, **line})


def request_id(request: HTTPServerRequest) -> str:
    """Id of a request: its X-Request-Id if that is 1 to 64 of ``A-Za-z0-9._-``, otherwise a new id."""
    given = request.headers.get(REQUEST_ID, "")
    if not _ACCEPTED_ID.fullmatch(given):
        # Stored where a proxy would have put it, so that answer and log line have the same id.
        request.headers[REQUEST_ID] = uuid.uuid4().hex
    return request.headers[REQUEST_ID]


def route_of(handler: RequestHandler) -> str:
    """Name of what was requested: the handler's ``route`` or class, never the path, which the client chooses."""
    return str(getattr(handler, "route", type(handler).__name__))


def log_to(stream: TextIO | None = None) -> None:
    """Write the log of :mod:`malaria_detect.app.server` to a stream only, one JSON object per line.

    Parameters
    ----------
    stream : text file, optional
        Standard error by default.
    """
    output = logging.StreamHandler(stream)
    output.setFormatter(_JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [output]
    logger.setLevel(logging.INFO)
    logger.propagate = False
