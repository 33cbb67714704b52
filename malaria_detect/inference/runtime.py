"""Open the runtime form of a model, ``export.graph``; where it is missing or stale, make it once."""

import contextlib
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from malaria_detect.core.atomic import WriteError, replaced, write_text
from malaria_detect.core.json_io import to_json
from malaria_detect.core.swept import swept_folder
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.graph import Graph, GraphError
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import graph_path, metadata_path, read_metadata

_SECONDS = 600  # at most, for a conversion


def open_classifier(model_path: str | os.PathLike[str], metadata: ModelMetadata, data: bytes) -> Classifier:
    """The network of a model, compiled.

    Parameters
    ----------
    model_path : path
        The exported learner.
    metadata, data
        Of :func:`malaria_detect.inference.model_files.read_model`.

    Raises
    ------
    MetadataError
        ``no_graph`` if the runtime form is missing or belongs to another model, and cannot be made.
    """
    content = graph_content(model_path, metadata)
    try:
        return Classifier.open(Graph.read(content), data)
    except GraphError as error:
        raise MetadataError(
            f"{graph_path(model_path)} cannot be used: {error}. Delete it to make it again.",
            "no_graph",
        ) from error


def graph_content(model_path: str | os.PathLike[str], metadata: ModelMetadata) -> bytes:
    """Content of a model's runtime form, which is made if it is missing or is not the one that the metadata name.

    Raises
    ------
    MetadataError
        ``no_graph`` if it cannot be made.
    """
    try:
        content = graph_path(model_path).read_bytes()
        if hashlib.sha256(content).hexdigest() == metadata.graph_sha256:
            Graph.read(content)
            return content
    except (OSError, GraphError):  # missing, or of another version
        pass
    return _made(Path(model_path), metadata)


def _made(model_path: Path, metadata: ModelMetadata) -> bytes:
    """The runtime form, made in a process that then ends, and written for the next time where that is possible."""
    path = graph_path(model_path)
    if find_spec("fastai") is None:
        raise MetadataError(
            f"{path} is missing or belongs to another model. Use all files of one release, or make it from "
            f"{model_path.name}: install pip install 'malaria-detect[train]' and try again.",
            "no_graph",
        )
    with swept_folder() as folder:
        made = folder / path.name
        module = "malaria_detect.training.convert"
        # -P: no module of the current folder, which may be anybody's, is imported.
        command = [sys.executable, "-P", "-m", module, str(model_path.absolute()), str(made)]
        try:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise _not_converted(model_path, f"it took longer than {_SECONDS} s") from error
        except subprocess.CalledProcessError as error:
            lines = error.stderr.decode(errors="replace").strip().splitlines()
            raise _not_converted(model_path, lines[-1] if lines else "the process ended") from error
        content = made.read_bytes()
    # The folder may be read-only: then it is made at every start.
    with contextlib.suppress(WriteError):
        found = read_metadata(model_path)  # again: it may have been changed meanwhile
        if found.sha256 == metadata.sha256:
            with replaced(path) as file:
                file.write_bytes(content)
            named = replace(found, graph_sha256=hashlib.sha256(content).hexdigest())
            write_text(metadata_path(model_path), to_json(named))
    return content


def _not_converted(model_path: Path, why: str) -> MetadataError:
    return MetadataError(f"The network of {model_path} cannot be converted: {why}.", "no_graph")
