"""The fork parent: what it has loaded before anything is forked, each time in a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from malaria_detect.app.server.memory import unchanged
from malaria_detect.app.server.parent import HOOK
from malaria_detect.core.shipped import MODEL_VARIABLE
from tests.waiting import SECONDS

PROJECT = Path(__file__).resolve().parents[3]


def run(model: Path, before: str = "", then: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{before}\nimport {HOOK}\n{then}"],
        cwd=PROJECT,
        env={**os.environ, MODEL_VARIABLE: str(model)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


# The part after the fork runs in a copy, as in a kernel.
_COPY = """
import gc, os, sys, torch
from pathlib import Path
from ipywidgets import Widget
from malaria_detect import load_detector
assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread was started"
assert gc.get_freeze_count() > 100_000
if os.fork() == 0:
    torch.load = None  # the model is not opened again
    detector = load_detector()
    print(list(Widget.get_manager_state()["state"]), detector.predict(os.environ["CELL"]).decision, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.slow
def test_copies_find_the_model_open_and_no_widget_of_the_rehearsal(
    shipped_model: Path, sample_cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = next(iter(sorted(sample_cells.rglob("Parasitized/*.png"))))
    monkeypatch.setenv("CELL", str(cell))
    done = run(shipped_model, then=_COPY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() in (["[]", "Parasitized"], ["[]", "Uninfected"])


_UNCHANGED = """
import os, sys
before = dict(os.environ)
import malaria_detect.app.server.app, malaria_detect.app.server.preload, malaria_detect.app.widgets
assert dict(os.environ) == before, "the environment was changed"
assert None not in sys.modules.values(), "a module was blocked"
"""


@pytest.mark.slow
def test_only_the_hook_changes_a_process_and_loads_the_rest_if_the_model_cannot_be_opened(
    tmp_path: Path, shipped_model: Path
) -> None:
    model = tmp_path / "export.pkl"
    shutil.copy(shipped_model.with_suffix(".json"), tmp_path)
    model.write_bytes(b"another")
    loaded = (
        "print([name in sys.modules for name in ('malaria_detect.app.server.worker', 'ipykernel.ipkernel')])"
    )
    done = run(model, before=_UNCHANGED, then=loaded)
    assert (done.returncode, done.stdout) == (0, "[True, True]\n"), done.stderr
    assert "export.json" in done.stderr


@pytest.mark.slow
def test_a_missing_module_ends_the_parent_instead_of_having_every_copy_load_it(shipped_model: Path) -> None:
    done = run(shipped_model, before="import sys; sys.modules['captum'] = None")
    assert done.returncode != 0
    assert "RuntimeError" in done.stderr


MAPPING = "7f00-7f10 r--p 0 103:02 42 /lib/a.so"
UNCHANGED = ("Anonymous: 0 kB", "Swap: 0 kB")


@pytest.mark.parametrize(
    ("mapping", "figures"),
    [
        (MAPPING.replace("r--p", "rw-p"), UNCHANGED),  # may be written to
        (MAPPING.replace("r--p", "r--s"), UNCHANGED),  # shared with others
        (MAPPING.replace("/lib/a.so", "/dev/something"), UNCHANGED),
        ("7f00-7f10 r-xp 0 00:00 0 [vdso]", UNCHANGED),
        ("7f00-7f10 r--p 0 00:00 0 ", UNCHANGED),
        (MAPPING, ("Anonymous: 4 kB", "Swap: 0 kB")),
        (MAPPING, ("Anonymous: 0 kB", "Swap: 4 kB")),
        (MAPPING, ("Swap: 0 kB",)),
    ],
)
def test_only_unchanged_private_pages_of_files_are_given_back(mapping: str, figures: tuple[str, ...]) -> None:
    assert list(unchanged([MAPPING, *UNCHANGED])) != []
    assert list(unchanged([mapping, *figures])) == []
