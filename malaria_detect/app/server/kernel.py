"""A visitor's kernel: how a copy of the fork parent becomes one."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from ipykernel import ipkernel
from ipykernel.kernelapp import IPKernelApp
from ipywidgets import register_comm_target
from traitlets import MetaHasTraits


class PageKernel(ipkernel.IPythonKernel):
    """An IPython kernel without the parts that only a debugger needs."""

    def __init__(self, **kwargs: Any) -> None:
        with _no_modules():
            super().__init__(**kwargs)


class PageKernelApp(IPKernelApp):
    """Starts a kernel without configuration.

    The steps left out here have no effect in this kernel, but would touch, and thereby copy, much of the memory that it
    shares with its parent: all classes, all loggers, the names of all modules.
    """

    # The output of the process goes to the server's log, not to the visitor.
    capture_fd_output = False

    classes: ClassVar[list[MetaHasTraits]] = []  # type: ignore[misc]
    kernel_class = PageKernel

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Do nothing: there is no command line."""

    def load_config_file(self, *_: Any, **__: Any) -> None:
        """Do nothing: no configuration file is read."""

    def get_default_logging_config(self) -> dict[str, Any]:
        """A configuration that changes nothing: :func:`run_kernel` has configured the loggers."""
        return {"version": 1, "incremental": True}

    def init_pdb(self) -> None:
        """Do nothing: there is no debugger."""

    def init_code(self) -> None:
        """Do nothing: no start-up file is run."""


def run_kernel(connection_file: str, environment: Mapping[str, str], folder: str) -> None:
    """Run an IPython kernel until it is shut down.

    Parameters
    ----------
    connection_file : str
        Path of Jupyter's connection file, with ports and key.
    environment : mapping of str to str
        Environment variables, which replace those of the parent.
    folder : str
        Working directory.
    """
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # Otherwise all copies would draw the same numbers. Python's own generator is reseeded at a fork.
    np.random.seed()  # noqa: NPY002 - third-party code uses the global generator
    # For the server's log: sys.stderr will lead to the visitor's browser.
    log = logging.StreamHandler(sys.__stderr__)
    for name in (None, PageKernelApp.__name__):
        logging.getLogger(name).addHandler(log)
    kernel = PageKernelApp.instance(
        connection_file=connection_file,
        # Without it the kernel would warn that it may outlive the server; the fork parent prevents that.
        parent_handle=1,
    )
    # The history would be a file on disk, opened at every start.
    kernel.config.HistoryManager.enabled = False
    kernel.initialize([])
    # ipywidgets does this when it is imported, but there was no kernel in the fork parent.
    register_comm_target()
    kernel.start()


@contextmanager
def _no_modules() -> Iterator[None]:
    # For its debugger a kernel records the file of every module, which would copy a quarter of the memory that it
    # shares with its parent.
    real = vars(ipkernel)["sys"]
    vars(ipkernel)["sys"] = SimpleNamespace(**(vars(sys) | {"modules": {}}))
    try:
        yield
    finally:
        vars(ipkernel)["sys"] = real
