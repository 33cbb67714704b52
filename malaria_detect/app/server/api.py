"""The HTTP API: classifies uploaded images, on the same port as the page.

It neither decodes images nor runs a network: the files go to the prediction workers unchanged.
"""

import asyncio
import re
import sys
from dataclasses import asdict
from typing import Any, cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPFile
from tornado.web import HTTPError, stream_request_body

from malaria_detect.app.server.answers import Answer, Health, ModelName
from malaria_detect.app.server.multipart import boundary_of, pictures_of
from malaria_detect.app.server.problems import Problem
from malaria_detect.app.server.reception import Upload
from malaria_detect.app.server.service import Service, ServiceHandler
from malaria_detect.app.server.telemetry import request_id
from malaria_detect.app.workers.pool import RETRY_SECONDS, Overloaded, WorkerLost
from malaria_detect.core.json_io import to_json
from malaria_detect.inference.metadata import RESEARCH_USE, field_point
from malaria_detect.inference.prediction import Record, Refusal

POINT = "operating_point"
# Status that nginx logs for a client that left before its answer; it is never sent.
_CLIENT_LEFT = 499


@stream_request_body
class Predict(ServiceHandler):
    """Classifies the images of a request."""

    route = "/api/predict"

    def initialize(self, service: Service) -> None:
        """Keep the argument of the application's rule."""
        super().initialize(service)
        self.pictures = 0
        self.reception = service.reception
        # Operating point without a choice.
        self.default_point = service.metadata.default_point
        self._upload: Upload | None = None
        self._answering: asyncio.Task[dict[str, Any]] | None = None
        self._body_is_read = self._is_answered = self._left = False

    def prepare(self) -> None:
        """Reject invalid requests before the body is read."""
        connection = cast(HTTP1Connection, self.request.connection)
        # The body is measured while it arrives, so that a large one gets 413; tornado itself would answer 400.
        connection.set_max_body_size(sys.maxsize)
        connection.set_body_timeout(self.reception.limits.body_seconds)
        if self.request.method not in self.allowed():
            raise HTTPError(405)
        super().prepare()
        self._boundary = boundary_of(self.request.headers)
        self._point = self._operating_point()
        declared = self.request.headers.get("Content-Length", "")
        # Tornado rejects what is not a number when it reads the body; int() rejects thousands of digits.
        proper = declared.isdecimal() and len(declared) < 20
        self._upload = Upload(self.reception, int(declared) if proper else 0)

    def data_received(self, chunk: bytes) -> None:
        """Store a part of the body."""
        assert self._upload is not None
        try:
            self._upload.add(chunk)
        except Problem as problem:
            # An exception here would close the connection without an answer.
            self.send_error(problem.status_code, exc_info=(type(problem), problem, problem.__traceback__))

    async def post(self) -> None:
        """Classify the images and answer."""
        assert self._upload is not None
        self._body_is_read = True
        self._upload.arrived()
        limits = self.reception.limits
        files = pictures_of(bytes(self._upload.body), self._boundary, limits.max_pictures)
        self._upload.body = bytearray()
        self.pictures = len(files)
        # A task, so that it can be cancelled when the client leaves.
        self._answering = asyncio.create_task(self._within(limits.answer_seconds, files))
        try:
            content = await self._answering
        except asyncio.CancelledError:
            if not self._left:
                raise
            self.set_status(_CLIENT_LEFT, "Client Left")
            return
        except TimeoutError as error:
            late = f"No answer after {limits.answer_seconds:g} s. Try again with fewer images per request."
            raise Problem(503, late, retry_after=str(RETRY_SECONDS)) from error
        except Overloaded as error:
            raise Problem(503, str(error), retry_after=str(error.retry_after)) from error
        except WorkerLost as error:
            # Not 503, which makes programs try again: the same images may crash the next worker.
            raise Problem(500, str(error)) from error
        self.answer(content)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the problem; close the connection if the rest of the body is not read."""
        if not self._body_is_read:
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def on_finish(self) -> None:
        """Release the images."""
        self._is_answered = True
        if self._upload is not None:
            self._upload.let_go()

    def on_connection_close(self) -> None:
        """Cancel the work for a client that left."""
        super().on_connection_close()
        if self._is_answered:
            return
        self._left = True
        if self._answering is not None:
            self._answering.cancel()
        else:
            self.on_finish()
            self.set_status(_CLIENT_LEFT, "Client Left")
            self.application.log_request(self)

    async def _within(self, seconds: float, files: list[HTTPFile]) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            return await self.results(files)

    async def results(self, files: list[HTTPFile]) -> dict[str, Any]:
        """The answer for the files of a request."""
        results = await self.service.workers.predict([file.body for file in files], self._point)
        self.count(len(results), sum(isinstance(result, Refusal) for result in results))
        records = tuple(Record.of(file.filename, result) for file, result in zip(files, results, strict=True))
        model = ModelName.of(self.service.metadata)
        return asdict(Answer(model, self._point, request_id(self.request), records))

    def count(self, pictures: int, refused: int) -> None:
        """Add to the server's metrics."""
        self.telemetry.pictures.inc(pictures)
        self.telemetry.refusals.inc(refused)

    def _operating_point(self) -> str:
        unknown = set(self.request.query_arguments) - {POINT}
        chosen = self.get_query_arguments(POINT)
        names = [point.name for point in self.service.metadata.operating_points]
        # A misspelled parameter must not silently lead to decisions at another operating point.
        if unknown or len(chosen) > 1 or not set(chosen) <= set(names):
            raise Problem(
                400,
                f"The query may only contain {POINT}, once, with one of these values: {', '.join(names)}.",
            )
        return chosen[0] if chosen else self.default_point


@stream_request_body
class Field(Predict):
    """Analyses the photographs of a request as the fields of one slide."""

    route = "/api/field"

    def initialize(self, service: Service) -> None:
        """Keep the argument of the application's rule."""
        super().initialize(service)
        self.reception = service.field_reception
        self.default_point = field_point(service.metadata)

    async def results(self, files: list[HTTPFile]) -> dict[str, Any]:
        """The answer for the files of a request."""
        fields = [(file.filename, file.body) for file in files]
        content = await self.service.workers.analyse(fields, self._point)
        self.count(len(fields), content["slide"]["refused"])
        return content | {
            "model": asdict(ModelName.of(self.service.metadata)),
            "operating_point": self._point,
            "request_id": request_id(self.request),
            "research_use": RESEARCH_USE,
        }


class HealthCheck(ServiceHandler):
    """Whether the server accepts images; needs no token, so that container health checks can use it."""

    route = "/api/health"
    guarded = False

    def get(self) -> None:
        """Answer 200 if a worker runs, even a busy one (a busy container must not be restarted), otherwise 503."""
        if self.service.workers.alive < 1:
            idle = "No prediction worker is running. Try again later."
            raise Problem(503, idle, retry_after=str(RETRY_SECONDS))
        self.answer(asdict(Health()))

    head = get


class Model(ServiceHandler):
    """The model's metadata, as in export.json."""

    route = "/api/model"

    def get(self) -> None:
        """Answer with the metadata."""
        self.set_header("Content-Type", "application/json")
        self.finish(to_json(self.service.metadata))

    head = get


class OpenApi(ServiceHandler):
    """The description of the API."""

    route = "/api/openapi.json"

    def get(self) -> None:
        """Answer with the description."""
        self.answer(self.service.description)

    head = get


class Metrics(ServiceHandler):
    """The server's metrics."""

    route = "/metrics"

    def get(self) -> None:
        """Answer in the text format of Prometheus."""
        self.set_header("Content-Type", self.telemetry.content_type)
        self.finish(self.telemetry.exposition())

    head = get


def api_rules(service: Service) -> list[tuple[str, type[ServiceHandler], dict[str, Any]]]:
    """Rules of a tornado application for the addresses of the API: pattern, handler, keyword arguments."""
    base, handlers = service.base_url.rstrip("/"), (Predict, Field, HealthCheck, Model, OpenApi, Metrics)
    return [(re.escape(base + handler.route), handler, {"service": service}) for handler in handlers]
