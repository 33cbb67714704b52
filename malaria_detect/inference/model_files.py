"""The files of a model, ``export.pkl``, ``.json``, ``.npz`` and ``.graph``: checked before anything is used.

``export.pkl`` is a pickle: opening it runs the code in it. It is used only if its SHA-256 is the one in its metadata
and, if :data:`PIN_VARIABLE` is set, the one in that variable.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from malaria_detect.core.atomic import check_writable, write_text
from malaria_detect.core.errors import ArgumentError
from malaria_detect.core.json_io import RecordError, from_json, to_json
from malaria_detect.core.shipped import MODEL, MODEL_VARIABLE, shipped_folder
from malaria_detect.inference.metadata import SCHEMA_VERSION, MetadataError, ModelMetadata

# Holds the SHA-256 of the only model that may be opened, so that changing all files on a server is not enough.
PIN_VARIABLE = "MALARIA_DETECT_SHA256"
_FIX = "Use all files of one release, or train a model with `malaria-detect train`."


def default_model() -> Path:
    """Path of the model that is used if none is given.

    It is the model in the environment variable ``MALARIA_DETECT_MODEL``, else export.pkl in the current folder, else
    the model that comes with the package. If the current folder has only some of the files export.pkl, export.json,
    export.npz and export.graph, it is not passed over, and opening it is an error.

    Examples
    --------
    >>> default_model().name
    'export.pkl'
    """
    if named := os.environ.get(MODEL_VARIABLE):
        return Path(named)
    here = Path(MODEL)
    files = here, metadata_path(here), references_path(here), graph_path(here)
    trained_here = any(os.path.lexists(one) for one in files)
    return here if trained_here else shipped_folder() / MODEL


def metadata_path(model_path: str | os.PathLike[str]) -> Path:
    """Path of a model's metadata: next to the model, with the suffix ``.json``."""
    return Path(model_path).with_suffix(".json")


def references_path(model_path: str | os.PathLike[str]) -> Path:
    """Path of a model's reference cells: next to the model, with the suffix ``.npz``."""
    return Path(model_path).with_suffix(".npz")


def graph_path(model_path: str | os.PathLike[str]) -> Path:
    """Path of a model's runtime form: next to the model, with the suffix ``.graph``."""
    return Path(model_path).with_suffix(".graph")


def check_model_output(output: Path) -> None:
    """Check that a model is named ``.pkl`` and that its files can be written.

    Raises
    ------
    ArgumentError
        ``output``, for another name.
    malaria_detect.core.atomic.WriteError
    """
    if output.suffix != ".pkl":
        raise ArgumentError(f"The name of a model ends in .pkl; got {output}.", "output")
    for file in (output, metadata_path(output), graph_path(output), references_path(output)):
        check_writable(file)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_metadata(model_path: str | os.PathLike[str] | None = None) -> ModelMetadata:
    """Metadata of a model, after checking that the model belongs to it. Nothing is unpickled.

    Parameters
    ----------
    model_path : path, optional
        The exported learner; default: :func:`default_model`.

    Raises
    ------
    MetadataError
        With the ``reason`` ``missing``, ``unreadable``, ``schema``, ``invalid``, ``wrong_sha256``, ``bad_pin`` or
        ``wrong_pin``.

    Examples
    --------
    >>> read_metadata("export.pkl").architecture
    'resnet34'
    """
    model, metadata = _unchecked(model_path)
    with _readable(model):
        found = sha256_of(model)  # in blocks: the whole file would be most of a kernel's memory
    _check_sha256(model, metadata, found)
    return metadata


def read_model(model_path: str | os.PathLike[str] | None = None) -> tuple[ModelMetadata, bytes]:
    """Metadata of a model and the content of the model file that was checked against it; see :func:`read_metadata`."""
    model, metadata = _unchecked(model_path)
    with _readable(model):
        data = model.read_bytes()
    _check_sha256(model, metadata, hashlib.sha256(data).hexdigest())
    return metadata, data


def references_content(model_path: str | os.PathLike[str], metadata: ModelMetadata) -> bytes | None:
    """Content of a model's reference cells, after checking that they belong to it; None for a model without them.

    Raises
    ------
    MetadataError
        With the ``reason`` ``missing``, ``unreadable`` or ``wrong_sha256``.
    """
    if metadata.references_sha256 is None:
        return None
    path = references_path(model_path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MetadataError(f"{path} is missing. {_FIX}", "missing") from error
    except OSError as error:
        raise MetadataError(f"{path} cannot be read ({error.strerror}).", "unreadable") from error
    if hashlib.sha256(data).hexdigest() != metadata.references_sha256:
        raise MetadataError(f"{path} does not belong to {Path(model_path).name}. {_FIX}", "wrong_sha256")
    return data


def write_expectations(model_path: Path, expectations: Mapping[str, str]) -> ModelMetadata:
    """Write what to expect in other laboratories into a model's metadata; errors as in :func:`read_metadata`."""
    metadata = replace(read_metadata(model_path), expectations=dict(expectations))
    write_text(metadata_path(model_path), to_json(metadata))
    return metadata


def _unchecked(model_path: str | os.PathLike[str] | None) -> tuple[Path, ModelMetadata]:
    """A model's path and metadata, before the model is compared with them."""
    if not isinstance(model_path, str | os.PathLike | None):
        raise ArgumentError(f"A model is named by its path; got a {type(model_path).__name__}.", "path")
    model = default_model() if model_path is None else Path(model_path)
    if model.is_dir():
        raise MetadataError(f"{model} is a folder. Give the file in it, such as export.pkl.", "missing")
    path = metadata_path(model)
    for needed in (model, path):
        if not needed.is_file():
            raise MetadataError(
                f"{needed} is missing. A model consists of {model.name}, {path.name} and, if {path.name} names "
                f"reference cells, {references_path(model).name}. {_FIX}",
                reason="missing",
            )
    with _readable(path):
        return model, _parsed(path)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MetadataError(f"{path} cannot be read ({error.strerror}).", reason="unreadable") from error


def _check_sha256(model: Path, metadata: ModelMetadata, found: str) -> None:
    if found != metadata.sha256:
        raise MetadataError(
            f"{model} does not belong to {metadata_path(model).name}: its SHA-256 is {found[:12]}…, expected "
            f"{metadata.sha256[:12]}…. {_FIX}",
            reason="wrong_sha256",
        )
    _check_pin(model, found)


def _parsed(path: Path) -> ModelMetadata:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
        if version not in (2, SCHEMA_VERSION):
            raise MetadataError(
                f"{path} has schema version {version}; versions 2 and {SCHEMA_VERSION} can be read. {_FIX}",
                reason="schema",
            )
        if version == 2:
            content |= {"schema_version": SCHEMA_VERSION, "uncertainty": content.pop("doubt")}
        return from_json(ModelMetadata, content)
    except (ValueError, KeyError, TypeError, RecordError) as error:
        raise MetadataError(
            f"{path} is not valid model metadata ({error!r}). {_FIX}", reason="invalid"
        ) from error


def _check_pin(model: Path, found: str) -> None:
    pin = os.environ.get(PIN_VARIABLE)
    if pin is None:
        return
    expected = pin.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise MetadataError(
            f"{PIN_VARIABLE} is {pin!r}, but must be the 64 hexadecimal digits of a model's SHA-256. Correct it, or "
            "unset it to allow any model with metadata.",
            reason="bad_pin",
        )
    if found != expected:
        raise MetadataError(
            f"{PIN_VARIABLE} allows only the model with SHA-256 {expected[:12]}…, but {model} has {found[:12]}…. "
            "Use the model of that release, or change the variable.",
            reason="wrong_pin",
        )
