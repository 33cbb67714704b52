"""Training, cross-validation and checks of a laboratory's own cells, to the end."""

import csv
import json
import re
from pathlib import Path

import pytest
from fastai.vision.all import load_learner
from PIL import Image

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.evaluation.cross_validation import read_run
from malaria_detect.inference.model_files import read_metadata
from tests.cli.conftest import Run
from tests.drawn import PATIENTS

SHORT = ("--network", "small-cnn-64", "--epochs", "1")
PARTS = ("train", "train", "valid", "test")


@pytest.fixture
def table(laboratory: Path, tmp_path: Path) -> Path:
    """A CSV file of these cells, with a split; every second parasitized cell is left out."""
    rows = [
        (path, label, path.parent.name, PARTS[PATIENTS.index(path.parent.name) % 4])
        for label in CLASSES
        for path in sorted((laboratory / label).glob("*/*"))[:: 2 if label == CLASSES[0] else 1]
    ]
    with (tmp_path / "cells.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([("path", "label", "patient", "split"), *rows])
    return tmp_path / "cells.csv"


def test_a_model_of_listed_cells_keeps_their_split_and_predicts(
    run: Run, laboratory: Path, table: Path, tmp_path: Path
) -> None:
    model, work = tmp_path / "own.pkl", tmp_path / "work"
    words = ("--cells", table, "--work", work, "--output", model, "--class-weights", "balanced")
    ran = run("train", *SHORT, *words)
    assert ran.status == 0
    last = next(line for line in ran.out.splitlines() if line.startswith(f"{model} written"))
    assert re.search(r"sensitivity [\d.]+ \(\d of 3 cells\), specificity [\d.]+ \(\d of 6 cells\)", last)
    metadata = read_metadata(model)
    sides = [metadata.train, metadata.valid, metadata.test]
    assert [set(side.groups) for side in sides] == [
        {patient for number, patient in enumerate(PATIENTS) if PARTS[number % 4] == part}
        for part in ("train", "valid", "test")
    ]
    assert metadata.settings["class_weights"] == "balanced"
    assert b"malaria_detect" not in model.read_bytes()
    learner = load_learner(model)
    assert list(learner.dls.vocab) == list(CLASSES)
    assert learner.loss_func.func.weight.tolist() == pytest.approx([1.5, 0.75])
    rows = json.loads(run("predict", "--model", model, "--json", laboratory / "Uninfected" / "P0").out)
    assert [row["decision"] in CLASSES for row in rows] == [True, True]


def test_cells_in_folders_of_patients_are_cross_validated(run: Run, laboratory: Path, tmp_path: Path) -> None:
    words = (
        "--cells",
        laboratory,
        "--work",
        tmp_path / "work",
        "--output",
        tmp_path / "own.csv",
        "--folds",
        "2",
    )
    assert run("evaluate", *SHORT, *words).status == 0
    held_out, _ = read_run(tmp_path / "own.csv")
    assert len(set(held_out.files)) == 48
    assert set(held_out.groups) == set(PATIENTS)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", ""),
        ("explain", ""),
        ("cells", "check", "--cells", ""),
        ("cells", "fetch", "--to", ""),
        ("train", "--cells", ""),
        ("evaluate", "--cells", ""),
    ],
)
def test_an_empty_path_is_refused_by_every_command(run: Run, words: tuple[str, ...]) -> None:
    ran = run(*words)
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1


def test_a_check_reports_grey_cells_and_counts_one_patient_as_one(run: Run, tmp_path: Path) -> None:
    for label in CLASSES:
        (tmp_path / label / "P1").mkdir(parents=True)
        ramp = Image.linear_gradient("L").resize((100, 100))
        (ramp if label == CLASSES[0] else ramp.rotate(90)).save(tmp_path / label / "P1" / "a.png")
    ran = run("cells", "check", "--cells", tmp_path)
    assert ran.out.splitlines()[:2] == [f"{label}: 1 cell of 1 patient group" for label in CLASSES]
    assert [line.partition(":")[0] for line in ran.err.splitlines()] == ["warning"]


def test_a_check_counts_the_parts_of_a_given_split(run: Run, table: Path) -> None:
    ran = run("cells", "check", "--cells", table)
    assert ran.out.splitlines()[:5] == [
        "Parasitized: 12 cells of 12 patient groups",
        "Uninfected: 24 cells of 12 patient groups",
        "train: 18 cells of 6 patient groups",
        "valid: 9 cells of 3 patient groups",
        "test: 9 cells of 3 patient groups",
    ]
