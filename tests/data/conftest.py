"""Cells of a laboratory that a test may change."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def own(laboratory: Path, tmp_path: Path) -> Path:
    """A copy of the laboratory's cells."""
    return Path(shutil.copytree(laboratory, tmp_path / "own"))
