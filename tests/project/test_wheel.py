"""The built wheel in an environment of its own, used in empty folders, far from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import requests
from PIL import Image

from benchmarks.visitors import Visitor
from tests.browser.served import served_page
from tests.drawn_fields import Drawn, drawn_field
from tests.waiting import SECONDS, until

PROJECT = Path(__file__).resolve().parents[2]
# What only extras install, and nothing of the base: the environment of the wheel is without them.
ONLY_IN_EXTRAS = ("jupyterlab", "pooch", "timm", "torchstain")


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel."""

    folder: Path

    def run(
        self,
        *command: str,
        cwd: Path,
        status: int = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, and what it requires from the environment of the tests, but without the checkout and the extras."""
    root = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(root), str(PROJECT)]
    subprocess.run(build, check=True)
    (wheel,) = root.glob("*.whl")
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    (own,) = environment.glob("lib/python*/site-packages")
    # Of a folder that is only on the path, no .pth files are read: the tests' editable installation is not found.
    hidden = f"import sys; sys.modules.update(dict.fromkeys({ONLY_IN_EXTRAS!r}))"
    (own / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{hidden}\n", encoding="utf-8")
    shutil.rmtree(environment / "share", ignore_errors=True)
    (environment / "share").symlink_to(Path(sys.prefix) / "share")
    return Environment(environment)


@pytest.fixture
def cell(tmp_path: Path, sample_cells: Path) -> Path:
    """An empty folder, and a cell in another one."""
    (tmp_path / "cells").mkdir()
    (tmp_path / "empty").mkdir()
    found = min(sample_cells.rglob("Parasitized/*.png"))
    return Path(shutil.copy(found, tmp_path / "cells" / "cell.png"))


def test_the_model_comes_with_the_package(installed: Environment, cell: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    row = json.loads(installed.run("malaria-detect", "predict", "--json", str(cell), cwd=folder).stdout)
    code = (
        "import sys, malaria_detect as m; d = m.load_detector(); "
        "print(m.__file__, m.read_metadata().sha256, d.metadata.sha256, d.predict(sys.argv[1]).decision)"
    )
    file, *found = installed.run("python", "-c", code, str(cell), cwd=folder).stdout.split()
    assert Path(file).is_relative_to(installed.folder)
    sha256 = json.loads((PROJECT / "export.json").read_text(encoding="utf-8"))["sha256"]
    assert found == [sha256, sha256, row[0]["decision"]]
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_cell_finder_comes_with_the_package(installed: Environment, tmp_path: Path) -> None:
    pixels, _, _ = drawn_field(1, Drawn(cells=20, on_edge=0))
    Image.fromarray(pixels).save(tmp_path / "field.png")
    installed.run("malaria-detect", "field", "field.png", "--out", "out", cwd=tmp_path)
    (slide,) = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["slides"]
    assert slide["cells"] == 20


@pytest.mark.slow
def test_the_page_and_the_interface_come_with_the_package(
    installed: Environment, cell: Path, tmp_path: Path
) -> None:
    program = installed.folder / "bin" / "malaria-detect"
    (tmp_path / "temporary").mkdir()
    with served_page(tmp_path / "empty", tmp_path / "temporary", "--workers", "1", program=program) as server:
        with Visitor(server.address) as visitor:
            (card,) = visitor.upload({"cell.png": cell.read_bytes()})
            assert card.probability is not None
        answer = until(lambda: predicted(server.address, cell), "a worker's start")
        assert answer["results"][0]["probability_parasitized"] == pytest.approx(card.probability, abs=1e-4)
    log = (tmp_path / "temporary" / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in log


def predicted(address: str, cell: Path) -> Any:
    answer = requests.post(f"{address}api/predict", files={"pictures": cell.read_bytes()}, timeout=SECONDS)
    return answer.json() if answer.status_code == 200 else None


def test_a_model_in_the_current_folder_comes_before_that_of_the_package_and_a_named_one_before_both(
    installed: Environment, tmp_path: Path
) -> None:
    metadata = json.loads((PROJECT / "export.json").read_text(encoding="utf-8"))
    folders = {name: tmp_path / name for name in ("here", "named", "variable")}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "export.pkl").symlink_to(PROJECT / "export.pkl")
        (folder / "export.json").write_text(json.dumps(metadata | {"created": name}), encoding="utf-8")
    code = "import sys, malaria_detect as m; print(m.read_metadata(*sys.argv[1:]).created)"
    named, variable = str(folders["named"] / "export.pkl"), str(folders["variable"] / "export.pkl")
    for arguments, environment, expected in (
        ([], {}, "here"),
        ([], {"MALARIA_DETECT_MODEL": variable}, "variable"),
        ([named], {"MALARIA_DETECT_MODEL": variable}, "named"),
    ):
        done = installed.run("python", "-c", code, *arguments, cwd=folders["here"], environment=environment)
        assert done.stdout == f"{expected}\n"


def test_half_a_model_in_the_current_folder_is_an_error_and_not_passed_over(
    installed: Environment, cell: Path, tmp_path: Path
) -> None:
    shutil.copy(PROJECT / "export.json", tmp_path / "empty")
    done = installed.run("malaria-detect", "predict", str(cell), cwd=tmp_path / "empty", status=2)
    assert "export.pkl is missing" in done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("cells", "fetch"), "train"),
        (("train", "--cells", "{cells}", "--preprocess", "macenko", "--weights", "none"), "train"),
        (("train", "--cells", "{cells}", "--network", "resnet50v2-frozen"), "designs"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else value,
)
def test_one_sentence_names_the_extra_that_is_missing(
    command: tuple[str, ...], extra: str, installed: Environment, drawn_cells: Path, tmp_path: Path
) -> None:
    words = [word.format(cells=drawn_cells) for word in command]
    done = installed.run("malaria-detect", *words, cwd=tmp_path, status=2)
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("malaria-detect: ")]
    assert f"malaria-detect[{extra}]" in sentence
    assert "Traceback" not in done.stderr
