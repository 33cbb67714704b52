"""What becomes of a picture that is foreign, or of another site, whatever the shipped weights take for such."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from malaria_detect.data.images import ImageRefused
from malaria_detect.inference.classifier import Seen
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.foreign import (
    FOREIGN,
    ORDINARY,
    OTHER_SITE,
    KnownCells,
    Screen,
    distances,
    normalised,
)
from malaria_detect.inference.prediction import Prediction, Record, Refusal
from tests.drawn import draw_cell
from tests.refused import refused

LAYERS = 1920  # of a resnet34
NO_MAP = np.zeros((0, 0, 0, 0), np.float32)
NOTHING = Screen(np.zeros(LAYERS, np.float32), offset=-1.0, distance=2.0)


def checking(detector: Detector, screen: Screen) -> Detector:
    """The shipped network with a screen of its own."""
    known = KnownCells(normalised(np.ones((20, 1024), np.float32)), screen)
    return Detector(detector.classifier, detector.metadata, known=known)


@pytest.fixture(scope="module")
def cells() -> list[Image.Image]:
    return [draw_cell(np.random.default_rng(seed), parasitized=bool(seed % 2)) for seed in range(3)]


def test_the_outcome_follows_from_the_layers_and_from_the_distance_to_known_cells() -> None:
    features = np.eye(40, dtype=np.float32)
    known = KnownCells(normalised(np.ones((20, 40), np.float32)), Screen(np.ones(2, np.float32), -3.0, 0.5))
    seen = Seen(
        odds=np.zeros(3),
        features=np.stack([np.ones(40, np.float32), features[0], np.ones(40, np.float32)]),
        layers=np.array([[1, 1], [1, 1], [4, 4]], np.float32),
        map=NO_MAP,
    )
    assert known.outcomes(seen) == [ORDINARY, OTHER_SITE, FOREIGN]


def test_what_is_near_taught_cells_is_of_no_other_site_and_foreign_only_beyond_the_tolerance() -> None:
    own, laboratory, other = (np.tile(row, (20, 1)) for row in np.eye(3, 40, dtype=np.float32))
    screen = Screen(np.ones(1, np.float32), offset=-3.0, distance=0.5, tolerance=2.0)
    known = KnownCells(own, screen)
    adapted = replace(known, taught=laboratory[:10])

    def outcomes(cells: KnownCells, features: np.ndarray, total: float) -> set[str]:
        return set(
            cells.outcomes(Seen(np.zeros(20), features, np.full((20, 1), total**2, np.float32), NO_MAP))
        )

    assert outcomes(known, laboratory, 1) == {OTHER_SITE}
    assert outcomes(adapted, laboratory, 1) == outcomes(adapted, own, 1) == {ORDINARY}
    assert (
        outcomes(known, laboratory, 4)
        == outcomes(adapted, own, 4)
        == outcomes(adapted, other, 4)
        == {FOREIGN}
    )
    assert outcomes(adapted, laboratory, 4) == {ORDINARY}
    assert outcomes(adapted, laboratory, 6) == {FOREIGN}


def test_outcomes_at_a_limit_do_not_depend_on_batches(detector: Detector, cells: list[Image.Image]) -> None:
    assert detector.classifier is not None
    seen = detector.classifier.see(detector.metadata.input_transform(cells))
    assert seen is not None
    weights = np.zeros(LAYERS, np.float32)
    weights[np.argmax(seen.layers.mean(axis=0))] = 1
    scores, features = np.sqrt(seen.layers) @ weights, normalised(seen.features)
    away = distances(features, features[:1])
    for beyond in (1e-3, -1e-3):  # the second cell is very near to both limits
        screen = Screen(weights, beyond - float(scores[1]), float(away[1]) - beyond / 10)
        strict = Detector(detector.classifier, detector.metadata, known=KnownCells(features[:1], screen))
        alone, together = (
            [
                FOREIGN if isinstance(one, Refusal) else OTHER_SITE if one.site_warning else ORDINARY
                for one in strict.predict_many(cells, batch_size=size)
            ]
            for size in (1, 3)
        )
        assert alone == together


def test_a_foreign_picture_is_refused_with_its_code(detector: Detector, cells: list[Image.Image]) -> None:
    strict = checking(detector, replace(NOTHING, offset=1.0))
    with refused(ImageRefused, "foreign"):
        strict.predict(cells[0])
    for answer in strict.predict_many(cells, batch_size=2):
        assert isinstance(answer, Refusal)
        record = Record.of("photograph.png", answer)
        assert (record.refusal, record.decision, record.site_warning) == ("foreign", None, None)


def test_a_cell_of_another_site_is_answered_with_one_warning(
    detector: Detector, cells: list[Image.Image]
) -> None:
    plain, warned = (
        checking(detector, screen).predict(cells[0]) for screen in (NOTHING, replace(NOTHING, distance=-1.0))
    )
    assert (plain.site_warning, warned.site_warning) == (False, True)
    assert warned.warnings == plain.warnings
    assert warned.probabilities == plain.probabilities
    assert warned.uncertain == plain.uncertain
    assert Record.of("cell.png", warned).site_warning


def test_a_model_without_references_refuses_nothing_as_foreign(
    detector: Detector, cells: list[Image.Image]
) -> None:
    answers = Detector(detector.classifier, detector.metadata).predict_many(cells)
    assert not any(isinstance(answer, Refusal) or answer.site_warning for answer in answers)


def test_copies_and_other_operating_points_refuse_the_same(
    detector: Detector, cells: list[Image.Image]
) -> None:
    strict = checking(detector, replace(NOTHING, offset=1.0))
    for same in (strict.at("screening"), pickle.loads(pickle.dumps(strict))):
        (answer,) = same.predict_many(cells[:1])
        assert not isinstance(answer, Prediction)
        assert answer.reason == "foreign"
