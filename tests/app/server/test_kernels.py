"""Visitors' kernels: really started through jupyter_client, and asked to run code."""

import json
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
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from malaria_detect.app.server.voila import PageKernelSpecs
from tests.waiting import SECONDS


class Kernel:
    """A kernel of the name that notebooks ask for, and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(
            kernel_name=NATIVE_KERNEL_NAME, kernel_spec_manager=PageKernelSpecs(), transport="ipc"
        )
        self.manager.connection_file = str(folder / "kernel.json")
        self.manager.start_kernel(
            cwd=str(folder), env={**os.environ, "COLOUR": "purple", "IPYTHONDIR": str(folder / "ipython")}
        )
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
        assert isinstance(self.manager.provisioner, LocalProvisioner)
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


def test_a_kernel_has_its_own_place_and_its_widgets_hear_the_browser(kernel: Kernel, tmp_path: Path) -> None:
    assert kernel.value("__import__('os').getcwd()") == str(tmp_path)
    assert kernel.value("__import__('os').environ['COLOUR']") == "purple"
    kernel.value("__import__('ipywidgets') and 1")
    targets = kernel.value("sorted(get_ipython().kernel.comm_manager.targets)")
    assert {"jupyter.widget", "jupyter.widget.control"} <= set(targets)


def test_a_kernel_has_no_debugger(kernel: Kernel) -> None:
    assert kernel.value("__import__('sys').modules['debugpy'] is None")
    assert kernel.value("hasattr(get_ipython().kernel, 'debugger')") is False


def test_what_is_run_is_not_written_to_disk(kernel: Kernel, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert kernel.value("6 * 7 * 1001") == 42042
    assert kernel.value("get_ipython().history_manager.enabled") is False
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not [path for path in before if "history" in path.name]


def test_an_error_outside_a_cell_is_for_the_log_and_not_for_the_visitor(kernel: Kernel) -> None:
    logged = "__import__('logging').getLogger('any').error('failed')"
    assert kernel.value(logged) is None
    root = "__import__('logging').getLogger().handlers[0].stream is __import__('sys').__stderr__"
    assert kernel.value(root) is True


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


def test_every_kernel_a_notebook_names_is_that_of_the_page() -> None:
    specs = PageKernelSpecs()
    for name in (NATIVE_KERNEL_NAME, "julia"):
        command = specs.get_kernel_spec(name).argv
        assert command[:4] == ["python", "-P", "-m", "malaria_detect.app.server.kernel"]
