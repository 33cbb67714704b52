"""Freed memory stays with the process that trains."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from malaria_detect.data.labelled_cells import labelled_cells
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.designs.registry import find_network
from malaria_detect.training import callbacks
from malaria_detect.training.fit import fit
from malaria_detect.training.run import run_by_patient

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

GAPS = """
import sys
import numpy as np
import psutil
from malaria_detect.training.allocator import keep_freed_memory, return_gaps

keep_freed_memory()
process = psutil.Process()
blocks = [np.ones(125_000) for _ in range(400)]  # 400 MB
with_them = process.memory_info().rss
for place in range(0, 400, 2):
    blocks[place] = None
if sys.argv[1] == "returned":
    return_gaps()
print(with_them - process.memory_info().rss)
"""
only_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory"
)


def returned_by(program: str, how: str) -> int:
    """Bytes that a program in a process of its own returns to the system."""
    done = subprocess.run(
        [sys.executable, "-c", program, how], capture_output=True, text=True, check=True, timeout=300
    )
    return int(done.stdout)


@only_glibc
@pytest.mark.parametrize(("how", "is_kept"), [("kept", True), ("plain", False)])
def test_freed_memory_is_kept(how: str, is_kept: bool) -> None:
    assert (returned_by(PROGRAM, how) < 50_000_000) == is_kept


@only_glibc
@pytest.mark.parametrize(("how", "are_returned"), [("returned", True), ("kept", False)])
def test_gaps_between_tensors_are_returned(how: str, are_returned: bool) -> None:
    assert (returned_by(GAPS, how) > 150_000_000) == are_returned


def test_a_training_returns_gaps_now_and_then(
    drawn_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[None] = []
    monkeypatch.setattr(callbacks, "return_gaps", lambda: returned.append(None))
    monkeypatch.setattr(callbacks, "_STEPS_PER_RETURN", 2)
    design, data = find_network("small-cnn-64"), labelled_cells(find_cells(drawn_cells))
    run = run_by_patient(design, design.settings(epochs=1, batch_size=4), data, tmp_path, progress=False)
    fit(run)
    assert len(returned) == -(-len(run.shown()) // 4) // 2 > 0
