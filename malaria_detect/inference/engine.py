"""The engine that computes networks: OpenVINO, on the processor."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.swept import swept_folder
from malaria_detect.inference.graph import openvino_core

if TYPE_CHECKING:
    import openvino

# In the environment of a process, it also limits the threads of NumPy and of torch.
THREADS_VARIABLE = "OMP_NUM_THREADS"
# With 1, weights of compiled networks are mapped from a file, so that the system can drop those that are not in use
# from memory. It takes a tenth of a second more to open a network.
MAPPED_VARIABLE = "MALARIA_DETECT_MAPPED_WEIGHTS"

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


class Engine:
    """A network, compiled for the processor of this machine.

    It computes in bfloat16 where the processor does so natively, else in float32. Any thread may call it; calls wait
    for one another.

    Parameters
    ----------
    model : openvino.Model
        From :meth:`malaria_detect.inference.graph.Graph.model`.
    exact : bool
        Compute in float32 on every processor.

    Attributes
    ----------
    precision : str
        ``bf16`` or ``f32``.
    """

    def __init__(self, model: "openvino.Model", exact: bool = False) -> None:
        mapped = os.environ.get(MAPPED_VARIABLE) == "1" and os.name == "posix"
        self._use((_compiled_and_mapped if mapped else _compiled)(model, _settings(exact)), exact)

    def _use(self, compiled: "openvino.CompiledModel", exact: bool) -> None:
        self._compiled, self._exact = compiled, exact
        self._one_at_a_time = threading.Lock()
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.precision = "bf16" if hint == "bf16" else "f32"

    @property
    def settings(self) -> dict[str, str]:
        """Precision, threads and pinning, as OpenVINO names them."""
        names = {*_settings(self._exact), "INFERENCE_PRECISION_HINT"}
        return {name: str(self._compiled.get_property(name)) for name in sorted(names)}

    def __call__(self, pictures: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for pictures, float32, (N, 3, height, width)."""
        with self._one_at_a_time:
            outputs = self._compiled(np.ascontiguousarray(pictures))
        return {output.get_any_name(): value for output, value in outputs.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # For processes of this machine: the compiled network fits its processor.
        return _imported, (self._compiled.export_model().getvalue(), self._exact)


def _imported(content: bytes, exact: bool) -> Engine:
    engine = Engine.__new__(Engine)
    engine._use(openvino_core().import_model(content, "CPU", _settings(exact)), exact)
    return engine


def _compiled(model: "openvino.Model", settings: dict[str, Any]) -> "openvino.CompiledModel":
    return openvino_core().compile_model(model, "CPU", settings)


def _compiled_and_mapped(model: "openvino.Model", settings: dict[str, Any]) -> "openvino.CompiledModel":
    # In a folder of its own, because OpenVINO neither locks the file nor notices that another process still writes it.
    # The file has no name any more when this returns, and ends with the process.
    with swept_folder() as folder:
        cached = settings | {"CACHE_DIR": str(folder)}
        _compiled(model, cached)  # writes the file, if there is room for it
        return _compiled(model, cached)


def _settings(exact: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads(),
        # Two pinned processes would share one processor and leave another idle.
        "ENABLE_CPU_PINNING": False,
    }
    return settings | ({"INFERENCE_PRECISION_HINT": "f32"} if exact else {})


def threads() -> int:
    """Threads that a computation may use: ``OMP_NUM_THREADS``, or one for each processor of this process."""
    named = os.environ.get(THREADS_VARIABLE, "")
    return int(named) if named.isdecimal() and int(named) else processors()


def processors() -> int:
    """Number of processors that this process may use.

    Examples
    --------
    >>> processors() >= 1
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_threaded(function: Callable[[_Item], _Done], items: Sequence[_Item]) -> list[_Done]:
    """Results of a function for each item, in order, computed in :func:`threads` threads.

    The function should spend its time in code that releases Python's lock, as Pillow and SciPy do.

    Examples
    --------
    >>> run_threaded(abs, [-1, 2])
    [1, 2]
    """
    number = min(len(items), threads())
    if number < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(function, items))
