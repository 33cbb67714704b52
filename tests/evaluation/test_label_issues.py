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
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.corrections import Correction, Corrections, LabelsError
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.cross_validation import HeldOut, write_held_out
from malaria_detect.evaluation.label_issues import (
    CandidateError,
    candidates_from,
    mixed,
    rank_label_errors,
    read_candidates,
    with_corrections,
    write_candidates,
)

PARASITIZED, UNINFECTED = CLASSES


def held_out(
    labels: Sequence[str], probability: Sequence[float], groups: Sequence[str] | None = None
) -> HeldOut:
    """Cells a.png, b.png, ..., each of a patient and a fold of its own unless groups are named."""
    files = tuple(f"{chr(97 + place)}.png" for place in range(len(labels)))
    patients = tuple(groups or (f"P{place}" for place in range(len(labels))))
    folds = tuple(1 + sorted(set(patients)).index(patient) for patient in patients)
    return HeldOut(files, patients, folds, tuple(labels), tuple(probability), corrected=tuple(labels))


EXAMPLE = held_out((PARASITIZED, PARASITIZED, UNINFECTED, UNINFECTED, PARASITIZED), (0.9, 0.2, 0.7, 0.1, 0.2))


def test_the_least_believed_label_comes_first_as_worked_out_by_hand() -> None:
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


def test_a_class_and_a_number_can_be_asked_for() -> None:
    assert [one.file for one in rank_label_errors(EXAMPLE, label=UNINFECTED)] == ["c.png", "d.png"]
    assert [(one.rank, one.file) for one in rank_label_errors(EXAMPLE, label=PARASITIZED, top=2)] == [
        (1, "b.png"),
        (2, "e.png"),
    ]
    assert len(rank_label_errors(EXAMPLE, top=99)) == 5


@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.floats(0, 1)), min_size=1, max_size=20), st.randoms())
@settings(deadline=None)
def test_every_label_is_ranked_once_whatever_the_order_of_the_rows(
    cells: list[tuple[str, float]], random: Random
) -> None:
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
    raw, scaled = (
        HeldOut(
            tuple(f"{place}.png" for place in range(200)),
            ("P",) * 200,
            (1,) * 200,
            tuple(labels),
            tuple((1 / (1 + np.exp(-logits / by))).tolist()),
            tuple(labels),
        )
        for by in (1.0, temperature)
    )
    for label in CLASSES:
        before, after = ([one.file for one in rank_label_errors(cells, label)] for cells in (raw, scaled))
        assert before == after


def test_turned_over_labels_are_found_among_believable_ones() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.5
    turned = rng.random(400) < 0.05
    labels = [CLASSES[0] if one else CLASSES[1] for one in truth ^ turned]
    probability = np.where(truth, rng.beta(8, 1, 400), rng.beta(1, 8, 400))
    cells = HeldOut(
        tuple(f"{place}.png" for place in range(400)),
        ("P",) * 400,
        (1,) * 400,
        tuple(labels),
        tuple(probability.tolist()),
        tuple(labels),
    )
    first = [int(one.file[:-4]) for one in rank_label_errors(cells, top=int(turned.sum()))]
    assert turned[first].mean() > 0.8


@pytest.mark.parametrize(
    ("label", "top", "words"),
    [("infected", None, "no class 'infected'"), (None, 0, "0 candidates were asked")],
)
def test_an_impossible_wish_is_refused(label: str | None, top: int | None, words: str) -> None:
    with pytest.raises(LabelsError, match=words):
        rank_label_errors(EXAMPLE, label, top)


def test_predictions_that_knew_the_patient_are_refused() -> None:
    with pytest.raises(LabelsError, match="Patient P0 was held out in several folds"):
        rank_label_errors(replace(EXAMPLE, groups=("P0", "P0", "P2", "P3", "P4")))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"files": ("a.png", "a.png", "c.png", "d.png", "e.png")}, "a.png stands 2 times"),
        ({"probability": (0.1, math.nan, 0.3, 0.4, 0.5)}, "b.png has the label 'Parasitized' and the prob"),
        ({"labels": (*EXAMPLE.labels[:4], "infected")}, "e.png has the label 'infected'"),
    ],
)
def test_predictions_that_make_no_sense_are_refused(
    changed: dict[str, tuple[object, ...]], words: str
) -> None:
    with pytest.raises(LabelsError, match=words):
        rank_label_errors(replace(EXAMPLE, **changed))  # type: ignore[arg-type]  # wrong on purpose


@given(st.lists(st.sampled_from(CLASSES), max_size=30), st.integers(1, 12))
@settings(deadline=None)
def test_mixed_candidates_are_all_there_and_half_of_a_block_is_of_each_class(
    labels: list[str], block: int
) -> None:
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


# Files


def test_candidates_come_from_a_file_of_predictions_and_go_to_a_file(tmp_path: Path) -> None:
    write_held_out(EXAMPLE, tmp_path / "predictions.csv")
    candidates = candidates_from(tmp_path / "predictions.csv", top=3)
    write_candidates(candidates, tmp_path / "candidate-label-errors.csv")
    assert (tmp_path / "candidate-label-errors.csv").read_text(encoding="utf-8").splitlines() == [
        "rank,file,patient_group,label,believed",
        "1,b.png,P1,Parasitized,0.2",
        "2,e.png,P4,Parasitized,0.2",
        "3,c.png,P2,Uninfected,0.3",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "predictions.csv",
        "candidate-label-errors.csv",
    ]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), st.floats(0, 1)
        ),
        max_size=5,
    )
)
@settings(deadline=None, max_examples=20)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]
) -> None:
    path = tmp_path_factory.mktemp("candidates") / "candidate-label-errors.csv"
    candidates = [
        CandidateError(rank, name, f"P{rank}", CLASSES[rank % 2], believed)
        for rank, (name, believed) in enumerate(rows, start=1)
    ]
    write_candidates(candidates, path)
    for written, found in zip(candidates, read_candidates(path), strict=True):
        assert replace(found, believed=written.believed) == written
        assert found.believed == pytest.approx(written.believed, rel=1e-5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has the columns ''"),
        (b"file,label\na.png,Parasitized\n", "has the columns 'file,label'"),
        (b"rank,file,patient_group,label,believed\n1,a.png,P\n", "line 2 has 3 values"),
        (b"rank,file,patient_group,label,believed\none,a.png,P,Parasitized,0.1\n", "line 2: rank 'one'"),
        (b"rank,file,patient_group,label,believed\n1,a.png,P,Infected,0.1\n", "line 2: label 'Infected'"),
        (b"rank,file,patient_group,label,believed\n1,a.png,P,Parasitized,7\n", "believed '7'"),
        (b"rank,file,patient_group,label,believed\n1,a.png,P,Parasitized,nan\n", "believed 'nan'"),
        (b"\xff\xfe\x00", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_file_of_candidates_is_refused_in_a_sentence(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "candidate-label-errors.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MalariaDetectError, match=words) as refusal:
        read_candidates(path)
    assert "\n" not in str(refusal.value)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(MalariaDetectError, match="cannot be written"):
        write_candidates((), tmp_path / "nowhere" / "candidate-label-errors.csv")


def test_ranking_and_corrections_cost_no_torch() -> None:
    code = (
        "import sys, malaria_detect.evaluation.label_issues, malaria_detect.data.corrections\n"
        "print(sorted({'torch', 'fastai'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "[]\n")


def test_held_out_predictions_keep_the_published_labels_next_to_the_corrected_ones() -> None:
    labels = ("Parasitized", "Uninfected", "Uninfected", "Parasitized")
    files = ("a.png", "b.png", "c.png", "d.png")
    held_out = HeldOut(files, ("P",) * 4, (1,) * 4, labels, (0.1, 0.2, 0.3, 0.4), labels)
    verdicts = (Correction("a.png", "Parasitized", "disagree"), Correction("c.png", "Uninfected", "unsure"))
    corrected = with_corrections(held_out, Corrections(verdicts))
    assert corrected.corrected == ("Uninfected", "Uninfected", "", "Parasitized")
    assert (corrected.labels, corrected.probability) == (labels, held_out.probability)
