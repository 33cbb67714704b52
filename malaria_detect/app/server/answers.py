"""Records that the HTTP API answers with."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import malaria_detect
from malaria_detect.fields.records import FieldRecord, OutlinedCell, SlideRecord
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.inference.prediction import Record


@dataclass(frozen=True)
class ModelName:
    """The model behind an answer.

    Attributes
    ----------
    file_name, sha256 : str
        Exported learner; its metadata is at ``/api/model``.
    architecture, created : str
        From the metadata; the day as YYYY-MM-DD.
    version : str
        Version of malaria_detect.
    """

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
    """Results for all images of a request.

    Attributes
    ----------
    model : ModelName
    operating_point : str
        Operating point of the decisions.
    request_id : str
        Id of the request, as in the header X-Request-Id and in the server's log.
    research_use : str
        Statement that comes with all results.
    results : tuple of Record
        One per image, in the order of the request; ``path`` is the file name in the request.
    """

    model: ModelName
    operating_point: str
    request_id: str
    results: tuple[Record, ...]
    research_use: str = RESEARCH_USE

    def plain(self) -> dict[str, Any]:
        """The answer as an object for ``json.dumps``."""
        return asdict(self)


@dataclass(frozen=True)
class FieldAnswer:
    """Results for the photographs of a request, which are the fields of one slide.

    Attributes
    ----------
    model, operating_point, request_id, research_use
        As in `Answer`.
    slide : SlideRecord
    fields : tuple of FieldRecord
        One per photograph, in the order of the request; ``image`` is the file name in the request.
    cells : tuple of OutlinedCell
        Red cells of all fields.
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
