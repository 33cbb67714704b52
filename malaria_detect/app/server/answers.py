"""Records that the HTTP API answers with."""

from dataclasses import dataclass
from typing import Literal

import malaria_detect
from malaria_detect.fields.records import FieldRecord, OutlinedCell, SlideRecord
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.inference.prediction import Record


@dataclass(frozen=True)
class ModelName:
    """The model behind an answer, and the version of malaria_detect; all metadata are at ``/api/model``."""

    file_name: str
    sha256: str
    architecture: str
    created: str
    version: str

    @classmethod
    def of(cls, metadata: ModelMetadata) -> "ModelName":
        """The model that metadata describes."""
        return cls(
            file_name=metadata.file_name,
            sha256=metadata.sha256,
            architecture=metadata.architecture,
            created=metadata.created,
            version=malaria_detect.__version__,
        )


@dataclass(frozen=True)
class Answer:
    """Results for all images of a request, in their order; ``path`` is the file name in the request.

    The request's id is also in the header X-Request-Id and in the server's log.
    """

    model: ModelName
    operating_point: str
    request_id: str
    results: tuple[Record, ...]
    research_use: str = RESEARCH_USE


@dataclass(frozen=True)
class FieldAnswer:
    """Results for the photographs of a request, which are the fields of one slide, and for the red cells of all fields.

    ``image`` is the file name in the request.
    """

    model: ModelName
    operating_point: str
    request_id: str
    slide: SlideRecord
    fields: tuple[FieldRecord, ...]
    cells: tuple[OutlinedCell, ...]
    research_use: str = RESEARCH_USE


@dataclass(frozen=True)
class Health:
    """The server accepts images."""

    status: Literal["ok"] = "ok"
