"""What the handlers of the HTTP interface share: the workers, the limits, the documents, and who is let in."""

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

# What a bearer token is made of (RFC 6750), so that it stands in a header as it is.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class TokenError(MalariaDetectError):
    """The token that was set cannot be one."""


class Predictor(Protocol):
    """What predicts: :class:`malaria_detect.app.server.workers.Workers`."""

    async def predict(
        self, pictures: Sequence[bytes], operating_point: str | None = None
    ) -> list[Prediction | Refusal]:
        """Predictions of encoded files, in their order; raises Overloaded and WorkerLost."""

    @property
    def waiting(self) -> int:
        """Jobs that wait."""

    @property
    def capacity(self) -> int:
        """Jobs that may wait."""

    @property
    def alive(self) -> int:
        """Workers that run."""


class Service:
    """What the handlers of one server share; its documents are made when they are first asked for."""

    def __init__(
        self, base_url: str, workers: Predictor, metadata: ModelMetadata, limits: Limits, token: str | None
    ) -> None:
        if token is not None and not _TOKEN.fullmatch(token):
            raise TokenError(
                "The interface's token is empty or holds other characters than A-Z a-z 0-9 - . _ ~ + / and = at its "
                "end: set another one, or none to let everybody in."
            )
        self.workers = workers
        self.metadata = metadata
        self.limits = limits
        self.reception = Reception(limits)
        self._token = None if token is None else hashlib.sha256(token.encode("ascii")).digest()
        self._interface = Interface(base_url, metadata, limits, with_token=token is not None)

    def admits(self, authorization: str) -> bool:
        """Whether the header Authorization holds the token, if one is set at all."""
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        # Digests of one length take the same time to compare, wherever they differ.
        found = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(found, self._token) and scheme.lower() == "bearer"

    @cached_property
    def model_document(self) -> str:
        """The metadata, as export.json says it."""
        return to_json(self.metadata)

    @cached_property
    def openapi_document(self) -> dict[str, Any]:
        """The interface's description."""
        return document(self._interface)


class ServiceHandler(JsonHandler):
    """A handler of the interface; asks for the token where one is set."""

    guarded = True

    def initialize(self, service: Service, telemetry: Telemetry) -> None:
        """Take what the rules carry."""
        self.service = service
        self.telemetry = telemetry

    def prepare(self) -> None:
        """Let in who may come in."""
        given = self.request.headers.get("Authorization", "")
        if self.guarded and not self.service.admits(given):
            challenge = 'Bearer realm="malaria-detect"' + (', error="invalid_token"' if given else "")
            raise Problem(
                401,
                "This address wants the server's token, in the header Authorization: Bearer …",
                www_authenticate=challenge,
            )
