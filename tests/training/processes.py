"""``malaria-detect`` in a process of its own, which tests kill and interrupt."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command, which is killed at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "malaria_detect", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_epochs(process: subprocess.Popen[str], number: int = 1) -> list[str]:
    """Lines of the next finished epochs; waits for them."""
    assert process.stdout is not None
    lines = (line for line in process.stdout if line.startswith("epoch "))
    found = list(islice(lines, number))
    assert len(found) == number, process.stderr and process.stderr.read()
    return found
