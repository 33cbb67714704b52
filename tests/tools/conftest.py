from pathlib import Path
from shutil import copytree

import pytest
from tools.model_card.write import main

from tests.tools.records import write_made_up_files


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made-up result files, and what the report wrote from them; read only, tests share it."""
    folder = tmp_path_factory.mktemp("report")
    write_made_up_files(folder)
    assert run(folder) == 0
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return copytree(written, tmp_path / "report")


def run(folder: Path, *options: str) -> int:
    files = (
        "--readme",
        "README.md",
        "--card",
        "MODEL_CARD.md",
        "--deployment",
        "docs/deployment.md",
        "--model",
        "export.pkl",
        "--reports",
        "reports",
    )
    arguments = [name if name.startswith("--") else str(folder / name) for name in files]
    return main([*arguments, *options])
