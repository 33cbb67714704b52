"""Designs on cells of other laboratories."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.data.field_annotations import read_field_sets
from malaria_detect.designs.elsewhere import cells_elsewhere
from malaria_detect.designs.registry import find_design
from malaria_detect.designs.scoring import ScoredDesign
from malaria_detect.designs.timing import LogOdds
from malaria_detect.inference.calibrate import Logits
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.training.settings import DivergedError
from tests.annotated import write_boxes
from tests.known_finder import FEW, KnownFinder


def scored_by(log_odds: LogOdds, threshold: float) -> ScoredDesign:
    """A design that gives these log-odds."""
    empty = Logits((), (), (), (), ())
    return ScoredDesign(
        *(find_design("handcrafted-forest"), empty, 1.0, threshold, log_odds, 1, None, 1.0, None, None),
        *("2026-01-31", {}, None, (), ()),
    )


def test_cells_of_other_laboratories_are_scored_at_the_threshold(shipped_model: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder = write_boxes(tmp_path / "elsewhere", (1, 2), FEW)
    sets, finder = read_field_sets(folder), KnownFinder.of(1, 2, drawn=FEW)
    by_outline, by_box = cells_elsewhere(sets, finder, read_metadata(shipped_model), progress=False)
    assert (by_outline.cut, by_box.cut, by_box.name) == ("outline", "box", "elsewhere")

    def known(images: Sequence[Image.Image]) -> np.ndarray:
        return np.where(by_box.parasitized, 0.8, -0.4)

    right = by_box.called(scored_by(known, threshold=0.5))
    cautious = by_box.called(scored_by(known, threshold=0.3))
    assert right.basis == "not trained on"
    with pytest.raises(DivergedError):
        by_box.called(scored_by(lambda images: np.full(len(images), np.nan), threshold=0.5))
    assert right.called["sensitivity"].value == right.called["specificity"].value == 1
    assert cautious.called["specificity"].value == 0
    assert (right.fields, right.parasitized, right.uninfected) == (
        *(2, by_box.parasitized.sum(), (~by_box.parasitized).sum()),
    )
