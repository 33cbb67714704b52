"""Designs are found by name, also those that another package registers; it has the example of the documentation."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from malaria_detect.designs.changed import changed_settings
from malaria_detect.designs.registry import GROUP, all_designs, find_design, find_network
from malaria_detect.training.settings import TrainingError, recorded, sizes_in_words
from tests.refused import refused

PROJECT = Path(__file__).resolve().parents[2]


def example() -> str:
    """The first block of Python in the documentation."""
    page = (PROJECT / "docs/how-to/add-a-design.md").read_text(encoding="utf-8")
    return page.partition("```python\n")[2].partition("```")[0]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package that registers a design: a module, and its metadata as pip writes them."""
    name = f"plugin_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(example(), encoding="utf-8")
    info = tmp_path / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    all_designs.cache_clear()
    yield info
    all_designs.cache_clear()


def register(info: Path, target: str) -> None:
    module = info.name.partition("-")[0]
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmine = {module}:{target}\n", encoding="utf-8")


def test_a_design_of_another_package_is_found_and_trains(
    package: Path, few_cells: Path, tmp_path: Path
) -> None:
    register(package, "DESIGN")
    assert list(all_designs())[-1] == "tiny-cnn-64"
    assert find_network("tiny-cnn-64").start("none").network is not None
    # Also in a new process, as a user starts it.
    command = [sys.executable, "-m", "malaria_detect", "compare", "--cells", str(few_cells)]
    command += ["--networks", "tiny-cnn-64", "--change", "tiny-cnn-64", "epochs=1"]
    command += ["--output", str(tmp_path / "found.json"), "--work", str(tmp_path / "work")]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=_with_path(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "tiny-cnn-64: " in done.stdout


def _with_path(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize(
    ("target", "added"),
    [
        ("MISSING", ""),
        ("NO_DESIGN", 'NO_DESIGN = "text"'),
        ("DESIGN", "raise ValueError"),
        ("DESIGN", 'DESIGN = scratch_design("mine", 64, tiny_cnn, {}, titel="misspelt")'),
        (
            "DESIGN",
            "from malaria_detect.training.described import DescribedDesign\n"
            "DESIGN = DescribedDesign(name='a', title='', where='')",
        ),
        ("DESIGN", "import dataclasses; DESIGN = dataclasses.replace(DESIGN, name='../up')"),
    ],
)
def test_a_package_with_a_broken_design_is_named_when_its_design_is_needed(
    package: Path, target: str, added: str
) -> None:
    register(package, target)
    with (package.parent / f"{package.name.partition('-')[0]}.py").open("a", encoding="utf-8") as module:
        module.write(added)
    assert find_network("resnet34").name == "resnet34"
    with pytest.raises(TrainingError, match=package.name.partition("-")[0]) as caught:
        find_design("tiny-cnn-64")
    assert caught.value.reason == "broken_design"


def test_a_name_that_is_taken_is_refused(package: Path) -> None:
    register(package, "DESIGN")
    module = package.parent / f"{package.name.partition('-')[0]}.py"
    module.write_text(example().replace("tiny-cnn-64", "resnet34"), encoding="utf-8")
    with pytest.raises(TrainingError, match="resnet34 is taken"):
        all_designs()


def test_a_design_without_a_network_cannot_be_exported() -> None:
    with refused(TrainingError, "no_network"):
        find_network("handcrafted-forest")
    with refused(TrainingError, "unknown_design"):
        find_design("alexnet")


def test_other_image_sizes_are_told_with_their_epochs() -> None:
    design = find_network("resnet34")
    own = recorded(design.settings())
    assert changed_settings(design, own) == []
    shorter = changed_settings(design, own | {"sizes": [112, 112, 224]})
    assert shorter == [
        f"2 epochs at 112 px and 1 epoch at 224 px instead of {sizes_in_words(design.settings().sizes)}"
    ]
