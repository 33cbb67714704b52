from pathlib import Path

import pytest

from malaria_detect.data.nlm_cells import Cell, CellsError, find_cells
from malaria_detect.data.splits import folds_of, random_split


@pytest.fixture(scope="module")
def cells(sample_cells: Path) -> tuple[Cell, ...]:
    return find_cells(sample_cells).cells


def test_grouped_folds_hold_every_cell_out_once_and_every_patient_in_one_fold(
    cells: tuple[Cell, ...],
) -> None:
    folds = folds_of(cells, "grouped", 3, seed=5)
    assert sorted(index for fold in folds for index in fold.valid) == list(range(len(cells)))
    for fold in folds:
        assert sorted((*fold.train, *fold.valid)) == list(range(len(cells)))
        assert not fold.test
        sides = [{cells[index].group for index in side} for side in (fold.train, fold.valid)]
        assert not sides[0] & sides[1]
        assert {cells[index].label for index in fold.valid} == {"Parasitized", "Uninfected"}


def test_random_folds_hold_every_cell_out_once_and_leave_patients_on_both_sides(
    cells: tuple[Cell, ...],
) -> None:
    folds = folds_of(cells, "random", 3, seed=5)
    assert sorted(index for fold in folds for index in fold.valid) == list(range(len(cells)))
    sides = [{cells[index].group for index in side} for side in (folds[0].train, folds[0].valid)]
    assert sides[0] & sides[1]


def test_one_random_fold_is_the_cut_of_80_to_20(cells: tuple[Cell, ...]) -> None:
    assert folds_of(cells, "random", 1, seed=13) == (random_split(cells, 0.2, 0.0, seed=13),)


@pytest.mark.parametrize("how", ["grouped", "random"])
def test_folds_depend_on_cells_and_seed_and_on_nothing_else(cells: tuple[Cell, ...], how: str) -> None:
    def held_out(order: tuple[Cell, ...], seed: int) -> list[set[str]]:
        return [{order[index].path.name for index in fold.valid} for fold in folds_of(order, how, 3, seed)]

    assert held_out(cells, 1) == held_out(cells[::-1], 1)
    assert held_out(cells, 1) != held_out(cells, 2)


@pytest.mark.parametrize(
    ("how", "folds"), [("grouped", 1), ("grouped", 10_000), ("random", 0), ("random", 10_000), ("by day", 5)]
)
def test_folds_that_cannot_be_are_refused(cells: tuple[Cell, ...], how: str, folds: int) -> None:
    with pytest.raises(CellsError):
        folds_of(cells, how, folds, seed=1)
