import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from malaria_detect.core.csv_io import CsvError
from malaria_detect.core.json_io import to_json
from malaria_detect.inference.calibrate import Assessment, Logits, assess, read_logits, write_logits
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.inference.model_files import graph_path, metadata_path, read_metadata, sha256_of
from malaria_detect.training.recalibrate import logits_path, recalibrate
from tests.refused import refused


def made_up(patients: int, seed: int) -> Logits:
    """Over-cautious logits: three times too small, so that the temperature must be near a third."""
    random = np.random.default_rng(seed)
    cells = 100 * patients
    logits = random.normal(0, 4, cells)
    parasitized = random.uniform(size=cells) < 1 / (1 + np.exp(-logits))
    labels = tuple("Parasitized" if one else "Uninfected" for one in parasitized)
    return Logits(
        files=tuple(f"{seed}-{index}.png" for index in range(cells)),
        groups=tuple(f"{seed}-P{index % patients}" for index in range(cells)),
        labels=labels,
        corrected=labels,
        values=tuple(float(value) for value in logits / 3),
    )


@pytest.fixture(scope="module")
def sides() -> tuple[Logits, Logits]:
    return made_up(20, seed=1), made_up(20, seed=2)


@pytest.fixture(scope="module")
def assessment(sides: tuple[Logits, Logits]) -> Assessment:
    return assess(*sides)


def test_the_temperature_makes_probabilities_honest_on_other_patients(assessment: Assessment) -> None:
    assert assessment.temperature == pytest.approx(1 / 3, rel=0.1)
    calibrated = assessment.operating_points[0].test.estimates["ece"].value
    assert calibrated < 0.5 * assessment.ece_raw


def test_operating_points_keep_their_promise_where_they_were_chosen(assessment: Assessment) -> None:
    screening, balanced, counting = assessment.operating_points
    assert (screening.name, balanced.name, counting.name) == ("screening", "balanced", "counting")
    assert screening.validation.estimates["sensitivity"].value >= 0.97
    assert counting.validation.estimates["specificity"].value >= 0.995
    assert screening.threshold < balanced.threshold < counting.threshold
    assert assessment.default_point == "balanced"


def test_test_patients_choose_nothing(sides: tuple[Logits, Logits], assessment: Assessment) -> None:
    other = assess(sides[0], made_up(20, seed=3))
    assert other.temperature == assessment.temperature
    assert other.uncertainty.below == assessment.uncertainty.below
    for one, another in zip(other.operating_points, assessment.operating_points, strict=True):
        assert (one.threshold, one.validation) == (another.threshold, another.validation)


def test_a_tenth_of_the_validation_cells_is_uncertain_and_most_mistakes_are_among_them(
    assessment: Assessment,
) -> None:
    uncertainty = assessment.uncertainty
    assert uncertainty.validation_share == pytest.approx(0.1, abs=0.01)
    assert uncertainty.test_caught > uncertainty.test_share


def test_corrected_labels_are_scored_too(sides: tuple[Logits, Logits], assessment: Assessment) -> None:
    validation, test = sides
    assert assessment.corrected_test is None
    corrected = assess(validation, replace(test, corrected=("", *test.labels[1:])))
    assert corrected.corrected_test is not None
    assert corrected.corrected_test.cells == len(test.files) - 1


def test_logits_come_back_as_they_were_written(sides: tuple[Logits, Logits], tmp_path: Path) -> None:
    write_logits(*sides, tmp_path / "cells.csv")
    for given, read in zip(sides, read_logits(tmp_path / "cells.csv"), strict=True):
        assert sorted(read.files) == sorted(given.files)
        assert dict(zip(read.files, read.values, strict=True)) == pytest.approx(
            dict(zip(given.files, given.values, strict=True)), rel=1e-6
        )


@pytest.mark.parametrize(
    "row",
    [
        "a,P1,train,Uninfected,Uninfected,1",
        "a,P1,test,healthy,Uninfected,1",
        "a,P1,test,,Uninfected,1",
        "a,P1,test,Uninfected,perhaps,1",
        "a,P1,test,Uninfected,Uninfected,inf",
        "a,P1,test,Uninfected,Uninfected,high",
        "",
    ],
)
def test_a_row_that_is_no_logit_and_a_side_without_cells_are_refused(row: str, tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_text(f"file,patient_group,side,label,corrected,logit\n{row}\n", encoding="utf-8")
    place, reason = ("line 2", "bad_row") if row else (file, "no_cells")
    with refused(CsvError, reason, naming=place):
        read_logits(file)


@pytest.fixture
def shipped_copy(pair: Path, shipped_model: Path) -> Path:
    """A copy of the shipped model with its metadata and logits."""
    logits_path(pair).parent.mkdir()
    shutil.copy(logits_path(shipped_model), logits_path(pair))
    return pair


def nearly(given: object) -> object:
    """Numbers without their last digits, in which processors differ."""
    if isinstance(given, dict):
        return {name: nearly(inner) for name, inner in given.items()}
    if isinstance(given, list):
        return [nearly(inner) for inner in given]
    return float(f"{given:.6g}") if isinstance(given, float) else given


def test_the_shipped_metadata_follows_from_the_shipped_logits(shipped_copy: Path) -> None:
    before = json.loads(to_json(read_metadata(shipped_copy)))
    recalibrate(shipped_copy)
    assert nearly(json.loads(metadata_path(shipped_copy).read_text(encoding="utf-8"))) == nearly(before)


def test_calibrating_makes_a_missing_runtime_form_again(shipped_copy: Path) -> None:
    graph_path(shipped_copy).unlink()
    renewed = recalibrate(shipped_copy)
    assert renewed.graph_sha256 == sha256_of(graph_path(shipped_copy))


def test_logits_of_another_model_are_refused(shipped_copy: Path, sides: tuple[Logits, Logits]) -> None:
    write_logits(*sides, logits_path(shipped_copy))
    before = read_metadata(shipped_copy)
    with pytest.raises(MetadataError):
        recalibrate(shipped_copy)
    assert read_metadata(shipped_copy) == before
