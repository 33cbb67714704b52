"""The files of a cell finder: ``finder.pt`` with its weights, the runtime form ``finder.graph``, and metadata."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from malaria_detect.core.json_io import read_record
from malaria_detect.inference.engine import Engine
from malaria_detect.inference.graph import Graph, GraphError, members
from malaria_detect.inference.metadata import MetadataError

SCHEMA_VERSION = 1
_SHIPPED = Path(__file__).with_name("finder.pt")
_FIX = "Train one with `malaria-detect fields train`, or use the one of the package."


@dataclass(frozen=True)
class FinderMetadata:
    """What the weights of a cell finder are.

    Attributes
    ----------
    schema_version : int
    file_name, sha256 : str
        Name and SHA-256 of the file of the weights.
    size_bytes : int
    threshold : float, in [0, 1]
        Least value of the centre map at the centre of a cell.
    threshold_f1 : float
        F1 score at this threshold on the synthetic fields of validation patients on which it was chosen.
    settings : dict
        How it was trained (:class:`malaria_detect.training.finder_settings.FinderSettings`).
    history : list of dict
        Losses of each epoch (:class:`malaria_detect.training.finder_settings.FinderEpoch`).
    start : str
        SHA-256 of the pretrained weights.
    data_fingerprint : str
        Of the cells that were put together to fields.
    versions : dict of str to str
        Versions of the libraries.
    created : str
        Date, YYYY-MM-DD.
    licence, intended_use : str
    graph_sha256 : str
        SHA-256 of the :mod:`runtime form <malaria_detect.inference.graph>`.
    """

    schema_version: int
    file_name: str
    sha256: str
    size_bytes: int
    threshold: float
    threshold_f1: float
    settings: dict[str, Any]
    history: list[dict[str, Any]]
    start: str
    data_fingerprint: str
    versions: dict[str, str]
    created: str
    licence: str
    intended_use: str
    graph_sha256: str


def read_finder(path: str | os.PathLike[str] | None = None) -> tuple[FinderMetadata, Graph, bytes]:
    """Metadata, graph and weights of a cell finder; see :func:`malaria_detect.fields.finder.load_finder`."""
    file = _SHIPPED if path is None else Path(path)
    described, recorded = file.with_suffix(".json"), file.with_suffix(".graph")
    for needed in (file, described, recorded):
        if not needed.is_file():
            raise MetadataError(
                f"{needed} is missing. A cell finder consists of {file.name}, {described.name} and {recorded.name}. "
                f"{_FIX}",
                reason="missing",
            )
    metadata = read_record(FinderMetadata, described, MetadataError, _FIX)
    contents = [
        _checked(one, described, sha256)
        for one, sha256 in ((recorded, metadata.graph_sha256), (file, metadata.sha256))
    ]
    try:
        return metadata, Graph.read(contents[0]), contents[1]
    except GraphError as error:
        raise MetadataError(f"{recorded} cannot be used: {error}. {_FIX}", reason="invalid") from error


def open_engine(graph: Graph, weights: bytes) -> Engine:
    """The compiled network of a cell finder.

    Raises
    ------
    MetadataError
        ``invalid`` if the weights are not those of the graph.
    """
    try:
        return Engine(graph.model(members(weights)))
    except GraphError as error:
        raise MetadataError(
            f"The weights of the cell finder do not belong to it: {error}. {_FIX}", "invalid"
        ) from error


def _checked(file: Path, described: Path, sha256: str) -> bytes:
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise MetadataError(
            f"{file} does not belong to {described.name}: its SHA-256 is {found[:12]}…, expected {sha256[:12]}…. "
            f"{_FIX}",
            reason="wrong_sha256",
        )
    return content
