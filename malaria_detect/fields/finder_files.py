"""The files of a cell finder: its weights, and metadata that say what they are."""

import hashlib
import io
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from malaria_detect.core.atomic import replaced, write_text
from malaria_detect.core.json_io import read_record, to_json
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


def write_finder(path: Path, weights: dict[str, torch.Tensor], about: dict[str, Any]) -> FinderMetadata:
    """Write weights, as float16, and their metadata beside them, with the suffix ``.json``.

    Parameters
    ----------
    path : path
    weights : dict of str to torch.Tensor
        State dict of a :class:`malaria_detect.fields.network.FinderNetwork`.
    about : dict
        The fields of :class:`FinderMetadata` that the file itself does not determine.
    """
    data = io.BytesIO()
    torch.save(
        {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}, data
    )
    content = data.getvalue()
    metadata = FinderMetadata(
        schema_version=SCHEMA_VERSION,
        file_name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        **about,
    )
    with replaced(path) as new:
        new.write_bytes(content)
    write_text(path.with_suffix(".json"), to_json(metadata))
    return metadata


def read_finder(
    path: str | os.PathLike[str] | None = None,
) -> tuple[FinderMetadata, dict[str, torch.Tensor]]:
    """Metadata and weights of a cell finder; see :func:`malaria_detect.fields.finder.load_finder`."""
    file = _SHIPPED if path is None else Path(path)
    metadata, content = _checked(file)
    try:
        weights: dict[str, torch.Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise MetadataError(f"{file} has no weights of a cell finder. {_FIX}", reason="invalid") from error
    return metadata, weights


def finder_metadata(path: str | os.PathLike[str] | None = None) -> FinderMetadata:
    """Metadata of a cell finder, after checking that the weights belong to it; they are not opened.

    Raises
    ------
    MetadataError
        With the ``reason`` ``missing`` or ``wrong_sha256``.
    """
    return _checked(_SHIPPED if path is None else Path(path))[0]


def _checked(file: Path) -> tuple[FinderMetadata, bytes]:
    """Metadata of a cell finder, and the content of the file of its weights, which belongs to it."""
    described = file.with_suffix(".json")
    for needed in (file, described):
        if not needed.is_file():
            raise MetadataError(
                f"{needed} is missing. A cell finder consists of {file.name} and {described.name}. {_FIX}",
                reason="missing",
            )
    metadata = read_record(FinderMetadata, described, MetadataError, _FIX)
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != metadata.sha256:
        raise MetadataError(
            f"{file} does not belong to {described.name}: its SHA-256 is {found[:12]}…, expected "
            f"{metadata.sha256[:12]}…. {_FIX}",
            reason="wrong_sha256",
        )
    return metadata, content
