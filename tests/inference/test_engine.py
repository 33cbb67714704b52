"""The engine in its process: its threads, its memory, and what it leaves behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from malaria_detect.fields.finder import load_finder
from malaria_detect.inference.engine import COMPILED_VARIABLE, processors, run_threaded, threads


def test_threads_are_those_that_the_environment_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() == processors() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3


def test_threaded_results_keep_their_order_and_errors_are_raised() -> None:
    assert run_threaded(lambda number: number**2, range(5)) == [0, 1, 4, 9, 16]
    assert run_threaded(str, []) == []
    with pytest.raises(ZeroDivisionError):
        run_threaded(lambda number: 1 / number, [1, 0, 2])


def test_a_signal_after_the_last_network_ended_in_another_thread_is_handled() -> None:
    program = """if True:
        import gc, os, signal, threading
        import numpy as np
        from malaria_detect.fields.finder import load_finder
        finders = [load_finder()]
        finders[0].engine(np.zeros((1, 3, 64, 64), np.float32))
        ending = threading.Thread(target=finders.clear)
        ending.start()
        ending.join()
        gc.collect()
        signal.signal(signal.SIGINT, lambda *_: print("handled"))
        signal.raise_signal(signal.SIGINT)
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_compiled_networks_are_shared_in_a_folder_and_answer_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    expected = load_finder().engine(pictures)
    monkeypatch.setenv(COMPILED_VARIABLE, str(tmp_path))
    for finder in (load_finder(), load_finder()):
        found = finder.engine(pictures)
        assert {name: value.tolist() for name, value in found.items()} == {
            name: value.tolist() for name, value in expected.items()
        }
    (written,) = tmp_path.iterdir()
    if sys.platform == "linux":  # as long as a finder lives
        assert str(written) in Path("/proc/self/maps").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no files")
def test_a_full_disk_leaves_each_process_its_own_weights(tmp_path: Path) -> None:
    program = f"""if True:
        import os, resource
        import numpy as np
        from malaria_detect.fields.finder import load_finder
        os.environ[{COMPILED_VARIABLE!r}] = {str(tmp_path)!r}
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
        print(*load_finder().engine(np.zeros((1, 3, 64, 64), np.float32)))
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
