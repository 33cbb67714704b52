"""OpenAPI 3.1 description of the HTTP API, generated from the records that it answers with."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

import malaria_detect
from malaria_detect.app.server.answers import Answer, FieldAnswer, Health
from malaria_detect.app.server.multipart import FIELD, FORM
from malaria_detect.app.server.problems import PROBLEM, ProblemDetails
from malaria_detect.app.server.reception import Limits
from malaria_detect.app.server.telemetry import REQUEST_ID
from malaria_detect.data.image_checks import FIELD as FIELD_LIMITS
from malaria_detect.data.images import FORMATS, MAX_BYTES
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata, field_point

POINT = "operating_point"
Json = dict[str, Any]

_MEANINGS = {
    400: "The query, the header Content-Type or the body is malformed.",
    401: "The token is missing or wrong.",
    413: "The body is too large.",
    415: f"The body is not {FORM}, or it is compressed.",
    422: "The body has too many images.",
    500: "The server failed on this request.",
    503: "The server is overloaded or not ready. Try again later.",
}
_UPLOADED = (400, 413, 415, 422, 500, 503)
_ID_HEADER = {
    REQUEST_ID: {
        "description": "Id of the request, also in the server's log. A valid id sent by the client is kept.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    }
}
_OWN_HEADERS = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    503: {
        "Retry-After": {
            "description": "Seconds after which the client may try again.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    },
}


class WithUndefined(GenerateJsonSchema):
    """Schemas in which a number may be null: undefined numbers of the metadata are null in JSON."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """Schema of a number."""
        return {"type": ["number", "null"]}


@dataclass(frozen=True)
class Interface:
    """A server's API: what its description depends on."""

    base_url: str
    metadata: ModelMetadata
    limits: Limits
    with_token: bool


def document(interface: Interface) -> Json:
    """OpenAPI document of an API.

    Parameters
    ----------
    interface : Interface

    Returns
    -------
    dict
        OpenAPI 3.1.0 document, for ``json.dumps``.
    """
    operations = _Operations(interface)
    described: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "malaria_detect",
            "version": malaria_detect.__version__,
            "summary": "Classifies images of single red blood cells from thin smears as parasitized or uninfected.",
            "description": RESEARCH_USE,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": interface.base_url.rstrip("/") or "/"}],
        "paths": {
            "/api/predict": {"post": operations.predict()},
            "/api/field": {"post": operations.field()},
            "/api/health": {
                "get": operations.get(
                    "health", "Whether the server accepts images", _json("Health"), (503,), False
                )
            },
            "/api/model": {
                "get": operations.get(
                    "model", "Metadata of the model, as in export.json", _json("ModelMetadata")
                )
            },
            "/api/openapi.json": {
                "get": operations.get(
                    "openapi", "This document", {"application/json": {"schema": {"type": "object"}}}
                )
            },
            "/metrics": {
                "get": operations.get(
                    "metrics", "Metrics for Prometheus", {"text/plain": {"schema": {"type": "string"}}}
                )
            },
        },
        "components": {"schemas": schemas()},
    }
    if interface.with_token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return described


def schemas() -> Json:
    """JSON schemas of all records that the API answers with, by name."""
    found: Json = {}
    for kind, generator in (
        (Answer, GenerateJsonSchema),
        (FieldAnswer, GenerateJsonSchema),
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
        # Records are sent completely, including fields with a default, and nothing else is sent.
        schema["required"] = list(schema["properties"])
        schema["additionalProperties"] = False
    return found


class _Operations:
    """Describes the operations of one API."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface

    def get(
        self, name: str, summary: str, content: Json, codes: tuple[int, ...] = (), guarded: bool = True
    ) -> Json:
        """Description of a GET operation."""
        return self._operation(name, summary, content, (400, 500, *codes), guarded)

    def predict(self) -> Json:
        """Description of the classification of images."""
        metadata, limits = self._interface.metadata, self._interface.limits
        return self._upload(
            self._operation("predict", "Classify images of single cells", _json("Answer"), _UPLOADED, True),
            metadata.default_point,
            limits,
            f"At most {limits.max_pictures} files ({', '.join(FORMATS)}), each an image of one cell, and at most "
            f"{limits.max_body_bytes:,} bytes in total. An image over {MAX_BYTES:,} bytes is refused; the others are "
            "classified.",
        )

    def field(self) -> Json:
        """Description of the analysis of fields."""
        limits = self._interface.limits.for_fields
        return self._upload(
            self._operation(
                "field",
                "Find, classify and count the cells of a slide",
                _json("FieldAnswer"),
                _UPLOADED,
                True,
            ),
            field_point(self._interface.metadata),
            limits,
            f"At most {limits.max_pictures} files ({', '.join(FORMATS)}), photographs of fields of one slide, and at "
            f"most {limits.max_body_bytes:,} bytes in total. A photograph over {FIELD_LIMITS.max_bytes:,} bytes is "
            "refused; the others are analysed.",
        )

    def _upload(self, operation: Json, default_point: str, limits: Limits, description: str) -> Json:
        points = [point.name for point in self._interface.metadata.operating_points]
        operation["parameters"] = [
            {
                "name": POINT,
                "in": "query",
                "description": "Operating point of the decisions: a threshold chosen for a purpose.",
                "schema": {"type": "string", "enum": points, "default": default_point},
            }
        ]
        operation["requestBody"] = {
            "description": description,
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
        needs_token = guarded and self._interface.with_token
        responses: Json = {"200": {"description": summary, "headers": _ID_HEADER, "content": content}}
        for code in sorted({*codes, *([401] if needs_token else [])}):
            responses[str(code)] = {
                "description": _MEANINGS[code],
                "headers": _ID_HEADER | _OWN_HEADERS.get(code, {}),
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
            }
        operation: Json = {"operationId": name, "summary": summary, "responses": responses}
        if needs_token:
            operation["security"] = [{"token": []}]
        return operation


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
