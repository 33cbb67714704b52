"""Adapting to a laboratory: what few cells change, what stays at home, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from malaria_detect.evaluation.site_adaptation import gain_curve
from malaria_detect.inference.adapt import Adaptation, AdaptError, SiteCells
from malaria_detect.inference.adapted import adapted_metadata
from malaria_detect.inference.head import Change
from malaria_detect.inference.judge import Judgement, folds, judge
from tests.inference.known_sites import AWAY, FEATURES, HOME, adaptation, cells_of, plain_head
from tests.refused import refused


@pytest.fixture(scope="module")
def parent() -> Adaptation:
    return adaptation()


@pytest.fixture(scope="module")
def judged(parent: Adaptation) -> Judgement:
    return judge(parent, cells_of(AWAY, (20, 60), seed=4))


def auc(parent: Adaptation, cells: SiteCells, change: Change | None = None) -> float:
    return float(roc_auc_score(cells.parasitized, parent.log_odds(cells.features, change)))


def test_cells_of_a_laboratory_improve_the_answers_there_and_keep_those_at_home(parent: Adaptation) -> None:
    unseen = cells_of(AWAY, (500, 500), seed=2)
    scores = [
        auc(parent, unseen, parent.fit(cells_of(AWAY, (number, 3 * number), seed=1)))
        for number in (10, 50, 200)
    ]
    assert auc(parent, unseen) < scores[0] < scores[1] < scores[2] + 0.001
    change = parent.fit(cells_of(AWAY, (200, 600), seed=1))
    assert parent.home_auc() - parent.home_auc(change) < 0.002


def test_cells_that_the_parent_expects_change_little(parent: Adaptation) -> None:
    usual, strange = (parent.fit(cells_of(shift, (50, 50), seed=3)) for shift in (HOME, AWAY))
    assert np.abs(usual.weights).max() < 0.3 * np.abs(strange.weights).max()


def test_the_share_of_parasitized_cells_among_the_labelled_ones_does_not_move_the_answers(
    parent: Adaptation,
) -> None:
    unseen = cells_of(AWAY, (500, 500), seed=2)
    means = [
        parent.log_odds(unseen.features, parent.fit(cells_of(AWAY, numbers, seed=1))).mean()
        for numbers in ((100, 100), (100, 800), (800, 100))
    ]
    assert np.ptp(means) < 0.5


def test_a_judgement_agrees_with_cells_that_nobody_has_seen(parent: Adaptation, judged: Judgement) -> None:
    unseen = cells_of(AWAY, (2000, 2000), seed=2)
    for scores, change in ((judged.parent, None), (judged.adapted, judged.change)):
        estimate = scores.estimates["roc_auc"]
        assert estimate.low < auc(parent, unseen, change) < max(estimate.high, 0.999)
    assert judged.gain["roc_auc"].value == pytest.approx(
        judged.adapted.estimates["roc_auc"].value - judged.parent.estimates["roc_auc"].value
    )
    judged.check()


def test_a_model_that_is_not_better_is_refused(parent: Adaptation) -> None:
    cells = cells_of(AWAY, (60, 60), seed=1)
    threshold = logit(parent.metadata.point("balanced").threshold)
    known = replace(cells, parasitized=parent.log_odds(cells.features) >= threshold)
    with refused(AdaptError, "not_better"):
        judge(parent, known).check()


def test_a_gain_that_may_be_chance_is_refused(judged: Judgement) -> None:
    gain = judged.gain
    chance = replace(gain["brier"], high=0.001)
    same, worse = replace(gain["mcc"], value=0.0), replace(gain["roc_auc"], value=-0.001)
    for one in ({"brier": chance}, {"mcc": same}, {"roc_auc": worse}):
        with refused(AdaptError, "not_better"):
            replace(judged, gain=gain | one).check()


def test_what_is_lost_at_home_is_counted_from_the_first_parent(parent: Adaptation, judged: Judgement) -> None:
    cells = cells_of(AWAY, (20, 60), seed=4)
    again = adaptation()
    again.metadata = replace(adapted_metadata(parent, cells, judged), sha256="0" * 64)
    assert judge(again, cells).home_parent == judged.home_parent


def test_an_adapted_model_keeps_thresholds_and_knows_nothing_of_patients(
    parent: Adaptation, judged: Judgement
) -> None:
    metadata = adapted_metadata(parent, cells_of(AWAY, (20, 60), seed=4), judged)
    assert metadata.temperature == parent.metadata.temperature
    for old, new in zip(parent.metadata.operating_points, metadata.operating_points, strict=True):
        assert (new.name, new.threshold, new.patients) == (old.name, old.threshold, ())
    assert metadata.point("balanced").test == judged.adapted


def test_a_model_that_loses_at_home_is_refused(judged: Judgement) -> None:
    with refused(AdaptError, "home_loss"):
        replace(judged, home_adapted=judged.home_parent - 0.003).check()


def test_cells_are_held_out_one_by_one_if_all_are_of_one_patient(parent: Adaptation) -> None:
    judgement = judge(parent, cells_of(AWAY, (12, 20), fields=1, seed=1))
    assert judgement.by_cell
    assert judgement.adapted.patients == 32
    assert np.isfinite(judgement.gain["mcc"].low)


def test_real_fields_stay_together_if_those_of_one_class_cannot(
    parent: Adaptation, judged: Judgement
) -> None:
    cells = cells_of(AWAY, (12, 24), seed=1)
    cells = replace(cells, groups=tuple(np.where(cells.parasitized, "field 1", cells.groups).tolist()))
    judgement = judge(parent, cells)
    assert (judgement.by_cell, judged.by_cell) == (True, False)
    assert judgement.adapted.patients == 12 + 8


def test_a_field_is_never_on_both_sides_of_a_fold(parent: Adaptation) -> None:
    cells = cells_of(AWAY, (40, 40), seed=1)
    # Copies of every cell in its field would betray the answers of cells in other folds.
    random = np.random.default_rng(0)
    mixed = replace(
        cells,
        features=random.normal(size=(80, FEATURES)).astype(np.float32),
        parasitized=np.arange(80) % 8 < 4,
        groups=tuple(f"field {n % 8}" for n in range(80)),
    )
    copied = replace(mixed, features=mixed.features[np.arange(80) % 8])
    assert judge(parent, copied).adapted.estimates["roc_auc"].value < 0.8


@pytest.mark.parametrize(
    ("numbers", "fields"), [((20, 60), 8), ((37, 411), 60), ((200, 100), 2), ((12, 15), 3)]
)
def test_folds_hold_out_every_field_once_with_similar_shares_of_both_classes(
    numbers: tuple[int, int], fields: int
) -> None:
    cells = cells_of(AWAY, numbers, fields)
    dealt = list(folds(cells, seed=1))
    assert len(dealt) == min(5, fields)
    assert sorted(np.concatenate([held_out for _, held_out in dealt])) == list(range(sum(numbers)))
    for learnt, held_out in dealt:
        assert {cells.groups[index] for index in learnt}.isdisjoint(cells.groups[index] for index in held_out)
        assert len(learnt) + len(held_out) == sum(numbers)
        for of_class in (cells.parasitized, ~cells.parasitized):
            # As close to an equal share of the class as one more or one less field allows.
            assert of_class[held_out].sum() / of_class.sum() == pytest.approx(1 / len(dealt), abs=1 / fields)
    again, other = (list(folds(cells, seed)) for seed in (1, 2))
    assert all((one[1] == two[1]).all() for one, two in zip(dealt, again, strict=True))
    assert fields == 2 or any(set(one[1]) != set(two[1]) for one, two in zip(dealt, other, strict=True))


def test_folds_keep_a_class_of_two_fields_on_both_sides() -> None:
    cells = replace(
        cells_of(AWAY, (20, 60)), groups=tuple(f"{n < 20}{n % (2 if n < 20 else 7)}" for n in range(80))
    )
    for sides in folds(cells, seed=0):
        assert all(cells.parasitized[side].any() and not cells.parasitized[side].all() for side in sides)


@pytest.mark.parametrize(
    ("numbers", "more"), [((9, 60), "1 more Parasitized"), ((20, 0), "10 more Uninfected")]
)
def test_too_few_cells_say_how_many_more_are_needed(
    parent: Adaptation, numbers: tuple[int, int], more: str
) -> None:
    with refused(AdaptError, "too_few", naming=more):
        judge(parent, cells_of(AWAY, numbers))


def test_a_model_without_references_or_of_another_design_is_refused(parent: Adaptation) -> None:
    with refused(AdaptError, "no_references"):
        Adaptation(plain_head(), parent.metadata, None)
    with refused(AdaptError, "other_design"):
        Adaptation(None, parent.metadata, parent.references)


def test_the_gain_curve_rises_with_the_number_of_cells(parent: Adaptation) -> None:
    cells = cells_of(AWAY, (150, 600), fields=40, seed=1)
    gains = gain_curve(parent, cells, numbers=((10, 30), (50, 150), (150, 600)), draws=4)
    # With all cells drawn none is left to check.
    assert [(one.parasitized, one.uninfected) for one in gains] == [(10, 30), (50, 150)]
    few, many = gains
    assert few.before["roc_auc"].mean < few.after["roc_auc"].mean < many.after["roc_auc"].mean
    assert all(one.home.mean > -0.002 for one in gains)
    for one in gains:
        for name, gain in one.gain.items():
            assert gain.value == pytest.approx(one.after[name].mean - one.before[name].mean)
            assert gain.low < gain.value < gain.high
    assert many.gain["roc_auc"].low > 0


def test_cells_of_home_move_no_operating_point(parent: Adaptation) -> None:
    labels = parent.home.parasitized
    moved = []
    for seed in range(4):
        change = parent.fit(cells_of(HOME, (20, 60), seed=seed))
        before, after = (parent.log_odds(parent.home.features, one) for one in (None, change))
        for point in parent.metadata.operating_points:
            called = [odds >= logit(point.threshold) for odds in (before, after)]
            calls = called[1].astype(int) - called[0]
            moved.append([calls[labels == kind].mean() for kind in (True, False)])
    assert np.abs(np.mean(np.reshape(moved, (4, -1, 2)), axis=0)).max() <= 0.02
