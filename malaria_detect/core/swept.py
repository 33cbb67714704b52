"""A temporary folder that can be removed after its process was killed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

_PREFIX = "malaria-detect-work"


@contextmanager
def swept_folder() -> Iterator[Path]:
    """A new folder for the files of this process; `sweep` removes it if the process is killed meanwhile."""
    with TemporaryDirectory(prefix=f"{_PREFIX}-{os.getpid()}-") as folder:
        yield Path(folder)


def sweep(process: int) -> None:
    """Remove what a process that has ended has left of its folders."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}-{process}-*"):
        shutil.rmtree(folder, ignore_errors=True)
