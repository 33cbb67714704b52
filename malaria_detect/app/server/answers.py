"""What the HTTP interface answers."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import malaria_detect
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.inference.prediction import Record


@dataclass(frozen=True)
class ModelName:
    """The model that answered.

    Attributes
    ----------
    file_name, sha256 : str
        Of the exported learner; its metadata is at ``/api/model``.
    architecture, created : str
        From the metadata; the day as YYYY-MM-DD.
    version : str
        Of malaria_detect, which runs it.
    """

    file_name: str
    sha256: str
    architecture: str
    created: str
    version: str

    @classmethod
    def of(cls, metadata: ModelMetadata) -> "ModelName":
        """What metadata says of its model."""
        return cls(
            file_name=metadata.file_name,
            sha256=metadata.sha256,
            architecture=metadata.architecture,
            created=metadata.created,
            version=malaria_detect.__version__,
        )


@dataclass(frozen=True)
class Answer:
    """What the model says of all pictures of a request.

    Attributes
    ----------
    model : ModelName
    operating_point : str
        The one that was decided at.
    request_id : str
        As in the header X-Request-Id and in the server's log.
    research_use : str
        Stands wherever results stand.
    results : tuple of Record
        One for each image, in order; ``path`` is the file name in the request.
    """

    model: ModelName
    operating_point: str
    request_id: str
    results: tuple[Record, ...]
    research_use: str = RESEARCH_USE

    def plain(self) -> dict[str, Any]:
        """For ``json.dumps``."""
        return asdict(self)


@dataclass(frozen=True)
class Health:
    """The server takes pictures."""

    status: Literal["ok"] = "ok"
