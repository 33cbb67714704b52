"""A copy of the shipped model that a test may change."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def pair(shipped_model: Path, tmp_path: Path) -> Path:
    """A copy of the files of the shipped model."""
    for path in shipped_model.parent.glob(f"{shipped_model.stem}.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / shipped_model.name
