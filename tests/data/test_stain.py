"""Stain normalisation: cells get the colours of the training cells, and the targets are those patients' alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data import stain
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.data.stain import cell_mask, macenko, main, measure_targets, reinhard, stain_targets
from malaria_detect.inference.metadata import read_metadata


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


def test_measuring_again_gives_the_same_targets_and_writes_them(
    drawn_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stain, "TARGETS_FILE", tmp_path / "targets.json")
    assert main([str(drawn_cells)]) == 0
    written = json.loads((tmp_path / "targets.json").read_text(encoding="utf-8"))
    assert f"{written['cells']} cells of {written['patients']} training patients" in capsys.readouterr().out
    groups = {cell.group for cell in find_cells(drawn_cells).cells}
    assert written["patients"] < len(groups)  # validation and test patients gave nothing
    assert main([str(drawn_cells)]) == 0
    assert json.loads((tmp_path / "targets.json").read_text(encoding="utf-8")) == written


def test_targets_of_cells_lie_among_those_of_the_cells(drawn_cells: Path) -> None:
    cells = find_cells(drawn_cells).cells
    targets = measure_targets(cells, seed=0)
    pixels = [np.asarray(read_image(cell.path)) for cell in cells]
    fitted = []
    for picture in pixels:
        normalizer = NumpyReinhardNormalizer()
        normalizer.fit(picture[cell_mask(picture)][None])
        fitted.append(normalizer.target_means)
    assert (np.min(fitted, axis=0) <= targets.lab_mean).all()
    assert (np.max(fitted, axis=0) >= targets.lab_mean).all()
    infected = {cell.group for cell in cells if cell.label == CLASSES[0]}
    assert targets.stain_patient in infected
    assert np.linalg.norm(targets.stains, axis=1) == pytest.approx([1, 1], abs=1e-3)


def test_cells_without_a_parasite_give_no_targets(drawn_cells: Path) -> None:
    uninfected = [cell for cell in find_cells(drawn_cells).cells if cell.label == CLASSES[1]]
    with pytest.raises(MalariaDetectError, match="No parasitized cells show two stains"):
        measure_targets(uninfected, seed=0)


def test_measuring_without_cells_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("No cells in ")
