"""The ways that ``benchmarks.precision`` holds together; each is built from the network as it was opened."""

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.network import log_odds
from malaria_detect.inference.packed import packed

# Takes (pictures, 3, size, size), float32, channels last; gives log-odds.
Answers = Callable[[torch.Tensor], Sequence[float] | np.ndarray]
Build = Callable[[nn.Module, ModelMetadata, torch.Tensor], Answers]

EXACT, SHIPPED, ROUNDED = "float32, channels last", "shipped", "bfloat16, packed"


def _plain(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
    own = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    return lambda pictures: log_odds(own, pictures.contiguous())


def _channels_last(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
    return lambda pictures: log_odds(network, pictures)


def _bfloat16(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
    own = copy.deepcopy(network).to(torch.bfloat16)
    last = [layer for layer in own.modules() if isinstance(layer, nn.Linear)][-1].float()
    last.register_forward_pre_hook(lambda _, given: (given[0].float(),))
    return lambda pictures: log_odds(own, pictures.bfloat16())


def _packed(kind: torch.dtype) -> Build:
    def build(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
        own = packed(network, kind)
        assert own is not None
        return lambda pictures: log_odds(own, pictures)

    return build


def _shipped(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
    light = Detector(network, metadata).light
    return lambda pictures: log_odds(network, pictures, light)


def _compiled(kind: torch.dtype) -> Build:
    def build(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
        import torch._inductor.config as inductor

        inductor.freezing = True
        own = nn.Sequential(copy.deepcopy(network).to(kind))
        own.compile(dynamic=False)  # once for each size of batch
        return lambda pictures: log_odds(own, pictures.to(kind))

    return build


def _onnx(network: nn.Module, folder: Path, size: int) -> Path:
    file = folder / "network.onnx"
    # Written by torch's older exporter; the newer one needs a further package.
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, size, size),),
        str(file),
        input_names=["pictures"],
        dynamic_axes={"pictures": {0: "n"}},
        dynamo=False,
    )
    return file


def _session(file: Path) -> Answers:
    import onnxruntime  # type: ignore[import-untyped,import-not-found,unused-ignore]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def ask(pictures: torch.Tensor) -> np.ndarray:
        (logits,) = session.run(None, {"pictures": pictures.contiguous().numpy()})
        odds: np.ndarray = logits[:, 0] - logits[:, 1]
        return odds

    return ask


def _onnx_runtime(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
    with tempfile.TemporaryDirectory() as folder:
        return _session(_onnx(network, Path(folder), metadata.input_size))


def _onnx_dynamic(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped,import-not-found,unused-ignore]

    with tempfile.TemporaryDirectory() as folder:
        whole, small = _onnx(network, Path(folder), metadata.input_size), Path(folder) / "int8.onnx"
        quantize_dynamic(whole, small, weight_type=QuantType.QUInt8)
        return _session(small)


def _onnx_static(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
    from onnxruntime import quantization as onnx  # type: ignore[import-untyped,import-not-found,unused-ignore]

    class Reader(onnx.CalibrationDataReader):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            self.parts = iter(calibration.contiguous().split(1))

        def get_next(self) -> dict[str, Any] | None:
            part = next(self.parts, None)
            return None if part is None else {"pictures": part.numpy()}

    with tempfile.TemporaryDirectory() as folder:
        whole, small = _onnx(network, Path(folder), metadata.input_size), Path(folder) / "int8.onnx"
        onnx.quantize_static(
            whole,
            small,
            Reader(),
            quant_format=onnx.QuantFormat.QDQ,
            per_channel=True,
            activation_type=onnx.QuantType.QUInt8,
            weight_type=onnx.QuantType.QInt8,
        )
        return _session(small)


def _openvino(precision: str) -> Build:
    def build(network: nn.Module, metadata: ModelMetadata, calibration: torch.Tensor) -> Answers:
        import openvino  # type: ignore[import-untyped,import-not-found,unused-ignore]

        size = metadata.input_size
        model = openvino.convert_model(
            network, example_input=torch.zeros(1, 3, size, size), input=[-1, 3, size, size]
        )
        hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
        request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()

        def ask(pictures: torch.Tensor) -> np.ndarray:
            logits = next(iter(request.infer([pictures.contiguous().numpy()]).values()))
            odds: np.ndarray = logits[:, 0] - logits[:, 1]
            return odds

        return ask

    return build


WAYS: dict[str, Build] = {
    "float32": _plain,
    EXACT: _channels_last,
    "bfloat16, channels last": _bfloat16,
    "float32, packed": _packed(torch.float32),
    ROUNDED: _packed(torch.bfloat16),
    SHIPPED: _shipped,
    "torch.compile, float32": _compiled(torch.float32),
    "torch.compile, bfloat16": _compiled(torch.bfloat16),
    "ONNX Runtime, float32": _onnx_runtime,
    "ONNX Runtime, int8, dynamic": _onnx_dynamic,
    "ONNX Runtime, int8, static": _onnx_static,
    "OpenVINO, float32": _openvino("f32"),
    "OpenVINO, bfloat16": _openvino("bf16"),
}
