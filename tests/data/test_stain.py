"""Stain normalisation: cells get the colours of the training cells, and the targets are those patients' alone."""

from pathlib import Path

import numpy as np
import pytest
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

from malaria_detect.data import stain
from malaria_detect.data.stain import macenko, reinhard, stain_targets
from malaria_detect.inference.model_files import read_metadata


def two_stains(pixels: int = 4000, seed: int = 0) -> np.ndarray:
    """Colours of two known stains in varying amounts, (pixels, 3)."""
    random = np.random.default_rng(seed)
    stains = np.array([[0.6, 0.7, 0.39], [0.2, 0.9, 0.39]])
    amounts = random.uniform(0.05, 0.9, (pixels, 2))
    return (256 * np.exp(-amounts @ stains) - 1).clip(0, 255).astype(np.uint8)


def test_reinhard_gives_a_cell_the_mean_and_spread_of_the_training_cells() -> None:
    fitted = NumpyReinhardNormalizer()
    fitted.fit(reinhard(two_stains())[None])
    assert fitted.target_means == pytest.approx(stain_targets().lab_mean, abs=0.6)
    assert fitted.target_stds == pytest.approx(stain_targets().lab_std, abs=0.3)


def test_macenko_gives_a_cell_the_stains_of_the_training_cells() -> None:
    fitted = NumpyMacenkoNormalizer()
    fitted.fit(macenko(two_stains())[None], Io=256, beta=0.0)
    stains = fitted.HERef.T
    assert stains == pytest.approx(np.array(stain_targets().stains), abs=0.06)
    assert fitted.maxCRef == pytest.approx(stain_targets().strength, rel=0.1)


@pytest.mark.parametrize("normalize", [reinhard, macenko])
@pytest.mark.parametrize(
    "colours",
    [
        np.zeros((0, 3), np.uint8),
        two_stains(stain.MIN_PIXELS - 1),
        np.full((5000, 3), (200, 150, 160), np.uint8),
        # Grey of all strengths: one stain that takes all colours alike.
        np.repeat(np.arange(40, 255, dtype=np.uint8), 3).reshape(-1, 3),
    ],
    ids=["nothing", "few pixels", "one colour", "one stain"],
)
def test_a_cell_that_tells_too_little_stays_as_it_is(normalize: object, colours: np.ndarray) -> None:
    assert callable(normalize)
    assert np.array_equal(normalize(colours), colours)


def test_the_targets_come_from_training_patients_only(shipped_model: Path) -> None:
    targets, metadata = stain_targets(), read_metadata(shipped_model)
    assert targets.stain_patient in metadata.train.groups
    assert targets.patients == len(metadata.train.groups)
    assert targets.seed == metadata.seed
