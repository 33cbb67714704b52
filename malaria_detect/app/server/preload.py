"""What the fork parent loads, once for all kernels and workers: importing this module does it."""

import gc
import logging
import os
import sys
from importlib import import_module

from malaria_detect.app.server.memory import give_back
from malaria_detect.app.server.parent import MODEL_VARIABLE
from malaria_detect.core.errors import MalariaDetectError

# What a kernel imports until its page is shown, and a worker until its first answer.
_NEEDED = (
    "IPython.core.completerlib",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "malaria_detect.cli",  # what each copy imports anew where it is the server's main module
    "malaria_detect.explain",
    "malaria_detect.app.server.worker",
    "malaria_detect.app.server.kernel",
    "malaria_detect.app.server.rehearsal",
    "malaria_detect.app.widgets",
    "tornado.platform.asyncio",
)


def _load() -> None:
    # No thread may run in a process that is to be forked: these keep NumPy's and torch's libraries from starting any.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    # A page's kernel is not debugged, and its debugger would take as much memory as all of the page. Nor is anything
    # compiled for a GPU here, which torchvision makes torch get ready for where it can.
    for unwanted in ("debugpy", "triton"):
        sys.modules[unwanted] = None  # type: ignore[assignment]
    try:
        for name in _NEEDED:
            import_module(name)
        if model := os.environ.get(MODEL_VARIABLE):
            _open(model)
    except ImportError as error:
        # multiprocessing would go on without, and each copy import what it needs itself.
        raise RuntimeError(f"what all sessions need cannot be loaded: {error}") from error
    # What is here now stays: the garbage collector of a copy shall not touch, and thereby copy, its pages.
    gc.collect()
    gc.freeze()
    give_back()


def _open(model: str) -> None:
    try:
        import_module("malaria_detect.app.server.rehearsal").rehearse(model)
    except (MalariaDetectError, OSError) as error:
        # The page says the same to each visitor, and other parts of it work.
        logging.getLogger(__name__).warning("%s", error)


_load()
