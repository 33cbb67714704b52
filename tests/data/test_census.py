"""The census in file names: against the published one where it is at hand, and on made-up names."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malaria_detect.data.census import (
    CensusError,
    FieldCensus,
    PatientCensus,
    field_census,
    patient_census,
)
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, patient_group
from malaria_detect.evaluation.cross_validation import read_held_out
from tests.refused import refused

Names = list[tuple[str, str]]


def named(field: str, uninfected: list[int], parasitized: list[int]) -> Names:
    numbers = zip(CLASSES, (parasitized, uninfected), strict=True)
    return [(label, f"{field}_cell_{number}.png") for label, some in numbers for number in some]


def published(table: Path) -> dict[tuple[str, str], tuple[int, int, int, bool]]:
    """Counts by patient group and field, from the table beside the real cells."""
    with table.open(newline="", encoding="utf-8") as file:
        return {
            (patient_group(f"{row['patient']}_{row['field']}"), row["field"]): (
                int(row["parasitized"]),
                int(row["uninfected_in_dataset"]),
                int(row["cells_total"]),
                row["exact"] == "yes",
            )
            for row in csv.DictReader(file)
        }


def test_the_census_of_all_cells_is_the_published_one() -> None:
    table = Path(os.environ.get(CELLS_VARIABLE, "")).resolve().parent / "census.csv"
    if table.is_file():
        expected = published(table)
        predictions = read_held_out(Path(__file__).parents[2] / "reports" / "crossval-grouped.csv")
        names = [*zip(predictions.labels, predictions.files, strict=True)]
    else:
        expected = {("C1P1", "IMG_7"): (3, 2, 20, True), ("C1P1", "IMG_8"): (0, 3, 39, False)}
        names = named("C1P1_IMG_7", [2, 9], [18, 19, 20]) + named("C1P1_IMG_8", [4, 20, 30], [])
    found = {
        (one.group, one.field): (one.parasitized, one.sampled, one.cells, one.exact)
        for one in field_census(names)
    }
    assert found == expected


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_a_field_with_a_parasitized_cell_is_counted_exactly_whatever_is_sampled(
    uninfected: int, parasitized: int, data: st.DataObject
) -> None:
    sampled = data.draw(st.sets(st.integers(1, uninfected)))
    cells = uninfected + parasitized
    names = named("C1P1_IMG_7", sorted(sampled), list(range(uninfected + 1, cells + 1)))
    (found,) = field_census(data.draw(st.permutations(names)))
    assert found == FieldCensus("C1P1", "IMG_7", parasitized, len(sampled), cells, exact=True)


def test_a_field_without_parasitized_cells_is_right_on_average() -> None:
    rng = np.random.default_rng(0)
    fields = [rng.choice(200, 12, replace=False) + 1 for _ in range(2000)]
    names = [name for n, some in enumerate(fields) for name in named(f"C1P1_IMG_{n}", some.tolist(), [])]
    found = field_census(names)
    assert not any(one.exact for one in found)
    assert np.mean([one.cells for one in found]) == pytest.approx(200, abs=1)


def test_the_fields_of_a_patient_are_added_up() -> None:
    names = [
        *named("C1P1_IMG_7", [1, 5], [9, 10]),
        *named("C1P1_IMG_8", [3, 20], []),
        *named("C47P8thin_Original_Motic_IMG_1", [2], [3]),
        *named("C47P8thinOriginalOlympusCX21_IMG_1", [4], []),
    ]
    motic = "C47P8thinOriginalOlympusCX21"
    patients = patient_census(field_census(names))
    assert patients["C1P1"] == PatientCensus("C1P1", 2, 4, 10 + 29, exact=False)
    assert patients[motic].parasitemia == pytest.approx(1 / (3 + 7))


@pytest.mark.parametrize(
    ("uninfected", "parasitized"),
    [([1], [8, 10]), ([9], [9, 10]), ([11], [9, 10]), ([1], [9, 9])],
    ids=["gap", "the same number", "uninfected last", "twice"],
)
def test_numbers_that_are_no_census_are_refused(uninfected: list[int], parasitized: list[int]) -> None:
    with refused(CensusError, "incomplete", naming="C1P1_IMG_7"):
        field_census(named("C1P1_IMG_7", uninfected, parasitized))


def test_names_of_other_laboratories_are_refused() -> None:
    with refused(CensusError, "bad_name", naming="P1/a.png"):
        field_census([("Uninfected", "P1/a.png")])
