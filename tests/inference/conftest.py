"""A copy of the shipped model that a test may change."""

import shutil
from pathlib import Path

import pytest

from malaria_detect.inference.model_files import metadata_path


@pytest.fixture
def pair(shipped_model: Path, tmp_path: Path) -> Path:
    """A copy of the shipped model and its metadata."""
    for path in (shipped_model, metadata_path(shipped_model)):
        shutil.copy(path, tmp_path)
    return tmp_path / shipped_model.name
