"""Waiting in tests: for events and conditions, with a bound that only something that hangs reaches."""

import threading
from collections.abc import Callable
from typing import TypeVar

# s: much longer than anything takes on a slow and busy machine.
SECONDS = 300
_PAUSE = 0.05

Found = TypeVar("Found")


def until(condition: Callable[[], Found], meaning: str = "the condition") -> Found:
    """First true value of a condition that another process or thread brings about."""
    pause = threading.Event()
    for _ in range(int(SECONDS / _PAUSE)):
        if found := condition():
            return found
        pause.wait(_PAUSE)
    raise AssertionError(f"{meaning} did not become true within {SECONDS} s")
