"""What a model refuses as foreign: fitted to pictures that the software makes, within limits on red cells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.cut_outs import CutOut, cut_outs_of
from malaria_detect.inference.classifier import Seen
from malaria_detect.inference.foreign import FOREIGN, ORDINARY, OTHER_SITE, KnownCells, normalised
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.training.made_pictures import FAR, NEAR, UNSEEN, made_picture
from malaria_detect.training.screen import (
    FurtherPictures,
    fit_screen,
    folder_name,
    renew_references,
    thirds_of,
)
from tests.refused import refused


@pytest.fixture(scope="module")
def cut_outs(drawn_cells: Path) -> list[CutOut]:
    return cut_outs_of(find_cells(drawn_cells).cells, seed=0, most=4)


@pytest.mark.parametrize("kind", [RED_CELL, *NEAR, *FAR, *UNSEEN])
def test_a_made_picture_is_new_each_time_and_the_same_for_the_same_seed(
    cut_outs: list[CutOut], kind: str
) -> None:
    random = np.random.default_rng(1)
    first, second = (made_picture(kind, random, cut_outs) for _ in range(2))
    again = made_picture(kind, np.random.default_rng(1), cut_outs)
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes() != second.tobytes()


def seen(centre: int, number: int, seed: int) -> Seen:
    """Made-up cells around one of a few directions."""
    draw = np.random.default_rng(seed)
    layers = np.abs(draw.normal(1, 0.1, (number, 30))).astype(np.float32)
    layers[:, centre] += 1
    features = np.abs(draw.normal(0.2, 0.05, (number, 40))).astype(np.float32)
    features[:, centre] += 2
    return Seen(np.zeros(number), features, layers, np.zeros((0, 0, 0, 0), np.float32))


def test_a_screen_keeps_known_cells_warns_of_others_and_refuses_foreign_pictures() -> None:
    training, validation = seen(0, 300, 1), seen(0, 200, 2)
    screen = fit_screen(training, validation, [seen(1, 50, 3)], [(0.02, seen(1, 50, 8))], seen(2, 100, 4))
    known = KnownCells(normalised(training.features), screen)
    home, elsewhere, foreign = (known.outcomes(seen(*one)) for one in ((0, 400, 5), (1, 100, 6), (2, 100, 7)))
    assert home.count(FOREIGN) <= 0.02 * len(home)
    assert home.count(ORDINARY) >= 0.9 * len(home)
    assert elsewhere.count(OTHER_SITE) >= 0.9 * len(elsewhere)
    assert foreign.count(FOREIGN) >= 0.9 * len(foreign)


def test_a_field_is_only_in_one_third_of_a_folder(tmp_path: Path) -> None:
    names = [f"{field}__{cell}.png" for field in "abcdefg" for cell in range(3)] + ["alone.png"]
    for name in names:
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    thirds = thirds_of(tmp_path)
    assert sorted(path.name for third in thirds for path in third) == sorted(names)
    fields = [{path.stem.partition("__")[0] for path in third} for third in thirds]
    assert [len(one) for one in fields] == [3, 3, 2]
    assert len(set.union(*fields)) == 8
    assert FurtherPictures(foreign=(tmp_path,)).fitted == {folder_name(tmp_path): sum(map(len, thirds[1:]))}


def test_references_need_cells_of_the_models_own_patients(shipped_model: Path, drawn_cells: Path) -> None:
    cells = [replace(cell, group="somebody else") for cell in find_cells(drawn_cells).cells]
    with refused(MetadataError, "no_references"):
        renew_references(shipped_model, cells, progress=False)
