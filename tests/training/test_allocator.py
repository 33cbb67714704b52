"""Freed memory stays with the process that trains."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
import psutil
from malaria_detect.training.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
process = psutil.Process()
large = np.ones(25_000_000)  # 200 MB
with_it = process.memory_info().rss
del large
print(with_it - process.memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
@pytest.mark.parametrize(("how", "is_kept"), [("kept", True), ("plain", False)])
def test_freed_memory_is_kept(how: str, is_kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=300
    )
    returned = int(done.stdout)
    assert (returned < 50_000_000) == is_kept
