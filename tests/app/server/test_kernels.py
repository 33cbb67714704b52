"""Kernels that are forked: really started through jupyter_client, and asked to run code."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from jupyter_client.manager import KernelManager

from malaria_detect.app.server import voila
from malaria_detect.app.server.parent import fork
from malaria_detect.app.server.provisioner import ForkedProvisioner
from malaria_detect.app.server.voila import PageKernelSpecs
from tests.waiting import SECONDS


class Kernel:
    """A forked kernel of the name that notebooks ask for, and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(
            kernel_name=NATIVE_KERNEL_NAME, kernel_spec_manager=PageKernelSpecs(), transport="ipc"
        )
        self.manager.connection_file = str(folder / "kernel.json")
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, "COLOUR": "purple"})
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)

    def value(self, code: str) -> Any:
        """What an expression is in the kernel, as JSON says it."""
        printed: list[str] = []
        reply = self.client.execute_interactive(
            f"import json; print(json.dumps({code}))",
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
            timeout=SECONDS,
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        return json.loads("".join(printed))

    @property
    def process(self) -> psutil.Process:
        assert isinstance(self.manager.provisioner, ForkedProvisioner)
        assert self.manager.provisioner.pid is not None
        return psutil.Process(self.manager.provisioner.pid)


@contextmanager
def running(folder: Path) -> Iterator[Kernel]:
    kernel = Kernel(folder)
    try:
        yield kernel
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with running(tmp_path) as one:
        yield one


def has_ended(process: psutil.Process) -> bool:
    return psutil.wait_procs([process], timeout=SECONDS)[1] == []


def test_a_kernel_is_born_with_everything_loaded_and_in_its_own_place(kernel: Kernel, tmp_path: Path) -> None:
    modules = "('torch', 'malaria_detect.explain', 'malaria_detect.app.widgets')"
    assert kernel.value(f"[name in __import__('sys').modules for name in {modules}]") == [True, True, True]
    assert kernel.value("__import__('os').getcwd()") == str(tmp_path)
    assert kernel.value("__import__('os').environ['COLOUR']") == "purple"
    # Forked, not started: its parent is neither this process nor did it import anything itself.
    parent = kernel.process.parent()
    assert parent is not None
    assert parent.ppid() == os.getpid()
    assert kernel.value("__import__('os').getsid(0) == __import__('os').getpid()")
    # Its widgets hear the browser.
    targets = kernel.value("sorted(get_ipython().kernel.comm_manager.targets)")
    assert {"jupyter.widget", "jupyter.widget.control"} <= set(targets)


def test_an_interrupt_stops_what_runs_and_the_kernel_goes_on(kernel: Kernel) -> None:
    # Otherwise what is asked soon after an error is not answered either.
    busy = kernel.client.execute("print('begun', flush=True)\nwhile True: pass", stop_on_error=False)
    while (message := kernel.client.get_iopub_msg(timeout=SECONDS))["msg_type"] != "stream":
        pass
    assert message["content"]["text"].startswith("begun")
    kernel.manager.interrupt_kernel()
    while (reply := kernel.client.get_shell_msg(timeout=SECONDS))["parent_header"]["msg_id"] != busy:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.value("1 + 1") == 2


def test_a_restarted_kernel_is_another_process_and_has_forgotten(kernel: Kernel) -> None:
    assert kernel.value("globals().setdefault('seen', 1)") == 1
    first = kernel.process
    kernel.manager.restart_kernel(now=True)
    kernel.client.wait_for_ready(timeout=SECONDS)
    assert kernel.value("globals().get('seen')") is None
    assert kernel.process != first
    assert has_ended(first)


def test_a_kernel_that_is_shut_down_ends(kernel: Kernel) -> None:
    process = kernel.process
    kernel.manager.shutdown_kernel()
    assert has_ended(process)


def test_a_killed_kernel_is_noticed(kernel: Kernel) -> None:
    assert kernel.manager.is_alive()
    process = kernel.process
    process.kill()
    assert has_ended(process)
    assert not kernel.manager.is_alive()


def test_two_kernels_do_not_draw_the_same_numbers(kernel: Kernel, tmp_path: Path) -> None:
    draw = "__import__('numpy').random.rand(4).tolist()"
    (tmp_path / "other").mkdir()
    with running(tmp_path / "other") as other:
        assert kernel.value(draw) != other.value(draw)


def test_a_worker_that_writes_to_nobody_is_a_copy_of_the_same_process(kernel: Kernel) -> None:
    ours, theirs = multiprocessing.Pipe()
    with ours:
        with theirs:
            copy = fork("malaria_detect.app.server.parent:wait_until_closed", theirs)
        assert psutil.Process(copy.pid).ppid() == kernel.process.ppid()
        assert copy.poll() is None
    assert copy.wait(SECONDS) == 0


@pytest.mark.parametrize("forks", [True, False])
def test_where_processes_cannot_be_forked_kernels_are_ordinary_and_the_log_warns(
    forks: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(voila, "forks_here", lambda: forks)
    specs = PageKernelSpecs()
    assert ("kernel_provisioner" in specs.get_kernel_spec(NATIVE_KERNEL_NAME).metadata) == forks
    assert {voila.FORKED, NATIVE_KERNEL_NAME} <= set(specs.find_kernel_specs())
    # Our module's own warning, and only where there is something to warn of.
    warned = [(record.levelname, record.pathname) for record in caplog.records]
    assert warned == ([] if forks else [("WARNING", voila.__file__)])
