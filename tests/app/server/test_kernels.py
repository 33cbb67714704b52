"""Kernels that are forked: really started through jupyter_client, and asked to run code."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from jupyter_client.manager import AsyncKernelManager

from malaria_detect.app.server import voila
from malaria_detect.app.server.provisioner import ForkedProvisioner
from malaria_detect.app.server.voila import PageKernelSpecs
from tests.waiting import SECONDS


@asynccontextmanager
async def running_kernel(
    folder: Path, **environment: str
) -> AsyncIterator[tuple[AsyncKernelManager, AsyncKernelClient]]:
    """A forked kernel of the name that notebooks ask for, and somebody who talks to it."""
    manager = AsyncKernelManager(
        kernel_name=NATIVE_KERNEL_NAME, kernel_spec_manager=PageKernelSpecs(), transport="ipc"
    )
    manager.connection_file = str(folder / "kernel.json")
    await manager.start_kernel(cwd=str(folder), env={**os.environ, **environment})
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=SECONDS)
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def value(client: AsyncKernelClient, code: str) -> Any:
    """What an expression is in the kernel, as JSON says it."""
    printed: list[str] = []
    reply = await client.execute_interactive(
        f"import json; print(json.dumps({code}))",
        output_hook=lambda message: printed.append(message["content"].get("text", "")),
        timeout=SECONDS,
    )
    assert reply["content"]["status"] == "ok", reply["content"]
    return json.loads("".join(printed))


def process_of(manager: AsyncKernelManager) -> psutil.Process:
    assert isinstance(manager.provisioner, ForkedProvisioner)
    assert manager.provisioner.pid is not None
    return psutil.Process(manager.provisioner.pid)


def in_a_kernel(
    tmp_path: Path,
    work: Callable[[AsyncKernelManager, AsyncKernelClient], Awaitable[None]],
    **environment: str,
) -> None:
    async def run() -> None:
        async with running_kernel(tmp_path, **environment) as (manager, client):
            await work(manager, client)

    asyncio.run(run())


def test_a_kernel_is_born_with_everything_loaded_and_in_its_own_place(tmp_path: Path) -> None:
    async def work(manager: AsyncKernelManager, client: AsyncKernelClient) -> None:
        loaded = "[name in __import__('sys').modules for name in ('torch', 'fastai', 'malaria_detect.app.widgets')]"
        assert await value(client, loaded) == [True, True, True]
        assert await value(client, "__import__('os').getcwd()") == str(tmp_path)
        assert await value(client, "__import__('os').environ['COLOUR']") == "purple"
        # Forked, not started: its parent is neither this process nor did it import anything itself.
        parent = process_of(manager).parent()
        assert parent is not None
        assert parent.ppid() == os.getpid()
        assert await value(client, "__import__('os').getsid(0) == __import__('os').getpid()")
        # Its widgets hear the browser.
        targets = await value(client, "sorted(get_ipython().kernel.comm_manager.targets)")
        assert {"jupyter.widget", "jupyter.widget.control"} <= set(targets)

    in_a_kernel(tmp_path, work, COLOUR="purple")


def test_an_interrupt_stops_what_runs_and_the_kernel_goes_on(tmp_path: Path) -> None:
    async def work(manager: AsyncKernelManager, client: AsyncKernelClient) -> None:
        # Otherwise what is asked soon after an error is not answered either.
        busy = client.execute("print('begun', flush=True)\nwhile True: pass", stop_on_error=False)
        while (message := await client.get_iopub_msg(timeout=SECONDS))["msg_type"] != "stream":
            pass
        assert message["content"]["text"].startswith("begun")
        await manager.interrupt_kernel()
        while (reply := await client.get_shell_msg(timeout=SECONDS))["parent_header"]["msg_id"] != busy:
            pass
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert await value(client, "1 + 1") == 2

    in_a_kernel(tmp_path, work)


def test_a_restarted_kernel_is_another_process_and_has_forgotten(tmp_path: Path) -> None:
    async def work(manager: AsyncKernelManager, client: AsyncKernelClient) -> None:
        assert await value(client, "globals().setdefault('seen', 1)") == 1
        first = process_of(manager)
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=SECONDS)
        assert await value(client, "globals().get('seen')") is None
        assert process_of(manager) != first
        assert psutil.wait_procs([first], timeout=SECONDS)[1] == []

    in_a_kernel(tmp_path, work)


def test_a_kernel_that_is_shut_down_ends(tmp_path: Path) -> None:
    async def work(manager: AsyncKernelManager, _: AsyncKernelClient) -> None:
        process = process_of(manager)
        await manager.shutdown_kernel()
        assert psutil.wait_procs([process], timeout=SECONDS)[1] == []

    in_a_kernel(tmp_path, work)


def test_a_killed_kernel_is_noticed(tmp_path: Path) -> None:
    async def work(manager: AsyncKernelManager, _: AsyncKernelClient) -> None:
        assert await manager.is_alive()
        process = process_of(manager)
        process.kill()
        assert psutil.wait_procs([process], timeout=SECONDS)[1] == []
        assert not await manager.is_alive()

    in_a_kernel(tmp_path, work)


def test_two_kernels_do_not_draw_the_same_numbers(tmp_path: Path) -> None:
    async def run() -> None:
        drawn = []
        for name in "ab":
            (tmp_path / name).mkdir()
            async with running_kernel(tmp_path / name) as (_, client):
                drawn.append(await value(client, "__import__('numpy').random.rand(4).tolist()"))
        assert drawn[0] != drawn[1]

    asyncio.run(run())


@pytest.mark.parametrize("forks", [True, False])
def test_where_processes_cannot_be_forked_kernels_are_ordinary_and_the_log_warns(
    forks: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(voila, "forks_here", lambda: forks)
    specs = PageKernelSpecs()
    spec = specs.get_kernel_spec(NATIVE_KERNEL_NAME)
    assert ("kernel_provisioner" in spec.metadata) == forks
    # Our module's own warning, and only where there is something to warn of.
    warned = [(record.levelname, record.pathname) for record in caplog.records]
    assert warned == ([] if forks else [("WARNING", voila.__file__)])
    assert {voila.FORKED, NATIVE_KERNEL_NAME} <= set(specs.find_kernel_specs())
