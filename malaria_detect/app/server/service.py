"""State that the handlers of the HTTP API share: workers, limits, documents, and the token."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from malaria_detect.app.server.openapi import Interface, document
from malaria_detect.app.server.problems import JsonHandler, Problem
from malaria_detect.app.server.reception import Limits, Reception
from malaria_detect.app.server.telemetry import Telemetry
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Prediction, Refusal

# Characters of a bearer token (RFC 6750).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class TokenError(MalariaDetectError):
    """The configured token is not a valid bearer token; ``reason`` is ``bad_token``."""


class Predictor(Protocol):
    """Something that classifies images, such as :class:`malaria_detect.app.server.workers.Workers`."""

    async def predict(
        self, pictures: Sequence[bytes], operating_point: str | None = None
    ) -> list[Prediction | Refusal]:
        """Predictions for encoded files, in their order; raises Overloaded and WorkerLost."""

    async def analyse(self, fields: Sequence[tuple[str, bytes]], operating_point: str) -> dict[str, Any]:
        """Records of a slide from the names and files of its fields; raises as :meth:`predict`."""

    @property
    def alive(self) -> int:
        """Number of running workers."""


class Service:
    """State shared by the handlers of one server; the documents are created at the first request."""

    def __init__(
        self, base_url: str, workers: Predictor, metadata: ModelMetadata, limits: Limits, token: str | None
    ) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise TokenError(
                "The API token is not valid. It may contain A-Z, a-z, 0-9 and - . _ ~ + /, followed by =. Set another "
                "token, or none to require no token.",
                reason="bad_token",
            )
        self.workers = workers
        self.metadata = metadata
        self.limits = limits
        self.reception = Reception(limits)
        self.field_reception = Reception(limits.for_fields)
        self._token = None if token is None else hashlib.sha256(token.encode("ascii")).digest()
        self._interface = Interface(base_url, metadata, limits, with_token=token is not None)

    def admits(self, authorization: str) -> bool:
        """Whether the header Authorization has the token, or no token is required."""
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        # Digests have the same length, so that the time of the comparison reveals nothing about the token.
        found = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(found, self._token) and scheme.lower() == "bearer"

    @cached_property
    def model_document(self) -> str:
        """The metadata as JSON, as in export.json."""
        return to_json(self.metadata)

    @cached_property
    def openapi_document(self) -> dict[str, Any]:
        """The OpenAPI description."""
        return document(self._interface)


class ServiceHandler(JsonHandler):
    """A handler of the API, which requires the token if one is set."""

    guarded = True

    def initialize(self, service: Service, telemetry: Telemetry) -> None:
        """Keep the arguments of the application's rule."""
        self.service = service
        self.telemetry = telemetry

    def prepare(self) -> None:
        """Reject requests without the token."""
        given = self.request.headers.get("Authorization", "")
        if self.guarded and not self.service.admits(given):
            challenge = 'Bearer realm="malaria-detect"' + (', error="invalid_token"' if given else "")
            raise Problem(
                401,
                "This address requires the server's token, in the header Authorization: Bearer …",
                www_authenticate=challenge,
            )
