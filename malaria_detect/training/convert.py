"""Convert a network of torch to its runtime form: ``python -m malaria_detect.training.convert MODEL OUTPUT``."""

import copy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from malaria_detect.inference.classifier import OUTPUTS, Classifier
from malaria_detect.inference.engine import Engine
from malaria_detect.inference.graph import Graph, GraphError, import_openvino, members
from malaria_detect.inference.head import Head
from malaria_detect.inference.model_files import read_model
from malaria_detect.training.learner import open_learner

_SIDE = 224  # px, of the picture with which a network that takes any size is recorded


def graph_of(network: nn.Module, weights: Mapping[str, bytes], side: int = _SIDE) -> Graph:
    """The runtime form of a classifier, which stays as it is.

    Parameters
    ----------
    network : torch.nn.Module
        Returns two logits, Parasitized and Uninfected. Its weights are float16 numbers.
    weights : mapping of str to bytes
        Members of the archive that has its weights, from :func:`malaria_detect.inference.graph.members`.
    side : int
        Of the pictures in px.

    Raises
    ------
    GraphError
        If the weights are not those of the network.
    """
    watched = _Watched(copy.deepcopy(network).cpu().eval())
    shape = [-1, 3, -1, -1] if watched.head else [-1, 3, side, side]
    graph = recorded(watched, weights, (2, 3, side, side), shape, OUTPUTS[: 4 if watched.head else 1])
    named = {name.removeprefix("network."): member for name, member in graph.weights.items()}
    return replace(graph, weights=named, head=watched.head)


def classifier_of(network: nn.Module, side: int = _SIDE, exact: bool = False) -> Classifier:
    """A network that is not written to a file, compiled; its weights are rounded to float16, as in a file.

    `side` is as for :func:`graph_of`, `exact` as for :class:`malaria_detect.inference.engine.Engine`.
    """
    halves = {f"data/{name}": _bytes(value) for name, value in _floats(network).items()}
    graph = graph_of(network, halves, side)
    return Classifier(Engine(graph.model(halves), exact), Head.of(graph, halves))


def recorded(
    network: nn.Module,
    weights: Mapping[str, bytes],
    example: tuple[int, ...],
    shape: Sequence[int],
    outputs: Sequence[str],
) -> Graph:
    """The graph of what a network does with pictures.

    Parameters
    ----------
    network : torch.nn.Module
        It is changed: use a copy.
    weights
        As for :func:`graph_of`.
    example, shape : tuple of int
        Shape of the pictures with which it is recorded, and which the graph takes; -1 is any size.
    outputs : sequence of str
        Names of the outputs.
    """
    place = {content: member for member, content in weights.items()}
    halves = {name: value.half() for name, value in _floats(network).items()}
    # Training stores some weights with the channels last.
    channels_last = {name for name, one in halves.items() if one.ndim == 4 and _bytes(one) not in place}
    stored = {name: one.permute(0, 2, 3, 1) if name in channels_last else one for name, one in halves.items()}
    if lost := [name for name, value in stored.items() if _bytes(value) not in place]:
        raise GraphError(f"the archive lacks weights of the network: {', '.join(lost)}")
    inputs = torch.rand(example), *stored.values()
    fed = torch.jit.trace(_Fed(network, tuple(stored), channels_last), inputs, check_trace=False)
    # Without openvino.convert_model, which reports its use to its makers.
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(fed)  # must live until the model is converted
    model = frontend.convert(frontend.load(decoder))
    for parameter, value in zip(model.get_parameters()[1:], stored.values(), strict=True):
        parameter.set_partial_shape(openvino.PartialShape(list(value.shape)))
    model.get_parameters()[0].set_partial_shape(openvino.PartialShape(list(shape)))
    model.validate_nodes_and_infer_types()
    # Names are numbered through a process; the same network is to give the same file.
    model.set_friendly_name("network")
    for number, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"node {number}")
        for output in node.outputs():
            output.get_tensor().set_names(set())
    for output, name in zip(model.outputs, outputs, strict=True):
        output.get_tensor().set_names({name})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.xml")
        openvino.save_model(model, path, compress_to_fp16=False)
        xml, constants = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    # Weights with the same content are the same weight.
    return Graph(xml, constants, {name: place[_bytes(value)] for name, value in stored.items()})


class _Watched(nn.Module):
    """A classifier that also shows what its trunk sees, if it ends as fastai's ``vision_learner``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.head = _head_of(network)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not self.head:
            logits = self.network(pictures)
            return (logits[:, 0] - logits[:, 1],)
        trunk, head = self.network.children()
        layers: list[torch.Tensor] = []
        x = pictures
        for part in trunk.children():
            x = part(x)
            if isinstance(part, nn.Sequential):
                values = x.flatten(2)
                mean = values.mean(dim=2)
                layers += [(values.square().mean(dim=2) - mean.square()).clamp(min=0), mean]
        assert isinstance(head, nn.Sequential)
        features = head[:2](x)
        logits = head[2:](features)
        return logits[:, 0] - logits[:, 1], features, torch.cat(layers, dim=1), x


class _Fed(nn.Module):
    """A network that gets its weights as arguments."""

    def __init__(self, network: nn.Module, names: tuple[str, ...], channels_last: set[str]) -> None:
        super().__init__()
        # In a list, so that torch does not record its weights as constants.
        self._hidden, self._names, self._channels_last = [network], names, channels_last

    def forward(self, pictures: torch.Tensor, *weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        (network,) = self._hidden
        for name, value in zip(self._names, weights, strict=True):
            owner, _, own = name.rpartition(".")
            part = network.get_submodule(owner)
            delattr(part, own)  # torch lets a parameter be replaced by another parameter only
            setattr(part, own, (value.permute(0, 3, 1, 2) if name in self._channels_last else value).float())
        outputs: tuple[torch.Tensor, ...] = network(pictures)
        return outputs


def _head_of(network: nn.Module) -> tuple[str, ...]:
    """Names of the layers with weights in fastai's head; empty if the network does not end in it."""
    from fastai.layers import AdaptiveConcatPool2d, Flatten

    parts = list(network.children())
    if len(parts) != 2 or not all(isinstance(part, nn.Sequential) for part in parts):
        return ()
    if not any(isinstance(part, nn.Sequential) for part in parts[0].children()):
        return ()
    kinds = [type(layer) for layer in parts[1].children() if type(layer) is not nn.Dropout]
    expected = [AdaptiveConcatPool2d, Flatten, nn.BatchNorm1d, nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Linear]
    if kinds != expected:
        return ()
    own = [name for name, part in parts[1].named_children() if isinstance(part, nn.BatchNorm1d | nn.Linear)]
    return tuple(f"{list(dict(network.named_children()))[1]}.{name}" for name in own)


def _floats(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights and statistics of a network by name; a layer that occurs twice is listed once."""
    named = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: value.detach().cpu() for name, value in named.items() if value.is_floating_point()}


def _bytes(value: torch.Tensor) -> bytes:
    return np.ascontiguousarray(value.half().numpy()).tobytes()


def main() -> None:
    """Write the runtime form of an exported learner; the command line names both files."""
    model, output = sys.argv[1:]
    metadata, data = read_model(model)
    graph = graph_of(open_learner(data).model, members(data), metadata.input_size)
    Path(output).write_bytes(graph.content())


if __name__ == "__main__":
    main()
