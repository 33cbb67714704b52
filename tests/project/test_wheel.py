"""The built wheel in an environment of its own, used in empty folders, far from the checkout."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from benchmarks.processes import free_port
from benchmarks.visitors import Visitor
from tests.browser.served import served_page
from tests.drawn_fields import Drawn, drawn_field
from tests.environment import Environment, build_wheel
from tests.waiting import SECONDS, until
from tools.doctor import pins

PROJECT = Path(__file__).resolve().parents[2]
# A third of it is OpenVINO, a fifth SciPy; the package with its model has a tenth.
MOST_MEGABYTES = 640


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel in a new environment, with the tested versions of what it requires."""
    root = tmp_path_factory.mktemp("wheel")
    wheel, pinned = build_wheel(root), root / "pinned.txt"
    pinned.write_text("\n".join(map(str, pins()[0])), encoding="utf-8")
    environment = Environment.created(root / "environment")
    done = environment.install("--constraint", pinned, wheel)
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip("the packages that the wheel requires are neither cached nor can they be downloaded")
    assert done.returncode == 0, done.stderr
    return environment


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


def test_the_wheel_brings_no_torch_and_is_small(installed: Environment, tmp_path: Path) -> None:
    names = ("torch", "torchvision", "fastai", "sklearn", "skimage")
    code = f"from importlib.util import find_spec; print(*filter(find_spec, {names}))"
    assert installed.run("python", "-c", code, cwd=tmp_path).stdout == "\n"
    sizes = Counter[str]()
    for file in installed.packages.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            sizes[file.relative_to(installed.packages).parts[0]] += file.stat().st_size
    largest = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in sizes.most_common(10))
    print(f"installed: {sizes.total() / 1e6:.0f} MB, of these {largest}")
    assert sizes.total() < MOST_MEGABYTES * 1e6


@pytest.mark.slow
def test_the_cell_finder_comes_with_the_package(installed: Environment, tmp_path: Path) -> None:
    pixels, _, _ = drawn_field(1, Drawn(cells=20, on_edge=0))
    Image.fromarray(pixels).save(tmp_path / "field.png")
    installed.run("malaria-detect", "field", "field.png", "--out", "out", cwd=tmp_path)
    (slide,) = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["slides"]
    assert slide["cells"] == 20


def test_the_http_interface_comes_with_the_package(
    installed: Environment, cell: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log.txt"
    command: list[str | Path] = [
        installed.program("malaria-detect"),
        "serve",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=tmp_path / "empty", stdout=output, stderr=subprocess.STDOUT)

    def answered() -> Any:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        return predicted(f"http://127.0.0.1:{port}/", cell)

    try:
        answer = until(answered, "an answer")
    finally:
        server.terminate()
        server.wait(SECONDS)
    done = installed.run("malaria-detect", "predict", "--json", str(cell), cwd=tmp_path / "empty")
    (expected,) = json.loads(done.stdout)
    assert answer["results"][0]["decision"] == expected["decision"]
    assert answer["results"][0]["probability_parasitized"] == pytest.approx(
        expected["probability_parasitized"], abs=1e-4
    )


@pytest.mark.slow
def test_the_page_comes_with_the_package(installed: Environment, cell: Path, tmp_path: Path) -> None:
    program = installed.program("malaria-detect")
    (tmp_path / "temporary").mkdir()
    with (
        served_page(tmp_path / "empty", tmp_path / "temporary", "--workers", "1", program=program) as server,
        Visitor(server.address) as visitor,
    ):
        (card,) = visitor.upload({"cell.png": cell.read_bytes()})
        assert card.probability is not None
    log = (tmp_path / "temporary" / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in log


def predicted(address: str, cell: Path) -> Any:
    """The answer of the HTTP interface, None if there is none yet."""
    try:
        answer = requests.post(
            f"{address}api/predict", files={"pictures": cell.read_bytes()}, timeout=SECONDS
        )
    except requests.ConnectionError:
        return None
    return answer.json() if answer.status_code == 200 else None


def test_a_model_in_the_current_folder_comes_before_that_of_the_package_and_a_named_one_before_both(
    installed: Environment, tmp_path: Path
) -> None:
    metadata = json.loads((PROJECT / "export.json").read_text(encoding="utf-8"))
    folders = {name: tmp_path / name for name in ("here", "named", "variable")}
    for name, folder in folders.items():
        folder.mkdir()
        shutil.copy(PROJECT / "export.pkl", folder)
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


@pytest.mark.parametrize("words", ["cells fetch", "train --cells {cells}"])
def test_one_sentence_names_the_extra_that_is_missing(
    words: str, installed: Environment, drawn_cells: Path, tmp_path: Path
) -> None:
    command = words.format(cells=drawn_cells).split()
    done = installed.run("malaria-detect", *command, cwd=tmp_path, status=2)
    (sentence,) = done.stderr.splitlines()
    assert "pip install 'malaria-detect[train]'" in sentence
