"""The command line, run in this process with the shipped model."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from malaria_detect.cli import main
from malaria_detect.data.nlm_cells import find_cells


@dataclass(frozen=True)
class Ran:
    """A command that has ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def in_the_models_folder(shipped_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped model is the default of all commands."""
    monkeypatch.chdir(shipped_model.parent)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def run(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture
def pictures(sample_cells: Path, tmp_path: Path) -> Path:
    """A folder with four cells, one of them in a folder below, and one file that is no picture."""
    folder = tmp_path / "my cells"
    (folder / "more").mkdir(parents=True)
    cells = find_cells(sample_cells).cells
    names = ("a.png", "b c.png", "é.png", "more/d.png")
    for cell, name in zip((*cells[:2], *cells[-2:]), names, strict=True):
        shutil.copy(cell.path, folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder
