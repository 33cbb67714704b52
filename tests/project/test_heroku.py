"""Heroku: Procfile, app.json and .python-version, and Procfile's own command line really started."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from packaging.specifiers import SpecifierSet
from traitlets.config import Configurable
from voila.configuration import VoilaConfiguration
from voila.voila_kernel_manager import voila_kernel_manager_factory

from malaria_detect.app.server.app import Server
from malaria_detect.cli import parser

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 60  # a dyno that has not bound its port by then is stopped
PAGE_SECONDS = 120  # the first kernel loads torch, on a machine that may be busy


def web_command() -> str:
    """The command line that Procfile gives for the web dyno."""
    (line,) = (PROJECT / "Procfile").read_text(encoding="utf-8").splitlines()
    process, command = line.split(": ", 1)
    assert process == "web"
    return command


def test_manifest_installs_cpu_wheels_by_config_variable() -> None:
    manifest = json.loads((PROJECT / "app.json").read_text(encoding="utf-8"))
    assert manifest["env"]["PIP_EXTRA_INDEX_URL"]["value"] == "https://download.pytorch.org/whl/cpu"
    assert manifest["buildpacks"] == [{"url": "heroku/python"}]
    assert list(manifest["formation"]) == ["web"]
    assert "index-url" not in (PROJECT / "requirements.txt").read_text(encoding="utf-8")


def test_dyno_runs_a_python_that_the_package_accepts() -> None:
    version = (PROJECT / ".python-version").read_text(encoding="utf-8").strip()
    accepted = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "requires-python"
    ]
    assert re.fullmatch(r"3\.\d+", version)  # without the patch number the dyno gets security updates
    assert SpecifierSet(accepted).contains(version)


def test_the_procfile_starts_the_server_with_flags_that_it_knows(free_port: int) -> None:
    program, command, *flags = web_command().replace("$PORT", str(free_port)).split()
    assert (program, command) == ("malaria-detect", "serve")
    options = parser().parse_args([command, *flags])
    assert (options.host, options.port) == ("0.0.0.0", free_port)


def test_every_setting_of_voila_sets_something() -> None:
    pool = voila_kernel_manager_factory(AsyncMappingKernelManager, True, 1)
    known = [Server, VoilaConfiguration, KernelManager, *pool.mro()]
    traits = {
        f"{owner.__name__}.{name}"
        for one in known
        for owner in one.mro()
        if issubclass(owner, Configurable)
        for name in owner.class_traits(config=True)
    }
    assert {f"{owner}.{name}" for owner, values in voila_settings().items() for name in values} <= traits


def test_idle_kernels_are_culled() -> None:
    culling = voila_settings()["MappingKernelManager"]
    assert 0 < culling["cull_interval"] < culling["cull_idle_timeout"] <= 3600


def voila_settings() -> dict[str, dict[str, Any]]:
    """voila.json, which Voila reads from the folder it is started in."""
    settings: dict[str, dict[str, Any]] = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))
    return settings


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def dyno(free_port: int, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Procfile's own command line, started as Heroku starts it: by a shell, in the project, with PORT set."""
    log = tmp_path / "log.txt"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {web_command()}"],
            cwd=PROJECT,
            env={**os.environ, "PORT": str(free_port), "PATH": path},
            stdout=output,
            stderr=output,
        )
        try:
            yield process, log
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait_until_bound(process: subprocess.Popen[bytes], port: int, log: Path) -> set[str]:
    """The addresses that a process listens on at a port, as soon as there are some."""
    for _ in range(START_SECONDS * 4):
        # Its end is noticed at once; else a quarter of a second passes.
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the page's server ended with {process.wait(timeout=0.25)}:\n{log.read_text()}")
        listening = [
            link.laddr
            for link in psutil.Process(process.pid).net_connections("inet")
            if link.status == psutil.CONN_LISTEN
        ]
        if found := {address.ip for address in listening if address.port == port}:
            return found
    pytest.fail(f"port {port} was not bound within {START_SECONDS} s:\n{log.read_text()}")


def read_within(answer: http.client.HTTPResponse, seconds: float) -> str:
    """Read a page to its end; Voila keeps a page that never comes alive for ever, so the time is bounded here."""
    deadline = time.monotonic() + seconds
    parts = []
    while part := answer.read1(1 << 16):
        assert time.monotonic() < deadline, f"the page did not come within {seconds} s"
        parts.append(part)
    return b"".join(parts).decode()


def test_procfile_serves_the_page_on_all_addresses_and_ends_when_told(
    dyno: tuple[subprocess.Popen[bytes], Path], free_port: int
) -> None:
    process, log = dyno
    assert wait_until_bound(process, free_port, log) == {"0.0.0.0"}
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/", timeout=120) as answer:
        assert answer.status == 200
        page = read_within(answer, PAGE_SECONDS)
    assert "There was an error when executing cell" not in page
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert psutil.wait_procs(kernels, timeout=30)[1] == []
    # fastai's own, from where torch is loaded.
    said = re.sub(r".*torch.jit.script.*\n.*\n", "", log.read_text(encoding="utf-8"))
    assert not re.search("not recognized|unrecognized|deprecated|traceback", said, re.IGNORECASE), said
