from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria_detect.data.nlm_cells import CLASSES, Cell, CellsError, find_cells
from malaria_detect.data.splits import Split, fastai_splitter, folds_of, grouped_split, random_split
from tests.drawn import PATIENTS
from tests.refused import refused


@pytest.fixture(scope="module")
def cells(sample_cells: Path) -> tuple[Cell, ...]:
    return find_cells(sample_cells).cells


@st.composite
def patients(draw: st.DrawFn) -> list[Cell]:
    """Cells like NLM's: many patients, a quarter of them healthy, none with most of the cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    infected = rng.integers(2, 30, (draw(st.integers(60, 150)), 2)).tolist()
    healthy = [(0, number) for number in rng.integers(2, 30, draw(st.integers(20, 50))).tolist()]
    found = []
    for number, of_class in enumerate([*infected, *healthy]):
        for label, count in zip(CLASSES, of_class, strict=True):
            group = f"C{number}P{number}"
            names = [f"{group}_IMG_1_cell_{label}{cell}.png" for cell in range(count)]
            found += [Cell(Path(label, name), label, group) for name in names]
    return found


def infected_share(cells: list[Cell]) -> float:
    return sum(cell.label == CLASSES[0] for cell in cells) / len(cells)


@settings(max_examples=20)
@given(cells=patients(), seed=st.integers(0, 2**32 - 1), grouped=st.booleans())
def test_a_split_has_every_cell_once_even_classes_and_no_leakage_if_grouped(
    cells: list[Cell], seed: int, grouped: bool
) -> None:
    split = (grouped_split if grouped else random_split)(cells, seed=seed)
    parts = [[cells[index] for index in part] for part in (split.train, split.valid, split.test)]
    assert sorted(split.train + split.valid + split.test) == list(range(len(cells)))
    for part in parts:
        assert abs(infected_share(part) - infected_share(cells)) <= 0.02
    if grouped:
        groups = [{cell.group for cell in part} for part in parts]
        assert len(set.union(*groups)) == sum(map(len, groups))


@pytest.mark.parametrize("how", [grouped_split, random_split])
def test_a_split_depends_on_cells_and_seed_only_also_as_a_fastai_splitter(
    how: type, cells: tuple[Cell, ...]
) -> None:
    split: Split = how(cells, valid=0.2, test=0.1, seed=3)
    backwards: Split = how(cells[::-1], valid=0.2, test=0.1, seed=3)
    assert {cells[index] for index in split.test} == {cells[::-1][index] for index in backwards.test}
    assert how(cells, valid=0.2, test=0.1, seed=4) != split
    splitter = fastai_splitter(how, valid=0.2, test=0.1, seed=3)
    assert splitter([cell.path for cell in cells]) == (list(split.train), list(split.valid))


def test_impossible_splits_are_refused(cells: tuple[Cell, ...]) -> None:
    for valid, test in ((-0.1, 0.1), (0.5, 0.5), (1.0, 0.0)):
        with refused(CellsError, "bad_split"):
            grouped_split(cells, valid, test)
    one = [Cell(Path(f"C1P1_IMG_{n}.png"), label, "C1P1") for n in range(9) for label in CLASSES]
    with refused(CellsError, "too_few_patients"):
        grouped_split(one)


@pytest.mark.parametrize("how", ["grouped", "random"])
def test_folds_hold_every_cell_out_once_and_keep_patients_apart_only_if_grouped(
    cells: tuple[Cell, ...], how: str
) -> None:
    folds = folds_of(cells, how, 3, seed=5)
    assert sorted(index for fold in folds for index in fold.valid) == list(range(len(cells)))
    for fold in folds:
        assert sorted(fold.train + fold.valid) == list(range(len(cells)))
        assert not fold.test
        train, valid = ({cells[index].group for index in part} for part in (fold.train, fold.valid))
        assert bool(train & valid) == (how == "random")
        assert {cells[index].label for index in fold.valid} == set(CLASSES)
    # A single random fold is the 80:20 split of most published projects.
    assert folds_of(cells, "random", 1, seed=13) == (random_split(cells, 0.2, 0.0, seed=13),)


@pytest.mark.parametrize("how", ["grouped", "random"])
def test_folds_depend_on_cells_and_seed_only(cells: tuple[Cell, ...], how: str) -> None:
    def held_out(order: tuple[Cell, ...], seed: int) -> list[set[str]]:
        return [{order[index].path.name for index in fold.valid} for fold in folds_of(order, how, 3, seed)]

    assert held_out(cells, 1) == held_out(cells[::-1], 1)
    assert held_out(cells, 1) != held_out(cells, 2)


@pytest.mark.parametrize(
    ("how", "folds"), [("grouped", 1), ("random", 0), ("by day", 5), ("grouped", 9_999), ("random", 9_999)]
)
def test_impossible_folds_are_refused(cells: tuple[Cell, ...], how: str, folds: int) -> None:
    reason = "too_few_patients" if folds == 9_999 else "bad_split"
    with refused(CellsError, reason):
        folds_of(cells, how, folds, seed=1)


def test_too_few_patients_or_cells_are_refused(laboratory: Path) -> None:
    cells = [cell for cell in find_cells(laboratory).cells if cell.group in PATIENTS[:3]]
    with refused(CellsError, "too_few_patients", "3 patients"):
        grouped_split(cells)
    rare = [cell for cell in find_cells(laboratory).cells if cell.label == CLASSES[1]] + cells[:2]
    for how in ("grouped", "random"):
        with refused(CellsError, "too_few_cells", "2 cells of the class Parasitized"):
            folds_of(rare, how, 3, seed=0)
