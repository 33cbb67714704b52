"""Scores in other laboratories: which cells are scored, how they are cut out, and what is written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.core.json_io import to_json
from malaria_detect.data.field_annotations import read_field_sets
from malaria_detect.data.field_truth import FieldAnnotationError
from malaria_detect.evaluation.laboratories import (
    BOX,
    OUTLINE,
    Laboratories,
    LaboratoryScore,
    expectation,
    read_laboratories,
    score_laboratories,
)
from malaria_detect.inference.model_files import read_metadata, write_expectations
from tests.annotated import drawn, write_boxes, write_centres
from tests.drawn_fields import Drawn
from tests.inference.known_sites import FEATURES, HOME, adaptation
from tests.known_finder import KnownFinder
from tests.refused import refused

FIELD = Drawn(cells=24, parasitized=6, on_edge=2, white_cells=1)
SEEDS = (1, 2, 3)


def features(images: Sequence[Image.Image]) -> np.ndarray:
    """What the network of one layer calls parasitized where there is a dark dot, as in drawn parasites."""
    dark = np.array([(np.asarray(image).max(axis=2)[2:-2, 2:-2] < 140).sum() for image in images])
    on_black = np.array([(np.asarray(image).max(axis=2)[2:-2, 2:-2] == 0).sum() for image in images])
    return np.where((dark > on_black)[:, None], HOME, -HOME).astype(np.float32)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> tuple[LaboratoryScore, ...]:
    """A laboratory with three boxed fields, by outlines and by boxes."""
    folder = write_boxes(tmp_path_factory.mktemp("elsewhere"), SEEDS, FIELD)
    finder = KnownFinder.of(*SEEDS, drawn=FIELD)
    return tuple(score_laboratories(read_field_sets(folder), finder, features, adaptation()))


def test_every_parasitized_and_at_most_twenty_uninfected_cells_of_a_field_are_scored(
    scores: tuple[LaboratoryScore, ...],
) -> None:
    assert [(one.cut, one.fields, one.parasitized, one.uninfected) for one in scores] == [
        (OUTLINE, 3, 18, 60),
        (BOX, 3, 18, 60),
    ]
    assert features([Image.new("RGB", (9, 9))]).shape == (1, FEATURES)


def test_cells_cut_out_by_outline_are_on_black_and_those_by_box_have_their_surroundings(
    tmp_path: Path,
) -> None:
    folder = write_boxes(tmp_path, (1,), FIELD)
    seen: list[tuple[bool, ...]] = []

    def corners(images: Sequence[Image.Image]) -> np.ndarray:
        seen.append(tuple(image.getpixel((0, 0)) == (0, 0, 0) for image in images))
        return features(images)

    tuple(score_laboratories(read_field_sets(folder), KnownFinder.of(1, drawn=FIELD), corners, adaptation()))
    by_outline, by_box = seen
    assert all(by_outline)
    assert not any(by_box)


def test_perfect_calls_have_sensitivity_and_specificity_one_with_intervals(
    scores: tuple[LaboratoryScore, ...],
) -> None:
    for one in scores:
        assert one.scores is not None
        called = one.called["balanced"]
        assert (called["sensitivity"].value, called["sensitivity"].total) == (1, 18)
        assert called["specificity"].value > 0.95
        assert called["sensitivity"].low < 1
        assert sum(entry.cells for entry in one.reliability) == one.parasitized + one.uninfected


def test_a_laboratory_without_parasites_has_a_specificity_only(tmp_path: Path) -> None:
    folder = write_centres(tmp_path, SEEDS)
    sets = read_field_sets(folder)
    finder = KnownFinder.of(*SEEDS, drawn=Drawn())
    # JPEG changes the pixels by which the finder knows a field.
    pictures = [replace(field, image=_png(field.image)) for field in sets[0].fields]
    one = (replace(sets[0], fields=tuple(pictures)),)
    (score,) = score_laboratories(one, finder, features, adaptation())
    assert (score.cut, score.parasitized, score.scores, score.gains) == (OUTLINE, 0, None, ())
    assert set(score.called["balanced"]) == {"specificity"}
    assert "never trained on" in expectation(score)


def _png(jpeg: Path) -> Path:
    path = jpeg.with_suffix(".png")
    Image.fromarray(drawn(int(jpeg.stem))[0]).save(path)
    return path


def test_fields_that_were_trained_on_are_left_out(tmp_path: Path) -> None:
    folder = write_boxes(tmp_path, SEEDS, FIELD)
    sets, parent = read_field_sets(folder), adaptation()
    parent.metadata = replace(parent.metadata, borrowed={sets[0].name: ("1.png", "2.png")})
    finder = KnownFinder.of(*SEEDS, drawn=FIELD)
    scored = list(score_laboratories(sets, finder, features, parent))
    assert {(one.fields, one.borrowed) for one in scored} == {(1, True)}
    parent.metadata = replace(parent.metadata, borrowed={sets[0].name: ("1.png", "2.png", "3.png")})
    with refused(FieldAnnotationError, "no_fields"):
        list(score_laboratories(sets, finder, features, parent))


def test_scores_are_read_back_and_expectations_reach_the_metadata(
    scores: tuple[LaboratoryScore, ...], shipped_model: Path, tmp_path: Path
) -> None:
    written = Laboratories.of(scores, "command", "0" * 64, "1" * 64)
    path = tmp_path / "laboratories.json"
    path.write_text(to_json(written))
    assert read_laboratories(path) == written
    path.write_text("{}")
    with pytest.raises(FieldAnnotationError):
        read_laboratories(path)
    for name in ("export.pkl", "export.json"):
        (tmp_path / name).write_bytes(shipped_model.with_name(name).read_bytes())
    write_expectations(tmp_path / "export.pkl", {"elsewhere": expectation(scores[0])})
    sentence = read_metadata(tmp_path / "export.pkl").expectations["elsewhere"]
    assert "18 parasitized" in sentence
    assert "60 uninfected" in sentence
