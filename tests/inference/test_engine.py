"""The engine in its process: its threads, its memory, and what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from malaria_detect.inference.engine import MAPPED_VARIABLE, processors, run_threaded, threads


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
        import gc, signal, threading
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


@pytest.mark.parametrize("room", [2**30, 2**16], ids=["room", "full disk"])
@pytest.mark.skipif(sys.platform != "linux", reason="looks at the maps of a process")
def test_mapped_weights_give_the_same_answers_and_leave_no_file(tmp_path: Path, room: int) -> None:
    program = f"""if True:
        import json, os, resource
        from pathlib import Path
        import numpy as np
        from malaria_detect.fields.finder import load_finder
        pictures = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
        expected = load_finder().engine(pictures)
        os.environ["{MAPPED_VARIABLE}"] = "1"
        resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
        finder = load_finder()
        found = finder.engine(pictures)
        same = all(np.allclose(found[name], expected[name], atol=1e-3) for name in expected)
        print(json.dumps([same, ".blob (deleted)" in Path("/proc/self/maps").read_text()]))
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [True, room == 2**30]
    assert not list(tmp_path.iterdir())
