import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.evaluation.cross_validation import (
    CrossValidationError,
    HeldOut,
    Run,
    compare_splits,
    read_evaluation,
    read_held_out,
    read_run,
    summarise,
    write_held_out,
)
from malaria_detect.inference.metadata import StartWeights
from tests.refused import refused


def held_out(split: str) -> HeldOut:
    """Made-up predictions: every tenth is wrong in the grouped folds, every twentieth in the random split."""
    every, kept = (10, range(200)) if split == "grouped" else (20, range(0, 200, 3))
    labels = tuple("Parasitized" if index % 2 else "Uninfected" for index in kept)
    return HeldOut(
        files=tuple(f"P{index % 20}_IMG_1_cell_{index}.png" for index in kept),
        groups=tuple(f"P{index % 20}" for index in kept),
        folds=tuple(index % 5 + 1 if split == "grouped" else 1 for index in kept),
        labels=labels,
        # Above 0.5 for parasitized cells, unless the prediction is wrong.
        probability=tuple(
            round((0.9 if (index % 2) == (index % every != 3) else 0.1) - index / 4000, 6) for index in kept
        ),
        corrected=labels,
    )


def run(split: str) -> Run:
    return Run(
        split=split,
        folds=5 if split == "grouped" else 1,
        settings={"sizes": [64, 96], "seed": 13, "valid": 0.2, "test": 0.0},
        cells="fingerprint",
        start=StartWeights("none", "random", "", 0, 218, ()),
        histories=(),
        versions={"python": "3.11"},
        created="2026-01-31",
    )


def test_predictions_are_read_as_they_were_written_by_class_and_name(tmp_path: Path) -> None:
    given = held_out("grouped")
    write_held_out(given, tmp_path / "a.csv")
    read = read_held_out(tmp_path / "a.csv")
    assert list(zip(read.labels, read.files, strict=True)) == sorted(
        zip(given.labels, given.files, strict=True)
    )
    assert set(zip(*vars(read).values(), strict=True)) == set(zip(*vars(given).values(), strict=True))


@pytest.mark.parametrize(
    "row",
    [
        "a,P1,one,Uninfected,0.5,Uninfected",
        "a,P1,1,Uninfected,high,Uninfected",
        "a,P1,1,Uninfected,1.5,Uninfected",
        "a,P1,1,Uninfected,nan,Uninfected",
        "a,P1,1,healthy,0.5,Uninfected",
        "a,P1,1,,0.5,Uninfected",
        "a,P1,1,Uninfected,0.5,perhaps",
    ],
)
def test_a_row_that_is_no_prediction_is_refused_with_its_line(tmp_path: Path, row: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"file,patient_group,fold,label,probability,corrected\n{row}\n", encoding="utf-8")
    with pytest.raises(CrossValidationError, match="line 2"):
        read_held_out(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("file,patient_group,fold,label,probability,corrected\n", "empty"),
        ("name,label\na,b\n", "bad_columns"),
        (None, "unreadable"),
    ],
)
def test_an_unfit_table_is_refused(content: str | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with refused(MalariaDetectError, reason):
        read_held_out(file)


def test_a_summary_counts_every_patient_and_scores_all_cells() -> None:
    given = held_out("grouped")
    found = summarise(given, run("grouped"))
    assert found.scores.cells == len(given.files) == sum(one.cells for one in found.patients)
    assert found.scores.estimates["accuracy"].value == pytest.approx(0.9)
    assert len(found.patients) == 20
    assert found.corrected_scores is None
    assert not found.run.patients_on_both_sides


def test_corrected_labels_are_scored_without_unsure_cells() -> None:
    given = held_out("grouped")
    corrected = list(given.labels)
    corrected[3] = "Uninfected"  # the model said so against the published label
    corrected[13] = ""
    found = summarise(replace(given, corrected=tuple(corrected)), run("grouped"))
    assert found.scores.estimates["accuracy"].hits == 180
    assert found.corrected_scores is not None
    assert (found.corrected_scores.cells, found.corrected_scores.estimates["accuracy"].hits) == (199, 181)


def test_leakage_is_measured_on_the_cells_that_both_held_out() -> None:
    grouped, random = held_out("grouped"), held_out("random")
    found = compare_splits((grouped, run("grouped")), (random, run("random")))
    assert found.leakage_cells == len(random.files) == 67
    assert found.random.run.patients_on_both_sides
    # Of the cells 0, 3, 6, … the grouped folds have those wrong that end in 3, the random cut every second of them.
    leakage = found.leakage["accuracy"]
    assert leakage.value == pytest.approx((7 - 4) / 67)
    assert leakage.low < leakage.value < leakage.high


@pytest.mark.parametrize(
    ("second", "changed", "prefix", "reason"),
    [
        ("random", {"settings": {**run("random").settings, "sizes": [224]}}, "", "settings_differ"),
        ("grouped", {}, "", "wrong_splits"),
        ("random", {}, "x", "no_common_cells"),
    ],
)
def test_different_runs_are_not_compared(
    second: str, changed: dict[str, Any], prefix: str, reason: str
) -> None:
    cells = held_out(second)
    cells = replace(cells, files=tuple(f"{prefix}{file}" for file in cells.files))
    with refused(CrossValidationError, reason):
        compare_splits((held_out("grouped"), run("grouped")), (cells, replace(run(second), **changed)))


def test_an_evaluation_is_read_as_it_was_written(tmp_path: Path) -> None:
    given = compare_splits((held_out("grouped"), run("grouped")), (held_out("random"), run("random")))
    file = tmp_path / "evaluation.json"
    file.write_text(to_json(given), encoding="utf-8")
    assert read_evaluation(file) == given
    file.write_text(json.dumps({**json.loads(to_json(given)), "leakage_cells": "many"}), encoding="utf-8")
    with refused(CrossValidationError, "damaged"):
        read_evaluation(file)


def test_a_run_is_read_from_its_two_files(tmp_path: Path) -> None:
    write_held_out(held_out("random"), tmp_path / "a.csv")
    with refused(CrossValidationError, "missing"):
        read_run(tmp_path / "a.csv")
    (tmp_path / "a.json").write_text(to_json(run("random")), encoding="utf-8")
    assert read_run(tmp_path / "a.csv")[1] == run("random")
