"""What a running server tells of itself: one JSON line a request, and numbers for Prometheus.

Neither holds a picture, a file name, a path or a query as it was asked for, an address or a token: a log is read by
more people than the page.
"""

import json
import logging
import re
import traceback
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from malaria_detect.core.errors import MalariaDetectError

LOGGER = "malaria_detect.app.server"
REQUEST_ID = "X-Request-Id"
# Marks a record whose message is a whole line of JSON.
_IS_JSON = {"is_json": True}
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# From an answer without a prediction to the longest that a client is let wait.
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Telemetry:
    """Counts and logs the requests of one server.

    Parameters
    ----------
    queue_length, workers_alive : callable
        Asked whenever the numbers are: jobs that wait, and prediction workers that run.
    kernels_running : callable, optional
        Visitors' kernels, the pool's among them.

    Attributes
    ----------
    pictures, refusals : prometheus_client.Counter
        Pictures that the interface answered for, and those among them that could not be read.

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
        # Not the library's global registry: two servers in one process, as in tests, must not share numbers.
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "malaria_detect_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "malaria_detect_request_seconds",
            "From a request's first byte to the end of its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.pictures = Counter(
            "malaria_detect_pictures",
            "Pictures that the HTTP interface answered for.",
            registry=self._registry,
        )
        self.refusals = Counter(
            "malaria_detect_refusals",
            "Pictures of the HTTP interface that could not be read.",
            registry=self._registry,
        )
        self._watch("queue_length", "Jobs that wait for a prediction worker.", queue_length)
        self._watch("workers_alive", "Prediction workers that run.", workers_alive)
        if kernels_running is not None:
            self._watch("kernels_running", "Visitors' kernels, the pool's among them.", kernels_running)
        ProcessCollector(registry=self._registry)
        self._logger = logging.getLogger(LOGGER)

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format, to be sent with :attr:`content_type`."""
        return generate_latest(self._registry)

    def log_request(self, handler: RequestHandler) -> None:
        """Count an answered request and log it; tornado's setting ``log_function``.

        Parameters
        ----------
        handler : tornado.web.RequestHandler
            Any. Its attribute ``route``, a fixed text, names it, otherwise its class does; ``pictures`` is the number
            of pictures that it answered for. One with ``quiet`` is counted, and logged only where it failed.
        """
        request, status = handler.request, handler.get_status()
        # Anything can stand for a method, and each new one would be a new series.
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
        # A hundred lines for each visitor, which say nothing, would hide the others.
        self._write(
            logging.DEBUG if level == logging.INFO and getattr(handler, "quiet", False) else level, line
        )

    def log_failure(self, handler: RequestHandler, error: BaseException) -> None:
        """Log an error that a request could not foresee: where it arose, and its text where it is our own."""
        line = {
            "request_id": request_id(handler.request),
            "route": route_of(handler),
            "error": type(error).__name__,
            "message": str(error) if isinstance(error, MalariaDetectError) else None,
            "traceback": "".join(traceback.format_tb(error.__traceback__)),
        }
        self._write(logging.ERROR, line)

    def _write(self, level: int, line: dict[str, Any]) -> None:
        self._logger.log(level, "%s", _as_json(line), extra=_IS_JSON)

    def _watch(self, name: str, meaning: str, value: Callable[[], int]) -> None:
        Gauge(f"malaria_detect_{name}", meaning, registry=self._registry).set_function(value)


class LogsFailures(RequestHandler):
    """A handler that logs errors as :meth:`Telemetry.log_failure` does; tornado itself would write the address."""

    def log_exception(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        """Log what nobody foresaw; a refusal stands in the line of its request."""
        if error is not None and not isinstance(error, HTTPError):
            self.settings["telemetry"].log_failure(self, error)


class _JsonLines(logging.Formatter):
    """Lines of requests as they are, all other messages of the server made into such lines."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if vars(record).keys() >= _IS_JSON.keys():
            return text
        line = {"level": record.levelname.lower(), "message": text}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _as_json(line)


def _as_json(line: dict[str, Any]) -> str:
    # JSON has no raw line ends, so that nobody can write a line of their own into the log.
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, **line})


def request_id(request: HTTPServerRequest) -> str:
    """A request's id: its own X-Request-Id where that is 1 to 64 of ``A-Za-z0-9._-``, else one made for it."""
    given = request.headers.get(REQUEST_ID, "")
    if not _ACCEPTED_ID.fullmatch(given):
        # Kept where a proxy would have put it, so that answer and log line say the same.
        request.headers[REQUEST_ID] = uuid.uuid4().hex
    return request.headers[REQUEST_ID]


def route_of(handler: RequestHandler) -> str:
    """A fixed name for what was asked: the handler's ``route``, or its class; never the path, which anyone chooses."""
    return str(getattr(handler, "route", type(handler).__name__))


def log_to(stream: TextIO | None = None) -> None:
    """Write the log of :mod:`malaria_detect.app.server` to a stream, one JSON object a line, and to no other log.

    Parameters
    ----------
    stream : text file, optional
        Without one standard error.
    """
    output = logging.StreamHandler(stream)
    output.setFormatter(_JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [output]
    logger.setLevel(logging.INFO)
    logger.propagate = False
