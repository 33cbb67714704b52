"""Candidate label errors: their order, worked out by hand and by property; complete and damaged files."""

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malaria_detect.data.corrections import Correction, Corrections, LabelsError
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.cross_validation import HeldOut, write_held_out
from malaria_detect.evaluation.label_issues import (
    CandidateError,
    candidates_from,
    mixed,
    rank_label_errors,
    with_corrections,
    write_candidates,
)
from tests.refused import refused

PARASITIZED, UNINFECTED = CLASSES


def held_out(labels: Sequence[str], probability: Sequence[float]) -> HeldOut:
    """Cells a.png, b.png, ..., each of a patient and a fold of its own."""
    places = range(len(labels))
    files, patients = (tuple(f"{chr(97 + n)}.png" for n in places), tuple(f"P{n}" for n in places))
    folds = tuple(n + 1 for n in places)
    return HeldOut(files, patients, folds, tuple(labels), tuple(probability), tuple(labels))


EXAMPLE = held_out((PARASITIZED, PARASITIZED, UNINFECTED, UNINFECTED, PARASITIZED), (0.9, 0.2, 0.7, 0.1, 0.2))


def test_the_least_plausible_label_comes_first_as_worked_out_by_hand() -> None:
    # Uninfected cells are believed 1 - 0.7 and 1 - 0.1; b and e are believed alike and go by name.
    ranked = rank_label_errors(EXAMPLE)
    assert [(one.rank, one.file, one.label, one.patient_group) for one in ranked] == [
        (1, "b.png", PARASITIZED, "P1"),
        (2, "e.png", PARASITIZED, "P4"),
        (3, "c.png", UNINFECTED, "P2"),
        (4, "a.png", PARASITIZED, "P0"),
        (5, "d.png", UNINFECTED, "P3"),
    ]
    assert [one.believed for one in ranked] == pytest.approx([0.2, 0.2, 0.3, 0.9, 0.9])
    assert [one.contradicted for one in ranked] == [True, True, True, False, False]
    assert [one.file for one in rank_label_errors(EXAMPLE, label=UNINFECTED)] == ["c.png", "d.png"]
    two = rank_label_errors(EXAMPLE, label=PARASITIZED, top=2)
    assert [(one.rank, one.file) for one in two] == [(1, "b.png"), (2, "e.png")]
    assert len(rank_label_errors(EXAMPLE, top=99)) == 5


@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.floats(0, 1)), min_size=1, max_size=20), st.randoms())
def test_labels_are_ranked_in_any_order_of_rows(cells: list[tuple[str, float]], random: Random) -> None:
    labels, probability = zip(*cells, strict=True)
    predictions = held_out(labels, probability)
    ranked = rank_label_errors(predictions)
    assert [one.rank for one in ranked] == list(range(1, len(cells) + 1))
    assert sorted(one.file for one in ranked) == sorted(predictions.files)
    assert all(first.believed <= second.believed for first, second in pairwise(ranked))
    order = list(range(len(cells)))
    random.shuffle(order)
    assert rank_label_errors(predictions.cells(order)) == ranked


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_a_temperature_changes_no_order_within_a_class(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 200)
    labels = np.where(rng.random(200) < 0.5, *CLASSES).tolist()
    raw, scaled = (held_out(labels, (1 / (1 + np.exp(-logits / by))).tolist()) for by in (1.0, temperature))
    for label in CLASSES:
        before, after = ([one.file for one in rank_label_errors(cells, label)] for cells in (raw, scaled))
        assert before == after


def test_wrong_labels_are_found_among_plausible_ones() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.5
    wrong = rng.random(400) < 0.05
    labels = np.where(truth ^ wrong, *CLASSES).tolist()
    cells = held_out(labels, np.where(truth, rng.beta(8, 1, 400), rng.beta(1, 8, 400)).tolist())
    first = [cells.files.index(one.file) for one in rank_label_errors(cells, top=int(wrong.sum()))]
    assert wrong[first].mean() > 0.8


@pytest.mark.parametrize(
    ("changed", "label", "top", "reason"),
    [
        ({}, "infected", None, "unknown_class"),
        ({}, None, 0, "top"),
        ({"groups": ("P0", "P0", "P2", "P3", "P4")}, None, None, "leakage"),
        ({"files": ("a.png", "a.png", "c.png", "d.png", "e.png")}, None, None, "twice"),
        ({"probability": (0.1, math.nan, 0.3, 0.4, 0.5)}, None, None, "damaged"),
        ({"labels": (*EXAMPLE.labels[:4], "infected")}, None, None, "damaged"),
    ],
)
def test_wrong_options_and_unfit_predictions_are_refused(
    changed: dict[str, tuple[object, ...]], label: str | None, top: int | None, reason: str
) -> None:
    with refused(LabelsError, reason):
        rank_label_errors(replace(EXAMPLE, **changed), label, top)  # type: ignore[arg-type]  # wrong on purpose


@given(st.lists(st.sampled_from(CLASSES), max_size=30), st.integers(1, 12))
def test_half_of_a_mixed_block_is_of_each_class(labels: list[str], block: int) -> None:
    candidates = [
        CandidateError(rank, f"{rank}.png", "P", label, 0.1) for rank, label in enumerate(labels, start=1)
    ]
    order = mixed(candidates, block)
    assert sorted(order, key=lambda one: one.rank) == candidates
    assert mixed(candidates, block) == order
    even = block + block % 2  # cells come in pairs while there are both classes
    both = min(labels.count(label) for label in CLASSES) * 2 // even
    for start in range(0, both * even, even):
        assert sum(one.label == PARASITIZED for one in order[start : start + even]) == even // 2
    for label in CLASSES:
        first = [one.rank for one in order[: both * even] if one.label == label]
        of_class = [one.rank for one in candidates if one.label == label]
        assert sorted(first) == of_class[: len(first)]


def test_mixed_candidates_do_not_take_turns() -> None:
    candidates = [CandidateError(rank, f"{rank}.png", "P", CLASSES[rank % 2], 0.1) for rank in range(1, 121)]
    order = [one.label for one in mixed(candidates)]
    assert 30 < sum(first == second for first, second in pairwise(order)) < 80


def test_candidates_are_read_from_predictions_and_written(tmp_path: Path) -> None:
    write_held_out(EXAMPLE, tmp_path / "predictions.csv")
    candidates = candidates_from(tmp_path / "predictions.csv", top=3)
    write_candidates(candidates, tmp_path / "candidate-label-errors.csv")
    assert (tmp_path / "candidate-label-errors.csv").read_text(encoding="utf-8-sig").splitlines() == [
        "rank,file,patient_group,label,believed",
        "1,b.png,P1,Parasitized,0.2",
        "2,e.png,P4,Parasitized,0.2",
        "3,c.png,P2,Uninfected,0.3",
    ]


def test_ranking_and_corrections_cost_no_torch() -> None:
    code = (
        "import sys, malaria_detect.evaluation.label_issues, malaria_detect.data.corrections\n"
        "print(sorted({'torch', 'fastai'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "[]\n")


def test_held_out_predictions_keep_the_published_labels_next_to_the_corrected_ones() -> None:
    verdicts = (Correction("a.png", PARASITIZED, "disagree"), Correction("c.png", UNINFECTED, "unsure"))
    corrected = with_corrections(EXAMPLE, Corrections(verdicts))
    assert corrected.corrected == (UNINFECTED, PARASITIZED, "", UNINFECTED, PARASITIZED)
    assert replace(corrected, corrected=EXAMPLE.corrected) == EXAMPLE
