"""OpenAPI 3.1 description of the HTTP API: ``openapi.json`` with what depends on the server and on its records."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

import malaria_detect
from malaria_detect.app.server.answers import Answer, FieldAnswer, Health
from malaria_detect.app.server.multipart import FIELD, FORM
from malaria_detect.app.server.problems import ProblemDetails
from malaria_detect.app.server.reception import Limits
from malaria_detect.data.image_checks import FIELD as FIELD_LIMITS
from malaria_detect.data.images import FORMATS, MAX_BYTES
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata, field_point

_DESCRIPTION = Path(__file__).with_name("openapi.json")


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


def document(interface: Interface) -> dict[str, Any]:
    """OpenAPI document of an API, for ``json.dumps``."""
    described: dict[str, Any] = json.loads(_DESCRIPTION.read_text(encoding="utf-8"))
    described["info"] |= {"version": malaria_detect.__version__, "description": RESEARCH_USE}
    described["servers"] = [{"url": interface.base_url.rstrip("/") or "/"}]
    described["components"]["schemas"] = schemas()
    paths, metadata, limits = described["paths"], interface.metadata, interface.limits
    _fill(paths["/api/predict"]["post"], metadata, metadata.default_point, limits, MAX_BYTES)
    field = paths["/api/field"]["post"]
    _fill(field, metadata, field_point(metadata), limits.for_fields, FIELD_LIMITS.max_bytes)
    if interface.with_token:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for operation in [one for path in paths.values() for one in path.values()]:
            if operation["operationId"] != "health":
                operation["security"] = [{"token": []}]
                operation["responses"]["401"] = {"$ref": "#/components/responses/401"}
    return described


def _fill(operation: dict[str, Any], metadata: ModelMetadata, point: str, limits: Limits, most: int) -> None:
    points = [one.name for one in metadata.operating_points]
    operation["parameters"][0]["schema"] |= {"enum": points, "default": point}
    body = operation["requestBody"]
    body["description"] = body["description"].format(
        pictures=limits.max_pictures, formats=", ".join(FORMATS), body=limits.max_body_bytes, file=most
    )
    body["content"][FORM]["schema"]["properties"][FIELD]["maxItems"] = limits.max_pictures


def schemas() -> dict[str, Any]:
    """JSON schemas of all records that the API answers with, by name."""
    found: dict[str, Any] = {}
    for kind in (Answer, FieldAnswer, Health, ProblemDetails, ModelMetadata):
        schema = TypeAdapter(kind).json_schema(
            mode="serialization",
            ref_template="#/components/schemas/{model}",
            schema_generator=WithUndefined if kind is ModelMetadata else GenerateJsonSchema,
        )
        found |= schema.pop("$defs", {})
        found[kind.__name__] = schema
    for schema in found.values():
        # Records are sent completely, including fields with a default, and nothing else is sent.
        schema["required"] = list(schema["properties"])
        schema["additionalProperties"] = False
    return found
