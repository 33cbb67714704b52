"""What the handlers of the HTTP API share: workers, limits and the token."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from malaria_detect.app.server.openapi import Interface, document
from malaria_detect.app.server.problems import JsonHandler, Problem
from malaria_detect.app.server.reception import Limits, Reception
from malaria_detect.app.server.telemetry import Telemetry
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.prediction import Prediction, Refusal

# Characters of a bearer token (RFC 6750).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class TokenError(MalariaDetectError):
    """The configured token is not a valid bearer token; ``reason`` is ``bad_token``."""


class Predictor(Protocol):
    """Something that classifies images, such as :class:`malaria_detect.app.workers.pool.Workers`."""

    async def predict(
        self, pictures: Sequence[bytes], operating_point: str | None = None
    ) -> list[Prediction | Refusal]:
        """Predictions for encoded files, in their order; raises Overloaded and WorkerLost."""

    async def analyse(self, fields: Sequence[tuple[str, bytes]], operating_point: str) -> dict[str, Any]:
        """Records of a slide from the names and files of its fields; raises as :meth:`predict`."""

    @property
    def alive(self) -> int:
        """Number of running workers."""


@dataclass
class Service:
    """State shared by the handlers of one server; without a token, everybody is admitted."""

    base_url: str
    workers: Predictor
    metadata: ModelMetadata
    limits: Limits
    token: str | None
    telemetry: Telemetry

    def __post_init__(self) -> None:
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise TokenError(
                "The API token is not valid. It may contain A-Z, a-z, 0-9 and - . _ ~ + /, followed by =. Set another "
                "token, or none to require no token.",
                reason="bad_token",
            )

    @cached_property
    def reception(self) -> Reception:
        """Bodies with images of cells."""
        return Reception(self.limits)

    @cached_property
    def field_reception(self) -> Reception:
        """Bodies with photographs of fields."""
        return Reception(self.limits.for_fields)

    @cached_property
    def description(self) -> dict[str, Any]:
        """The OpenAPI description."""
        return document(Interface(self.base_url, self.metadata, self.limits, self.token is not None))

    def admits(self, authorization: str) -> bool:
        """Whether the header Authorization has the token, or no token is required."""
        if self.token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        # Digests have the same length, so that the time of the comparison reveals nothing about the token.
        found, expected = (
            hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
            for text in (given.strip(), self.token)
        )
        return hmac.compare_digest(found, expected) and scheme.lower() == "bearer"


class ServiceHandler(JsonHandler):
    """A handler of the API, which requires the token if one is set."""

    guarded = True

    def initialize(self, service: Service) -> None:
        """Keep the argument of the application's rule."""
        self.service = service
        self.telemetry = service.telemetry

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
