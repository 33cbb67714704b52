"""README's numbers are those of the passport and of the benchmarks' reports."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from malaria_detect.metrics import Scores, score
from malaria_detect.passport import Passport, passport_path, sha256_of, to_json
from malaria_detect.report import main, numbers, speed
from tests.widgets.fakes import made_up_passport

BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"
SPEED_BEGIN, SPEED_END = "<!-- speed:begin -->", "<!-- speed:end -->"
MACHINE = {"processor": "abacus", "bfloat16": False, "cores": 2, "torch": "2.14.1", "date": "2026-01-31"}
TRAIN_SPEED = {
    "rows": [
        {
            "size": 96,
            "ours_cells_per_s": 90.0,
            "plain_cells_per_s": 30.0,
            "ratio": 3.0,
            "squares_cells_per_s": 800.0,
        }
    ],
    "machine": MACHINE,
}
PREDICT_SPEED = {
    "cells_per_s": {"predict_many": 60.0, "learn.predict": 5.0, "get_preds": 25.0},
    "ratio_to_learn_predict": 12.0,
    "ratio_to_get_preds": 2.4,
    "machine": MACHINE,
}
PROJECT = Path(__file__).resolve().parent.parent


def made_up_scores(seed: int) -> Scores:
    rng = np.random.default_rng(seed)
    labels = rng.random(400) < 0.5
    probability = np.clip(labels * 0.4 + rng.random(400) * 0.6, 0, 1)
    return score(labels, probability, [f"P{number % 20}" for number in range(400)], resamples=50)


def passport_of(model: Path) -> Passport:
    """A made-up passport that a file of any content matches."""
    return replace(
        made_up_passport(),
        sha256=sha256_of(model),
        size_bytes=model.stat().st_size,
        validation_scores=made_up_scores(seed=1),
        test_scores=made_up_scores(seed=2),
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file with a true passport; nobody opens it."""
    path = tmp_path / "export.pkl"
    path.write_bytes(b"not opened")
    passport_path(path).write_text(to_json(passport_of(path)), encoding="utf-8")
    return path


@pytest.fixture
def readme(tmp_path: Path, model: Path) -> Path:
    """A README with its numbers written."""
    path = tmp_path / "README.md"
    path.write_text(
        f"# Cells\n\n{BEGIN}\n{END}\n\nSpeed.\n{SPEED_BEGIN}{SPEED_END}\n\nMore.\n", encoding="utf-8"
    )
    for name, content in (("train-speed.json", TRAIN_SPEED), ("predict-speed.json", PREDICT_SPEED)):
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    assert run(path, model) == 0
    return path


def run(readme: Path, model: Path, *options: str) -> int:
    return main(["--readme", str(readme), "--model", str(model), "--reports", str(readme.parent), *options])


def test_readme_shows_the_numbers_of_the_shipped_passport_and_reports() -> None:
    files = (
        "--readme",
        PROJECT / "README.md",
        "--model",
        PROJECT / "export.pkl",
        "--reports",
        PROJECT / "reports",
    )
    assert main([*map(str, files), "--check"]) == 0


def test_speed_is_what_the_benchmarks_wrote() -> None:
    block = speed(TRAIN_SPEED, PREDICT_SPEED)
    assert "| 96 px | 90.0 | 30.0 | 3.0 | 800 |" in block
    assert (
        "does 60.0 cells/s: 12.0 times a loop of `learn.predict` (5.0) and 2.4 times `get_preds` (25.0)"
        in block
    )
    assert "2 cores (abacus, without bfloat16), torch 2.14.1, 2026-01-31." in block


def test_check_notices_a_new_measurement(readme: Path, model: Path) -> None:
    slower = {**PREDICT_SPEED, "ratio_to_get_preds": 1.1}
    (readme.parent / "predict-speed.json").write_text(json.dumps(slower), encoding="utf-8")
    assert run(readme, model, "--check") == 1


def test_numbers_are_those_of_the_test_patients(model: Path) -> None:
    passport = passport_of(model)
    scores, block = passport.test_scores, numbers(passport)
    sensitivity = scores.estimates["sensitivity"]
    correct = scores.true_positive + scores.true_negative
    assert f"| accuracy | {correct / 400:.3f} |" in block
    assert (
        f"| sensitivity | {sensitivity.value:.3f} | {sensitivity.low:.3f} to {sensitivity.high:.3f} |"
        in block
    )
    assert f"| {scores.true_positive} of {scores.parasitized} |" in block
    assert f"| labelled uninfected | {scores.false_positive} | {scores.true_negative} |" in block


def test_writing_twice_changes_nothing_and_leaves_the_rest_alone(readme: Path, model: Path) -> None:
    first = readme.read_text(encoding="utf-8")
    assert first.startswith(f"# Cells\n\n{BEGIN}\nMeasured on 400 cells of 20 patients")
    assert first.endswith(f"{SPEED_END}\n\nMore.\n")
    assert run(readme, model, "--check") == 0
    assert run(readme, model) == 0
    assert readme.read_text(encoding="utf-8") == first


def test_check_notices_a_changed_number_and_writes_nothing(
    readme: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    true = readme.read_text(encoding="utf-8")
    flattering = true.replace("| accuracy | 0.", "| accuracy | 1.")
    assert flattering != true
    readme.write_text(flattering, encoding="utf-8")
    assert run(readme, model, "--check") == 1
    assert "make report" in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == flattering
    assert run(readme, model) == 0
    assert readme.read_text(encoding="utf-8") == true


def test_check_notices_a_new_passport(readme: Path, model: Path) -> None:
    passport_path(model).unlink()
    model.write_bytes(b"trained anew")
    passport_path(model).write_text(to_json(passport_of(model)), encoding="utf-8")
    assert run(readme, model, "--check") == 1


@pytest.mark.parametrize("text", ["no marks", BEGIN, END, f"{BEGIN}\n{END}\n{BEGIN}"])
def test_a_readme_without_a_place_for_the_numbers_is_refused(
    text: str, readme: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme.write_text(text, encoding="utf-8")
    assert run(readme, model) == 2
    assert BEGIN in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == text


def test_a_model_without_a_passport_is_refused_in_one_line(
    readme: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passport_path(model).unlink()
    assert run(readme, model) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
