"""The HTTP interface's description, OpenAPI 3.1, made from the records that it answers with."""

from dataclasses import dataclass
from typing import Any

import malaria_detect
from malaria_detect.app.server.answers import Answer, Health
from malaria_detect.app.server.multipart import FIELD, FORM
from malaria_detect.app.server.problems import PROBLEM, ProblemDetails
from malaria_detect.app.server.reception import Limits
from malaria_detect.app.server.telemetry import REQUEST_ID
from malaria_detect.data.images import FORMATS, MAX_BYTES
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata

POINT = "operating_point"
Json = dict[str, Any]

_WHY = {
    400: "The request cannot be understood: its query, its header Content-Type or its body.",
    401: "The token is missing or another one.",
    413: "The body is too large.",
    415: f"The body is not {FORM}, or it is compressed.",
    422: "The body holds too many pictures.",
    500: "The server failed over this request.",
    503: "The server cannot do this now, but perhaps later.",
}
_ID_HEADER = {
    REQUEST_ID: {
        "description": "The request's own id where it was proper, else one made for it; also in the server's log.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    }
}
_OWN_HEADERS = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    503: {
        "Retry-After": {
            "description": "Seconds.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    },
}


@dataclass(frozen=True)
class Interface:
    """What a description depends on."""

    base_url: str
    metadata: ModelMetadata
    limits: Limits
    with_token: bool


def document(interface: Interface) -> Json:
    """Describe the interface.

    Parameters
    ----------
    interface : Interface

    Returns
    -------
    dict
        An OpenAPI 3.1.0 document, for ``json.dumps``.
    """
    tell = _Operations(interface)
    described: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "malaria_detect",
            "version": malaria_detect.__version__,
            "summary": "Tells parasitized from uninfected red blood cells on pictures of thin smears.",
            "description": RESEARCH_USE,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": interface.base_url.rstrip("/") or "/"}],
        "paths": {
            "/api/predict": {"post": tell.predict()},
            "/api/health": {
                "get": tell.get("health", "Whether the server takes pictures", _json("Health"), (503,), False)
            },
            "/api/model": {
                "get": tell.get(
                    "model", "The model's metadata, as export.json says it", _json("ModelMetadata")
                )
            },
            "/api/openapi.json": {
                "get": tell.get(
                    "openapi", "This document", {"application/json": {"schema": {"type": "object"}}}
                )
            },
            "/metrics": {
                "get": tell.get(
                    "metrics", "Numbers for Prometheus", {"text/plain": {"schema": {"type": "string"}}}
                )
            },
        },
        "components": {"schemas": schemas()},
    }
    if interface.with_token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return described


def schemas() -> Json:
    """JSON schemas of all that the interface answers with, by name, from the records themselves."""
    # Imported where it is needed: a server that is never asked for its description does without its memory.
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
    from pydantic_core import core_schema

    class WithUndefined(GenerateJsonSchema):
        """Metadata hold numbers that are not defined, which JSON tells as null."""

        def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
            return {"type": ["number", "null"]}

    found: Json = {}
    for kind, generator in (
        (Answer, GenerateJsonSchema),
        (Health, GenerateJsonSchema),
        (ProblemDetails, GenerateJsonSchema),
        (ModelMetadata, WithUndefined),
    ):
        schema = TypeAdapter(kind).json_schema(
            mode="serialization", ref_template="#/components/schemas/{model}", schema_generator=generator
        )
        found |= schema.pop("$defs", {})
        found[kind.__name__] = schema
    for schema in found.values():
        # Records are sent whole: what has a default is there, and nothing else is.
        schema["required"] = list(schema["properties"])
        schema["additionalProperties"] = False
    return found


class _Operations:
    """Writes down the operations of one interface."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface

    def get(
        self, name: str, summary: str, content: Json, codes: tuple[int, ...] = (), guarded: bool = True
    ) -> Json:
        """A document that is asked for."""
        return self._operation(name, summary, content, (400, 500, *codes), guarded)

    def predict(self) -> Json:
        """Pictures in, answers out."""
        metadata, limits = self._interface.metadata, self._interface.limits
        operation = self._operation(
            "predict",
            "Classify pictures of single cells",
            _json("Answer"),
            (400, 413, 415, 422, 500, 503),
            True,
        )
        operation["parameters"] = [
            {
                "name": POINT,
                "in": "query",
                "description": "What the decision is for; a threshold goes with each.",
                "schema": {
                    "type": "string",
                    "enum": [point.name for point in metadata.operating_points],
                    "default": metadata.default_point,
                },
            }
        ]
        operation["requestBody"] = {
            "description": f"At most {limits.max_pictures} files ({', '.join(FORMATS)}), each of one cell, and at most "
            f"{limits.max_body_bytes:,} bytes in all. A picture over {MAX_BYTES:,} bytes is refused, and the others "
            "are answered.",
            "required": True,
            "content": {
                FORM: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            FIELD: {
                                "type": "array",
                                "items": {"type": "string", "format": "binary"},
                                "minItems": 1,
                                "maxItems": limits.max_pictures,
                            }
                        },
                        "required": [FIELD],
                        "additionalProperties": False,
                    },
                    "encoding": {FIELD: {"contentType": "image/*, application/octet-stream"}},
                }
            },
        }
        return operation

    def _operation(
        self, name: str, summary: str, content: Json, codes: tuple[int, ...], guarded: bool
    ) -> Json:
        asks = guarded and self._interface.with_token
        responses: Json = {"200": {"description": summary, "headers": _ID_HEADER, "content": content}}
        for code in sorted({*codes, *([401] if asks else [])}):
            responses[str(code)] = {
                "description": _WHY[code],
                "headers": _ID_HEADER | _OWN_HEADERS.get(code, {}),
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
            }
        operation: Json = {"operationId": name, "summary": summary, "responses": responses}
        if asks:
            operation["security"] = [{"token": []}]
        return operation


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
