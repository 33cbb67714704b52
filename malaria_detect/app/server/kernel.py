"""A visitor's kernel: what a copy of the fork parent does to become one."""

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
    """An IPython kernel without what only a debugger needs."""

    def __init__(self, **kwargs: Any) -> None:
        with _no_modules():
            super().__init__(**kwargs)


class PageKernelApp(IPKernelApp):
    """Starts a kernel that nobody configures.

    What is left out here would find nothing to do, and would touch, and thereby copy, much of the memory that the
    kernel shares with its parent: all classes in search of settings, all loggers, the names of all modules.
    """

    # What is written to the process's own output is for the server's log, not for the visitor.
    capture_fd_output = False

    classes: ClassVar[list[MetaHasTraits]] = []  # type: ignore[misc]
    kernel_class = PageKernel

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """There is none."""

    def load_config_file(self, *_: Any, **__: Any) -> None:
        """No file of a user's profile is read."""

    def _configure_logging(self) -> None:
        """Leave the loggers as :func:`run_kernel` set them."""

    def init_pdb(self) -> None:
        """Nobody debugs it."""

    def init_code(self) -> None:
        """No file of a user's profile is run, no line of a command line."""


def run_kernel(connection_file: str, environment: Mapping[str, str], folder: str) -> None:
    """Be an IPython kernel until it is shut down.

    Parameters
    ----------
    connection_file : str
        Where ports and key stand.
    environment : mapping of str to str
        Its environment variables, instead of its parent's.
    folder : str
        Where it works.
    """
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # Copies would otherwise all draw the same numbers; Python's own generator sees to that itself.
    np.random.seed()  # noqa: NPY002 - the global generator is what foreign code uses
    # sys.stderr will lead to the visitor's browser, whose business that is not.
    log = logging.StreamHandler(sys.__stderr__)
    for name in (None, PageKernelApp.__name__):
        logging.getLogger(name).addHandler(log)
    kernel = PageKernelApp.instance(
        connection_file=connection_file,
        # Somebody sees to it that this process does not outlive the server: nothing to print about that.
        parent_handle=1,
    )
    # A visitor's history would be a file, opened at every start.
    kernel.config.HistoryManager.enabled = False
    kernel.initialize([])
    # It does so itself when it is imported, but in the fork parent there was no kernel yet.
    register_comm_target()
    kernel.start()


@contextmanager
def _no_modules() -> Iterator[None]:
    # For its debugger a kernel notes the file of every module, which touches, and thereby copies, a quarter of the
    # memory that it shares with its parent. It is not debugged.
    real = vars(ipkernel)["sys"]
    vars(ipkernel)["sys"] = SimpleNamespace(**(vars(sys) | {"modules": {}}))
    try:
        yield
    finally:
        vars(ipkernel)["sys"] = real
