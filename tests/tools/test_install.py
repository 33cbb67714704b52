"""`make` chooses PyTorch's builds: real installations of dummy packages from indexes on this machine."""

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.processes import free_port

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
# What the Makefile and pip run, without a uv or nvidia-smi that the machine may have.
PROGRAMS = ("make", "sh", "touch", "env")


def add_wheel(index: Path, project: str, version: str) -> None:
    """Put an empty wheel into an index in the layout of PEP 503."""
    folder, record = index / project, f"{project}-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{project}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr(f"{record}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
        wheel.writestr(f"{record}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{record}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a>', encoding="utf-8")


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with three indexes: the usual one, PyTorch's with CPU builds, and a user's own."""
    root = tmp_path_factory.mktemp("indexes")
    for index, version in (("usual", "2.14.1"), ("cpu", "2.14.1+cpu"), ("own", "2.14.1+own")):
        add_wheel(root / index, "torch", version)
    add_wheel(root / "usual", "page", "1.0")
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def installed(
    folder: Path, usual: str, programs: dict[str, Path], target: str, **environment: str
) -> tuple[dict[str, str], str]:
    """What `make` installs in a project that requires torch 2.14.1 for training, and what it says."""
    (folder / "bin").mkdir()
    for name, program in programs.items():
        (folder / "bin" / name).symlink_to(program)
    (folder / "tools").mkdir()
    for name in ("Makefile", "pyproject.toml", "tools/install.py"):
        shutil.copy(PROJECT / name, folder / name)
    (folder / "requirements.txt").write_text("page==1.0\n\n# Training\ntorch==2.14.1\n", encoding="utf-8")
    done = subprocess.run(
        ["make", target, f"PYTHON={sys.executable}"],
        cwd=folder,
        env={
            "PATH": str(folder / "bin"),
            "HOME": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": usual,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    records = [*(folder / ".venv").rglob("torch-*.dist-info"), *(folder / ".venv").rglob("page-*.dist-info")]
    names = (record.name.removesuffix(".dist-info").split("-") for record in records)
    return dict(names), done.stdout


def programs_of(installer: str) -> dict[str, Path]:
    """What the Makefile runs, and uv if it is the installer."""
    programs = {name: Path(found) for name in PROGRAMS if (found := shutil.which(name))}
    return programs | ({"uv": Path(sys.executable).with_name("uv")} if installer == "uv" else {})


@pytest.fixture
def gpu(tmp_path: Path) -> Path:
    """A program like NVIDIA's, on a machine with one GPU."""
    smi = tmp_path / "smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200'\n", encoding="utf-8")
    smi.chmod(0o755)
    return smi


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize(
    ("machine", "expected", "said"),
    [
        ("without a GPU", "2.14.1+cpu", "CPU builds of PyTorch from http"),
        ("with a GPU", "2.14.1", "GPU found"),
        ("without PyTorch's index", "2.14.1", "cannot be reached"),
        ("with an index of the user", "2.14.1+own", "PIP_EXTRA_INDEX_URL"),
    ],
)
def test_make_installs_the_builds_for_the_machine_and_says_so_in_one_line(
    machine: str, expected: str, said: str, installer: str, tmp_path: Path, indexes: str, gpu: Path
) -> None:
    programs = programs_of(installer)
    if machine == "with a GPU":
        programs["nvidia-smi"] = gpu
    reachable = machine != "without PyTorch's index"
    environment = {
        "MALARIA_DETECT_CPU_INDEX": f"{indexes}/cpu" if reachable else f"http://127.0.0.1:{free_port()}"
    }
    if machine == "with an index of the user":
        environment["PIP_EXTRA_INDEX_URL"] = f"{indexes}/own"
    folder = tmp_path / "project"
    folder.mkdir()
    target = ".venv/installed-train"
    found, output = installed(folder, f"{indexes}/usual", programs, target, **environment)
    assert found == {"page": "1.0", "torch": expected}
    assert len([line for line in output.splitlines() if "PyTorch" in line and said in line]) == 1


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_page_is_installed_without_torch_and_without_asking_for_its_builds(
    installer: str, tmp_path: Path, indexes: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    found, output = installed(
        *(tmp_path, f"{indexes}/usual", programs_of(installer), ".venv/installed"),
        MALARIA_DETECT_CPU_INDEX=nowhere,
    )
    assert found == {"page": "1.0"}
    assert "PyTorch" not in output
