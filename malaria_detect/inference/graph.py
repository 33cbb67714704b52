"""The runtime form of a network: what it computes, in a small file beside the weights.

OpenVINO's own files hold a second copy of the weights. Here each weight is an input of the graph, named by its member
of the ZIP archive that torch wrote, such as ``export.pkl``: the weights exist once, and both forms of a network cannot
differ. Nothing is unpickled to read them.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino

_XML, _CONSTANTS, _ABOUT = "graph.xml", "graph.bin", "graph.json"


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
                head = tuple(about["head"])
                return cls(archive.read(_XML), archive.read(_CONSTANTS), about["weights"], head)
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise GraphError(f"not a graph ({error!r})") from error

    def content(self) -> bytes:
        """The file of the graph; the same for the same graph."""
        file = io.BytesIO()
        about = {name: value for name, value in asdict(self).items() if name in ("weights", "head")}
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
        import openvino  # here, because the page's kernels read graphs of no model

        model = openvino.Core().read_model(self.xml, self.constants)
        for parameter, member in zip(model.get_parameters()[1:], self.weights.values(), strict=True):
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


def members(archive: bytes) -> dict[str, bytes]:
    """Content of the tensors in an archive that torch wrote, by their names without its top folder.

    Raises
    ------
    GraphError
        If it is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            names = {name.partition("/")[2]: name for name in opened.namelist()}
            return {own: opened.read(name) for own, name in names.items() if own.startswith("data/")}
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
    except (KeyError, ValueError) as error:
        raise GraphError(f"{member} is missing or has another size") from error
