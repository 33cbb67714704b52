"""The HTTP API in a real tornado server, with workers that can be stuck or fail."""

import asyncio
import http.client
import json
import logging
import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import QueueHandler
from typing import Any

import requests
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from malaria_detect.app.server.api import api_rules
from malaria_detect.app.server.reception import Limits
from malaria_detect.app.server.service import Service
from malaria_detect.app.server.telemetry import LOGGER, JsonLines, Telemetry
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Prediction, Refusal
from tests.waiting import SECONDS

FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="pictures"; filename="secret-name.png"\r\n\r\n%s\r\n'
END = b"--b--\r\n"
GOOD = PART % b"x" + END
PATIENT = Limits(body_seconds=SECONDS, answer_seconds=SECONDS)


Answers = list[Prediction | Refusal]


class Worker:
    """Answers from the shipped model, in a thread, as the server's own workers do."""

    waiting = 0

    def __init__(self, detector: Detector, alive: int = 1) -> None:
        self.detector = detector
        self.alive = alive

    async def predict(self, pictures: Sequence[bytes], operating_point: str | None = None) -> Answers:
        detector = self.detector.at(operating_point) if operating_point else self.detector
        return await asyncio.to_thread(lambda: list(detector.predict_many(pictures)))

    async def analyse(self, fields: Sequence[tuple[str, bytes]], operating_point: str) -> dict[str, Any]:
        raise AssertionError("single cells need no analysis of fields")


class Stuck(Worker):
    """Never answers, and signals when a job arrives and when it is dropped."""

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector)
        self.begun, self.dropped = threading.Event(), threading.Event()

    async def predict(self, pictures: Sequence[bytes], operating_point: str | None = None) -> Answers:
        self.begun.set()
        try:
            return await asyncio.Future()
        finally:
            self.dropped.set()


class Failing(Worker):
    """Raises an error."""

    def __init__(self, detector: Detector, error: Exception) -> None:
        super().__init__(detector)
        self.error = error

    async def predict(self, pictures: Sequence[bytes], operating_point: str | None = None) -> Answers:
        raise self.error


@dataclass
class Running:
    """A running server: its address, token and log."""

    address: str
    token: str | None = None
    lines: "queue.Queue[str]" = field(default_factory=queue.Queue)

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1].split("/")[0])

    @property
    def headers(self) -> dict[str, str]:
        """Headers of an authorised request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.address + path, headers=self.headers, timeout=SECONDS, **more)

    def predict(
        self, *pictures: bytes, query: str = "", headers: dict[str, str] | None = None
    ) -> requests.Response:
        """Send pictures as any program would."""
        files = [("pictures", ("cell.png", picture)) for picture in pictures]
        return requests.post(
            f"{self.address}api/predict{query}",
            files=files,
            headers=self.headers | (headers or {}),
            timeout=SECONDS,
        )

    def logged(self) -> dict[str, Any]:
        """The next line of the log; it is written once the answer is on its way."""
        line: dict[str, Any] = json.loads(self.lines.get(timeout=SECONDS))
        return line


class _ToQueue(QueueHandler):
    def prepare(self, record: logging.LogRecord) -> str:
        return self.format(record)


@contextmanager
def serving(
    workers: Worker,
    limits: Limits = PATIENT,
    token: str | None = None,
    base_url: str = "/",
    others: Sequence[tuple[str, type[RequestHandler]]] = (),
) -> Iterator[Running]:
    """Serve the interface, and other handlers, on a free port until the block ends."""
    telemetry = Telemetry(
        queue_length=lambda: workers.waiting, workers_alive=lambda: workers.alive, kernels_running=lambda: 0
    )
    service = Service(base_url, workers, workers.detector.metadata, limits, token, telemetry)
    application = Application(
        [*api_rules(service), *others], log_function=telemetry.log_request, telemetry=telemetry
    )
    # Small, as for the page: the interface raises it where it takes pictures.
    server = HTTPServer(application, max_body_size=64 * 1024)
    with in_a_thread(server) as port:
        running = Running(f"http://127.0.0.1:{port}{base_url}", token)
        handler = _ToQueue(running.lines)
        handler.setFormatter(JsonLines())
        logger = logging.getLogger(LOGGER)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield running
        finally:
            logger.removeHandler(handler)


@contextmanager
def in_a_thread(server: HTTPServer, loop: asyncio.AbstractEventLoop | None = None) -> Iterator[int]:
    """Run a server's event loop in a thread until the block ends; gives the server's port."""
    loop = loop or asyncio.new_event_loop()
    started, end = threading.Event(), asyncio.Event()
    sockets = bind_sockets(0, "127.0.0.1")

    async def serve() -> None:
        server.add_sockets(sockets)
        started.set()
        await end.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(SECONDS)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(SECONDS)
        loop.close()


def problem(answer: requests.Response, status: int) -> str:
    """The sentence of a problem, which is as RFC 9457 wants it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json()
    assert content["status"] == status
    assert content["request_id"] == answer.headers["X-Request-Id"]
    return str(content["detail"])


@contextmanager
def begun(running: Running, *headers: str) -> Iterator[socket.socket]:
    """A connection over which the head of a request was sent."""
    head = ("POST /api/predict HTTP/1.1", "Host: localhost", f"Content-Type: {FORM}", *headers, "", "")
    with socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as connection:
        connection.sendall("\r\n".join(head).encode())
        yield connection


def answered(connection: socket.socket) -> http.client.HTTPResponse:
    """The head of the answer that comes over a connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response
