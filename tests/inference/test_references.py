"""The references of a model: what is stored of features, and which files are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import read_metadata, references_path, sha256_of
from malaria_detect.inference.references import (
    TRAINING,
    VALIDATION,
    References,
    read_references,
    write_references,
)
from tests.refused import refused


@pytest.fixture(scope="module")
def references() -> References:
    """Skewed as pooled activations are, with a feature that is always 0."""
    features = np.random.default_rng(0).exponential(size=(200, 1024)).astype(np.float32) ** 2
    features[:, 7] = 0
    return References(
        features=features,
        parasitized=np.arange(200) % 2 == 0,
        files=tuple(f"C1P{n}_IMG_1_cell_{n}.png" for n in range(200)),
        groups=tuple(f"C1P{n}" for n in range(200)),
        part=(TRAINING,) * 120 + (VALIDATION,) * 80,
    )


@pytest.fixture
def metadata(shipped_model: Path, references: References, tmp_path: Path) -> ModelMetadata:
    """The shipped metadata, with references in the folder of the test."""
    write_references(references, tmp_path / "export.npz")
    return replace(read_metadata(shipped_model), references_sha256=sha256_of(tmp_path / "export.npz"))


def test_references_come_back_with_small_features_as_exact_as_large_ones(
    references: References, metadata: ModelMetadata, tmp_path: Path
) -> None:
    found = read_references(tmp_path / "export.pkl", metadata)
    assert found is not None
    assert found.features.dtype == np.float32
    assert (found.features[:, 7] == 0).all()
    span = references.features.max(axis=0)
    roots = [np.sqrt(one / np.maximum(span, 1)) for one in (found.features, references.features)]
    assert np.abs(roots[0] - roots[1]).max() < 1 / 255
    assert found.parasitized.tolist() == references.parasitized.tolist()
    for name in ("files", "groups", "part"):
        assert getattr(found, name) == getattr(references, name)


def test_a_model_without_references_has_none(metadata: ModelMetadata, tmp_path: Path) -> None:
    assert read_references(tmp_path / "export.pkl", replace(metadata, references_sha256=None)) is None


def test_references_that_are_missing_damaged_or_of_another_model_are_refused(
    metadata: ModelMetadata, tmp_path: Path
) -> None:
    model = tmp_path / "export.pkl"
    path = references_path(model)
    content = path.read_bytes()
    for wrong, reason in ((content[:-1], "wrong_sha256"), (b"", "wrong_sha256")):
        path.write_bytes(wrong)
        with refused(MetadataError, reason):
            read_references(model, metadata)
    for wrong in (content[:-1], b"not an archive"):
        path.write_bytes(wrong)
        with refused(MetadataError, "invalid"):
            read_references(model, replace(metadata, references_sha256=sha256_of(path)))
    path.unlink()
    with refused(MetadataError, "missing"):
        read_references(model, metadata)
