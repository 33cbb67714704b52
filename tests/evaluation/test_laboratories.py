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
)
from malaria_detect.evaluation.score_laboratories import score_laboratories
from malaria_detect.inference.metadata import Parent, Side
from malaria_detect.inference.model_files import read_metadata, write_expectations
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.training.borrowed import borrowed_fields
from malaria_detect.training.settings import DivergedError
from tests.annotated import drawn, write_boxes, write_centres
from tests.drawn_fields import Drawn
from tests.inference.known_sites import FEATURES, HOME, adaptation
from tests.known_finder import FEW, KnownFinder
from tests.refused import refused

FIELD = Drawn(cells=24, parasitized=6, on_edge=2, white_cells=1)
SEEDS = (1, 2, 3)


def features(images: Sequence[Image.Image]) -> np.ndarray:
    """What the network of one layer calls parasitized where there is a dark dot, as in drawn parasites."""
    dark = np.array([(np.asarray(image).max(axis=2)[2:-2, 2:-2] < 140).sum() for image in images])
    on_black = np.array([(np.asarray(image).max(axis=2)[2:-2, 2:-2] == 0).sum() for image in images])
    return np.where((dark > on_black)[:, None], HOME, -HOME).astype(np.float32)


ANSWER = Prediction(
    "Uninfected", {"Parasitized": 0.1, "Uninfected": 0.9}, 0.1, "balanced", 0.5, 0.8, (60, 60)
)


def look(images: Sequence[Image.Image]) -> tuple[np.ndarray, list[Prediction | Refusal]]:
    """Features, and answers: every tenth cell is refused, and every fifth of the others looks unlike known cells."""
    answers = [
        replace(ANSWER, site_warning=n % 5 == 1) if n % 10 else Refusal("No cell.", "foreign")
        for n in range(len(images))
    ]
    return features(images), answers


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> tuple[LaboratoryScore, ...]:
    """A laboratory with three boxed fields, by outlines and by boxes."""
    folder = write_boxes(tmp_path_factory.mktemp("elsewhere"), SEEDS, FIELD)
    finder = KnownFinder.of(*SEEDS, drawn=FIELD)
    return tuple(score_laboratories(read_field_sets(folder), finder, look, adaptation()))


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

    def corners(images: Sequence[Image.Image]) -> tuple[np.ndarray, list[Prediction | Refusal]]:
        seen.append(tuple(image.getpixel((0, 0)) == (0, 0, 0) for image in images))
        return look(images)

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
    (score,) = score_laboratories(one, finder, look, adaptation())
    assert (score.cut, score.parasitized, score.scores, score.gains) == (OUTLINE, 0, None, ())
    assert set(score.called["balanced"]) == {"specificity"}
    assert expectation(score).endswith("not trained on).")
    assert score.outcomes["refused Parasitized"].total == 0


def _png(jpeg: Path) -> Path:
    path = jpeg.with_suffix(".png")
    Image.fromarray(drawn(int(jpeg.stem))[0]).save(path)
    return path


def test_refused_doubted_and_lost_cells_are_counted(tmp_path: Path) -> None:
    sets = read_field_sets(write_boxes(tmp_path, (1, 2), FEW))
    # The finder knows one of the two fields.
    by_outline, by_box = score_laboratories(sets, KnownFinder.of(1, drawn=FEW), look, adaptation())
    assert by_box.lost == {"Parasitized": 0, "Uninfected": 0}
    assert by_outline.lost["Parasitized"] == by_box.parasitized - by_outline.parasitized > 0
    number = by_box.parasitized + by_box.uninfected
    refused = [by_box.outcomes[f"refused {label}"] for label in ("Parasitized", "Uninfected")]
    assert [one.total for one in refused] == [by_box.parasitized, by_box.uninfected]
    assert sum(one.hits or 0 for one in refused) == len(range(0, number, 10))
    assert by_box.outcomes["site_warning"].hits == len(range(1, number, 5))
    assert by_box.outcomes["poor_quality"].value == 0


def test_fields_that_were_trained_on_or_kept_for_choosing_are_left_out(tmp_path: Path) -> None:
    sets, parent = read_field_sets(write_boxes(tmp_path, range(1, 8), FEW)), adaptation()
    learnt = borrowed_fields([field.name for field in sets[0].fields])
    parent.metadata = replace(parent.metadata, borrowed={sets[0].name: learnt})
    finder = KnownFinder.of(*range(1, 8), drawn=FEW)
    scored = list(score_laboratories(sets, finder, look, parent))
    # 1, 4 and 7 are held out, and 4 is for choosing.
    assert [one.fields for one in scored] == [2, 2]
    assert finder.looked_at == 2
    assert all("kept for choosing" in one.basis for one in scored)
    parent.metadata = replace(
        parent.metadata, borrowed={sets[0].name: tuple(field.name for field in sets[0].fields)}
    )
    with refused(FieldAnnotationError, "no_fields"):
        list(score_laboratories(sets, finder, look, parent))


def test_an_adapted_model_is_not_scored_in_fields_that_it_was_adapted_to(tmp_path: Path) -> None:
    sets, adapted = read_field_sets(write_boxes(tmp_path, SEEDS, FEW)), adaptation()
    described = Parent("export.pkl", "0" * 64, 20, 60, 2, (0.9, 0.9), (0.9, 0.9))
    for groups, fields in ((("1", "3.png"), 1), (("elsewhere",), 3)):
        side = Side(80, 20, 60, groups)
        adapted.metadata = replace(adapted.metadata, parent=described, test=side)
        scored = score_laboratories(sets, KnownFinder.of(*SEEDS, drawn=FEW), look, adapted)
        for one in scored:
            assert one.fields == fields
            assert "not trained on" not in expectation(one)
            assert "adapted" in one.basis


def test_scores_of_iml_say_that_its_cells_were_looked_at(tmp_path: Path) -> None:
    sets, parent = read_field_sets(write_boxes(tmp_path, (1,), FEW)), adaptation()
    parent.metadata = replace(parent.metadata, settings={"looks": "random"})
    finder = KnownFinder.of(1, drawn=FEW)
    for name, influenced in (("fields_iml", True), ("elsewhere", False)):
        one = next(score_laboratories([replace(sets[0], name=name)], finder, look, parent))
        assert ("influenced how training images are varied" in expectation(one)) == influenced


def test_one_field_has_scores_without_intervals(tmp_path: Path) -> None:
    folder = write_boxes(tmp_path, (1,), FEW)
    one, _ = score_laboratories(read_field_sets(folder), KnownFinder.of(1, drawn=FEW), look, adaptation())
    assert np.isnan(one.called["balanced"]["sensitivity"].low)
    assert one.gains == ()
    path = tmp_path / "laboratories.json"
    path.write_text(to_json(Laboratories.of([one], "command", "0" * 64, "1" * 64)))
    assert np.isnan(read_laboratories(path).laboratories[0].called["balanced"]["sensitivity"].low)


def test_a_network_that_returns_nan_has_no_specificity(tmp_path: Path) -> None:
    sets = read_field_sets(write_boxes(tmp_path, (1,), FEW))

    def astray(images: Sequence[Image.Image]) -> tuple[np.ndarray, list[Prediction | Refusal]]:
        return features(images) * np.nan, look(images)[1]

    with refused(DivergedError, "diverged"):
        list(score_laboratories(sets, KnownFinder.of(1, drawn=FEW), astray, adaptation()))


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
