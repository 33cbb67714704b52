from pathlib import Path

import numpy as np
import pytest
from torchstain.numpy.normalizers import NumpyReinhardNormalizer

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.data.stain import cell_mask
from tools import measure_stain_targets
from tools.measure_stain_targets import main, measure_targets


def test_measured_targets_are_written(
    drawn_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "targets.json"
    monkeypatch.setattr(measure_stain_targets, "TARGETS_FILE", file)
    written = [(main([str(drawn_cells)]), file.read_bytes()) for _ in range(2)]
    assert written == [(0, written[0][1])] * 2
    assert main([str(tmp_path / "nowhere")]) == 2


def test_targets_are_within_the_range_of_the_cells(drawn_cells: Path) -> None:
    cells = find_cells(drawn_cells).cells
    targets = measure_targets(cells, seed=0)
    means = []
    for cell in cells:
        pixels = np.asarray(read_image(cell.path))
        normalizer = NumpyReinhardNormalizer()
        normalizer.fit(pixels[cell_mask(pixels)][None])
        means.append(normalizer.target_means)
    assert (np.min(means, axis=0) <= targets.lab_mean).all()
    assert (np.max(means, axis=0) >= targets.lab_mean).all()
    assert targets.stain_patient in {cell.group for cell in cells if cell.label == CLASSES[0]}
    assert np.linalg.norm(targets.stains, axis=1) == pytest.approx([1, 1], abs=1e-3)


def test_cells_without_a_parasite_give_no_targets(drawn_cells: Path) -> None:
    uninfected = [cell for cell in find_cells(drawn_cells).cells if cell.label == CLASSES[1]]
    with pytest.raises(MalariaDetectError) as refused:
        measure_targets(uninfected, seed=0)
    assert refused.value.reason == "no_stains"
