"""The settings in voila.json, and the Procfile's own command line, really started."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from jupyter_client.manager import KernelManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from traitlets.config import Configurable
from voila.configuration import VoilaConfiguration
from voila.voila_kernel_manager import voila_kernel_manager_factory

from benchmarks.processes import free_port
from malaria_detect.app.server.app import Server
from tests.waiting import SECONDS, until
from tools.doctor import pins

PROJECT = Path(__file__).resolve().parents[2]


def test_every_setting_in_voila_json_sets_something() -> None:
    settings: dict[str, dict[str, Any]] = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))
    pool = voila_kernel_manager_factory(AsyncMappingKernelManager, True, 1)
    traits = {
        f"{owner.__name__}.{name}"
        for one in (Server, VoilaConfiguration, KernelManager, *pool.mro())
        for owner in one.mro()
        if issubclass(owner, Configurable)
        for name in owner.class_traits(config=True)
    }
    assert {f"{owner}.{name}" for owner, values in settings.items() for name in values} <= traits


def names(requirements: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(one.name) for one in requirements}


def test_a_dyno_and_a_container_install_what_the_page_needs_and_no_more(tmp_path: Path) -> None:
    page, training = pins()
    container = re.search(r"^RUN (sed .*) && pip", (PROJECT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert container
    # Heroku's buildpack runs this script before pip.
    for command in (str(PROJECT / "bin" / "pre_compile"), container[1]):
        shutil.copy(PROJECT / "requirements.txt", tmp_path)
        subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True)
        kept = (tmp_path / "requirements.txt").read_text(encoding="utf-8").splitlines()
        lines = [line for line in kept if line and not line.startswith("#")]
        assert lines[0] == "-e ."
        assert names(map(Requirement, lines[1:])) == names(page)
    assert names(page).isdisjoint(names(training))
    assert "torch" in names(training)


@pytest.mark.slow
def test_the_procfile_serves_the_page_on_all_addresses_and_ends_when_told(tmp_path: Path) -> None:
    process_type, command = (PROJECT / "Procfile").read_text(encoding="utf-8").strip().split(": ", 1)
    assert process_type == "web"
    port, log = free_port(), tmp_path / "log.txt"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as output:
        # As on Heroku: by a shell, in the project, with PORT set.
        process = psutil.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=PROJECT,
            env={**os.environ, "PORT": str(port), "PATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def addresses() -> set[str]:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        links = [link for link in process.net_connections("inet") if link.status == psutil.CONN_LISTEN]
        return {link.laddr.ip for link in links if link.laddr.port == port}

    try:
        assert until(addresses, "the server's port") == {"0.0.0.0"}
        answer = requests.get(f"http://127.0.0.1:{port}/", timeout=SECONDS)
        assert answer.status_code == 200
        assert "There was an error when executing cell" not in answer.text
        children = process.children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert psutil.wait_procs(children, timeout=SECONDS)[1] == []
    finally:
        if process.poll() is None:
            process.kill()
    said = log.read_text(encoding="utf-8")
    assert not re.search("not recognized|unrecognized|deprecated|traceback", said, re.IGNORECASE), said
