"""The fork parent: what it has loaded and remembered before anything is forked, each time in a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from malaria_detect.app.server.memory import unchanged
from malaria_detect.app.server.parent import MODEL_VARIABLE, PRELOAD

PROJECT = Path(__file__).resolve().parents[3]


def run(model: Path, before: str = "", then: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{before}\nimport {PRELOAD}\n{then}"],
        cwd=PROJECT,
        env={**os.environ, MODEL_VARIABLE: str(model)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# What is asked of a copy stands behind a fork, as in a kernel.
_COPY = """
import gc, os, sys
from pathlib import Path
from ipywidgets.widgets.widget import _instances
from malaria_detect import sentences
from malaria_detect.detector import _opened, load_detector
assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread was started"
assert gc.get_freeze_count() > 100_000
assert sentences.correction.cache_info().currsize > 0
if os.fork() == 0:
    opened = _opened.cache_info().misses
    detector = load_detector(os.environ["MALARIA_DETECT_PRELOAD"])
    assert _opened.cache_info().misses == opened, "the model was opened again"
    print(sorted(_instances), detector.predict(os.environ["CELL"]).decision, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_copies_find_the_model_open_and_no_widget_of_the_rehearsal(
    shipped_model: Path, sample_cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = next(iter(sorted(sample_cells.rglob("Parasitized/*.png"))))
    monkeypatch.setenv("CELL", str(cell))
    done = run(shipped_model, then=_COPY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[] ")
    assert done.stdout.split()[1] in ("Parasitized", "Uninfected")


def test_a_model_that_cannot_be_opened_is_told_and_all_else_is_loaded(
    tmp_path: Path, shipped_model: Path
) -> None:
    model = tmp_path / "export.pkl"
    shutil.copy(shipped_model.with_suffix(".json"), tmp_path)
    model.write_bytes(b"another")
    done = run(model, then="import sys; print('malaria_detect.app.widgets' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert "is not the file that export.json was written for" in done.stderr


def test_what_is_missing_ends_the_parent_instead_of_having_every_copy_load_it(shipped_model: Path) -> None:
    done = run(shipped_model, before="import sys; sys.modules['captum'] = None")
    assert done.returncode != 0
    assert "RuntimeError: what all sessions need cannot be loaded" in done.stderr


@pytest.mark.parametrize(
    "mapping",
    [
        "7f00-7f10 rw-p 0 103:02 42 /lib/a.so",  # may be written to
        "7f00-7f10 r--s 0 103:02 42 /lib/a.so",  # shared with others
        "7f00-7f10 r--p 0 103:02 42 /dev/something",
        "7f00-7f10 r-xp 0 00:00 0 [vdso]",
        "7f00-7f10 r--p 0 00:00 0 ",
    ],
)
def test_only_private_pages_of_files_are_given_back(mapping: str) -> None:
    assert list(unchanged([mapping, "Anonymous: 0 kB", "Swap: 0 kB"])) == []


@pytest.mark.parametrize(
    "figures", [["Anonymous: 4 kB", "Swap: 0 kB"], ["Anonymous: 0 kB", "Swap: 4 kB"], ["Swap: 0 kB"]]
)
def test_changed_pages_are_kept_in_memory_and_in_swap(figures: list[str]) -> None:
    assert list(unchanged(["7f00-7f10 r--p 0 103:02 42 /lib/a.so", *figures])) == []
