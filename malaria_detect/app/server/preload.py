"""What the fork parent loads once for all kernels and workers."""

import gc
import logging
import os
import sys
from importlib import import_module

from malaria_detect.app.server.memory import give_back
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.shipped import MODEL_VARIABLE

# What a kernel imports until its page is shown, and a worker until its first answer.
_NEEDED = (
    "IPython.core.completerlib",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "malaria_detect.cli",  # the server's main module, which each copy imports
    "malaria_detect.explain",
    "malaria_detect.app.server.worker",
    "malaria_detect.app.server.kernel",
    "malaria_detect.app.server.rehearsal",
    "malaria_detect.app.widgets",
    "tornado.platform.asyncio",
)


def load() -> None:
    """Prepare this process to be forked; only the fork parent calls it.

    It changes the environment and ``sys.modules`` of the process, opens the model that :data:`MODEL_VARIABLE` names,
    and takes everything loaded so far out of the garbage collector's reach.

    Raises
    ------
    RuntimeError
        If a module is missing.
    """
    # A process with several threads cannot be forked: these variables keep NumPy and torch from starting threads.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    # A kernel of the page needs no debugger, which takes as much memory as the page, and nothing is compiled for a GPU,
    # for which torchvision has torch prepare. Both packages are optional for those who import them.
    for unneeded in ("debugpy", "triton"):
        sys.modules[unneeded] = None  # type: ignore[assignment]
    try:
        for name in _NEEDED:
            import_module(name)
        if model := os.environ.get(MODEL_VARIABLE):
            _open(model)
    except ImportError as error:
        # multiprocessing would ignore an ImportError, and each copy would import everything itself.
        raise RuntimeError(f"A module that all sessions need cannot be imported: {error}") from error
    # Otherwise the garbage collector of each copy would touch, and thereby copy, these objects' memory.
    gc.collect()
    gc.freeze()
    give_back()


def _open(model: str) -> None:
    try:
        import_module("malaria_detect.app.server.rehearsal").rehearse(model)
    except (MalariaDetectError, OSError) as error:
        # The page shows this error to each visitor, and its other parts work.
        logging.getLogger(__name__).warning("%s", error)
