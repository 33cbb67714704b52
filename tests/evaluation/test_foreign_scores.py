"""How many pictures of each kind are refused, counted near and far apart."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from malaria_detect.evaluation import foreign_scores
from malaria_detect.evaluation.foreign_scores import FAR_GROUP, NEAR_GROUP, RED, score_foreign
from malaria_detect.inference.detector import Detector
from malaria_detect.training.made_pictures import UNSEEN
from malaria_detect.training.screen import folder_name
from tests.drawn import draw_cell


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two red cells, a white cell and a photograph, of which one is empty."""
    made = [tmp_path / name for name in ("Uninfected", "white cells", "photographs")]
    for folder, number in zip(made, (2, 1, 1), strict=True):
        folder.mkdir()
        for seed in range(number):
            draw_cell(np.random.default_rng(seed), parasitized=False).save(folder / f"{seed}.png")
    Image.new("RGB", (50, 50), "white").save(tmp_path / "photographs" / "1.png")
    return made


def test_of_a_folder_that_was_fitted_only_what_is_held_out_is_scored(
    detector: Detector, folders: list[Path]
) -> None:
    metadata = replace(detector.metadata, references_sha256=None, screened={folder_name(folders[0]): 1})
    scores = score_foreign(Detector(detector.classifier, metadata), folders[:2], (), "a command")
    assert [kind.refused.total for kind in scores.kinds] == [1, 1]
    assert scores.kinds[0].basis != scores.kinds[1].basis


def test_folders_are_kinds_and_kinds_have_groups(detector: Detector, folders: list[Path]) -> None:
    plain = Detector(detector.classifier, replace(detector.metadata, references_sha256=None))
    scores = score_foreign(plain, folders, (), "a command")
    assert [(kind.group, kind.refused.hits, kind.refused.total) for kind in scores.kinds] == [
        (RED, 0, 2),
        (NEAR_GROUP, 0, 1),
        (FAR_GROUP, 1, 2),
    ]
    assert [group.name for group in scores.groups] == [RED, NEAR_GROUP, FAR_GROUP]
    assert scores.kinds[2].reasons == {"blank": 1}
    for kind in scores.kinds:
        shares = kind.refused.value, kind.site_warned.value, kind.ordinary.value
        assert sum(shares) == pytest.approx(1)
        assert kind.refused.low <= kind.refused.value <= kind.refused.high


def test_each_made_kind_is_scored_on_its_own_pictures(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Detector(detector.classifier, replace(detector.metadata, references_sha256=None))
    blank = next(iter(UNSEEN))

    def picture(kind: str, *_: object) -> Image.Image:
        return Image.new("RGB", (50, 50), "white") if kind == blank else drawn

    drawn = draw_cell(np.random.default_rng(0), parasitized=False)
    monkeypatch.setattr(foreign_scores, "made_picture", picture)
    scores = score_foreign(plain, (), [Mock()], "a command", each=1)
    refused = {kind.name for kind in scores.kinds if kind.refused.hits}
    assert refused == {f"made: {blank}"}
    assert len(scores.kinds) > 5
