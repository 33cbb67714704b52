"""The runtime form of a network: what it computes, in a small file beside the weights.

OpenVINO's own files hold a second copy of the weights. Here each weight is an input of the graph, named by its member
of the ZIP archive that torch wrote, such as ``export.pkl``: the weights exist once, and both forms of a network cannot
differ. Nothing is unpickled to read them.
"""

import importlib
import io
import json
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino

_XML, _CONSTANTS, _ABOUT = "graph.xml", "graph.bin", "graph.json"
# Rises when the outputs of networks change: older files are made again.
_VERSION = 1


class GraphError(ValueError):
    """A file that is no graph, or weights that do not belong to it."""


@dataclass(frozen=True)
class Graph:
    """A network without its weights.

    Attributes
    ----------
    xml, constants : bytes
        OpenVINO's model: its first input are pictures, the others are the weights. The few constants are shapes and
        axes.
    weights : dict of str to str
        Member of the archive by the name of the weight, in the order of the inputs.
    head : tuple of str
        Names of the four layers with weights of fastai's head; empty for other networks.
    """

    xml: bytes
    constants: bytes
    weights: dict[str, str]
    head: tuple[str, ...] = ()

    @classmethod
    def read(cls, content: bytes) -> "Graph":
        """The graph in a file.

        Raises
        ------
        GraphError
        """
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                about = json.loads(archive.read(_ABOUT))
                if about["version"] != _VERSION:
                    raise GraphError(f"of version {about['version']}, expected {_VERSION}")
                head = tuple(about["head"])
                return cls(archive.read(_XML), archive.read(_CONSTANTS), about["weights"], head)
        except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError) as error:
            if isinstance(error, GraphError):
                raise
            raise GraphError(f"no graph ({error!r})") from error

    def content(self) -> bytes:
        """The file of the graph; the same for the same graph."""
        file = io.BytesIO()
        about = {"version": _VERSION, "weights": self.weights, "head": self.head}
        parts = {_XML: self.xml, _CONSTANTS: self.constants, _ABOUT: json.dumps(about).encode()}
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in parts.items():
                archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
        return file.getvalue()

    def model(self, weights: Mapping[str, bytes]) -> "openvino.Model":
        """OpenVINO's model with the weights in it.

        Parameters
        ----------
        weights : mapping of str to bytes
            Content of the archive's members, from :func:`members`.

        Raises
        ------
        GraphError
            If a weight is missing or has another size.
        """
        openvino = import_openvino()
        try:
            model = openvino_core().read_model(self.xml, self.constants)
        except RuntimeError as error:
            raise GraphError("no model of OpenVINO") from error
        parameters = model.get_parameters()[1:]
        if len(parameters) != len(self.weights):
            raise GraphError(f"{len(parameters)} weights, but {len(self.weights)} names of weights")
        for parameter, member in zip(parameters, self.weights.values(), strict=True):
            shape = tuple(parameter.get_partial_shape().to_shape())
            value = _array(weights, member, shape)
            parameter.output(0).replace(openvino.opset13.constant(value).output(0))
            model.remove_parameter(parameter)
        return model

    def layer(self, weights: Mapping[str, bytes], name: str) -> dict[str, NDArray[np.float64]]:
        """Weights of a layer, flat, by their names in it, such as ``bias``."""
        return {
            own.removeprefix(f"{name}."): np.frombuffer(weights[member], np.float16).astype(np.float64)
            for own, member in self.weights.items()
            if own.startswith(f"{name}.")
        }


def import_openvino() -> Any:
    """OpenVINO without its telemetry; imported when it is needed, because the page's kernels compute no network.

    By itself, importing it reports to its makers that it is used, from a forked process. Without the package of its
    telemetry, OpenVINO takes a stub.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def openvino_core() -> "openvino.Core":
    """The one core of OpenVINO in this process.

    OpenVINO installs a stack for signals in the thread that opens the core. If another thread ended the core, the first
    one would keep a pointer to freed memory, and its next signal would crash the process.
    """
    with _ONE_CORE:
        return _opened_core()


@lru_cache(maxsize=1)
def _opened_core() -> "openvino.Core":
    return import_openvino().Core()


_ONE_CORE = threading.Lock()


class _Members(Mapping[str, bytes]):
    # One at a time: a copy of all of them would double the memory of a small machine that opens a model.
    def __init__(self, archive: zipfile.ZipFile) -> None:
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        self._archive = archive
        self._names = {own: name for own, name in names.items() if own.startswith("data/")}

    def __getitem__(self, member: str) -> bytes:
        return self._archive.read(self._names[member])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def members(archive: bytes) -> Mapping[str, bytes]:
    """Content of the tensors in an archive that torch wrote, by their names without its top folder.

    Each is read when it is asked for.

    Raises
    ------
    GraphError
        If it is no such archive.
    """
    try:
        return _Members(zipfile.ZipFile(io.BytesIO(archive)))
    except zipfile.BadZipFile as error:
        raise GraphError("not an archive of torch") from error


def with_members(archive: bytes, contents: Mapping[str, bytes]) -> bytes:
    """An archive that torch wrote, with other contents of some members; names as from :func:`members`."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(file, "w") as new:
        for info in old.infolist():
            kept = old.read(info)
            new.writestr(info, contents.get(info.filename.partition("/")[2], kept))
    return file.getvalue()


def _array(weights: Mapping[str, bytes], member: str, shape: tuple[int, ...]) -> NDArray[np.float16]:
    try:
        return np.frombuffer(weights[member], np.float16).reshape(shape)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise GraphError(f"{member} is missing, damaged or of another size") from error
