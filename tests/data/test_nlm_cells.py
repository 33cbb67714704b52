import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malaria_detect.data.nlm_cells import (
    CELLS_VARIABLE,
    CLASSES,
    Cell,
    CellsError,
    check_cells,
    find_cells,
    patient_group,
)
from malaria_detect.data.splits import Split, fastai_splitter, grouped_split, random_split


@st.composite
def patients(draw: st.DrawFn) -> list[Cell]:
    """Cells like NLM's: many patients, a quarter of them healthy, none with most of the cells."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    infected = rng.integers(2, 30, (draw(st.integers(60, 150)), 2)).tolist()
    healthy = rng.integers(2, 30, draw(st.integers(20, 50))).tolist()
    counts = [*infected, *((0, uninfected) for uninfected in healthy)]
    cells = []
    for number, of_class in enumerate(counts):
        for label, count in zip(CLASSES, of_class, strict=True):
            for cell in range(count):
                group = f"C{number}P{number}"
                cells.append(Cell(Path(label, f"{group}_IMG_1_cell_{label}{cell}.png"), label, group))
    return cells


def shares(cells: list[Cell], side: tuple[int, ...]) -> float:
    return sum(cells[index].label == CLASSES[0] for index in side) / len(side)


@settings(max_examples=20, deadline=None)
@given(cells=patients(), seed=st.integers(0, 2**32 - 1))
def test_grouped_split_keeps_patients_apart_every_cell_once_and_classes_even(
    cells: list[Cell], seed: int
) -> None:
    split = grouped_split(cells, seed=seed)
    sides = (split.train, split.valid, split.test)
    assert sorted(index for side in sides for index in side) == list(range(len(cells)))
    groups = [{cells[index].group for index in side} for side in sides]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    everywhere = shares(cells, tuple(range(len(cells))))
    for side in sides:
        assert abs(shares(cells, side) - everywhere) <= 0.02


@settings(max_examples=20, deadline=None)
@given(cells=patients(), seed=st.integers(0, 2**32 - 1))
def test_random_split_has_every_cell_once_and_classes_even(cells: list[Cell], seed: int) -> None:
    split = random_split(cells, seed=seed)
    sides = (split.train, split.valid, split.test)
    assert sorted(index for side in sides for index in side) == list(range(len(cells)))
    everywhere = shares(cells, tuple(range(len(cells))))
    for side in sides:
        assert abs(shares(cells, side) - everywhere) <= 0.02


@pytest.mark.parametrize("how", [grouped_split, random_split])
def test_the_same_seed_splits_the_same_way_in_any_order(how: type, sample_cells: Path) -> None:
    cells = find_cells(sample_cells).cells
    split: Split = how(cells, seed=7)
    backwards: Split = how(cells[::-1], seed=7)
    assert {cells[index] for index in split.test} == {cells[::-1][index] for index in backwards.test}
    assert how(cells, seed=8) != split


@pytest.mark.parametrize("how", [grouped_split, random_split])
def test_fastai_splitter_gives_the_training_and_validation_cells_of_the_split(
    how: type, sample_cells: Path
) -> None:
    cells = find_cells(sample_cells).cells
    split: Split = how(cells, valid=0.2, test=0.1, seed=3)
    splitter = fastai_splitter(how, valid=0.2, test=0.1, seed=3)
    assert splitter([cell.path for cell in cells]) == (list(split.train), list(split.valid))


def test_one_patient_on_two_microscopes_is_one_group() -> None:
    first = patient_group("C47P8thinOriginalOlympusCX21_IMG_20150714_094626_cell_9.png")
    assert patient_group("C47P8thin_Original_Motic_IMG_20150714_094626_cell_9.png") == first
    assert patient_group("C48P9thinF_IMG_20150721_161109_cell_239.png") != first


def test_a_name_without_a_patient_is_refused() -> None:
    with pytest.raises(CellsError, match="names no patient"):
        patient_group("cell_12.png")


@pytest.mark.parametrize("nesting", [(), ("cell_images",), ("cell_images", "cell_images")])
def test_nlm_and_kaggle_layouts_are_found(
    nesting: tuple[str, ...], drawn_cells: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_cells / "cell_images", tmp_path.joinpath("here", *nesting))
    folder = find_cells(tmp_path / "here")
    assert len(folder.cells) == 60
    assert folder.root == tmp_path.joinpath("here", *nesting)


def test_kaggles_doubled_folder_counts_every_cell_once(drawn_cells: Path, tmp_path: Path) -> None:
    for inner in ("cell_images", "cell_images/cell_images"):
        for label in CLASSES:
            shutil.copytree(drawn_cells / "cell_images" / label, tmp_path / inner / label)
    assert len(find_cells(tmp_path).cells) == 60


def test_the_environment_names_the_folder(drawn_cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CELLS_VARIABLE, str(drawn_cells))
    assert find_cells().root == drawn_cells / "cell_images"


def test_foreign_and_unreadable_files_are_reported_and_the_rest_serves(
    drawn_cells: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    parasitized = tmp_path / "cell_images" / "Parasitized"
    (parasitized / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (parasitized / "holiday.png").write_bytes(b"")
    broken = next(parasitized.glob("C1*.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    folder, _ = check_cells(find_cells(tmp_path))
    assert len(folder.cells) == 59
    assert broken not in {cell.path for cell in folder.cells}
    sentences = "\n".join(folder.ignored)
    assert "Parasitized/Thumbs.db: not a PNG picture." in sentences
    assert "Parasitized/holiday.png: the name tells no patient." in sentences
    assert f"Parasitized/{broken.name}: " in sentences


def test_the_fingerprint_sees_pixels_and_labels_but_not_the_compression(
    drawn_cells: Path, tmp_path: Path
) -> None:
    from PIL import Image

    _, fingerprint = check_cells(find_cells(drawn_cells))
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    path = next((tmp_path / "cell_images" / "Parasitized").glob("C1*.png"))
    before = path.read_bytes()
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.save(path, compress_level=0)
    assert path.read_bytes() != before
    assert check_cells(find_cells(tmp_path))[1] == fingerprint
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(path)
    assert check_cells(find_cells(tmp_path))[1] != fingerprint


@pytest.mark.parametrize("made", [(), CLASSES[:1], CLASSES])
def test_a_folder_without_cells_is_refused(made: tuple[str, ...], tmp_path: Path) -> None:
    for label in made:
        (tmp_path / label).mkdir()
    with pytest.raises(CellsError, match="No cells in"):
        find_cells(tmp_path)


@pytest.mark.parametrize(("valid", "test"), [(-0.1, 0.1), (0.5, 0.5), (1.0, 0.0)])
def test_impossible_shares_are_refused(valid: float, test: float, sample_cells: Path) -> None:
    with pytest.raises(CellsError, match="sum to less than 1"):
        grouped_split(find_cells(sample_cells).cells, valid, test)


def test_too_few_patients_are_refused() -> None:
    cells = [Cell(Path(f"C1P1_IMG_{n}.png"), label, "C1P1") for n in range(9) for label in CLASSES]
    with pytest.raises(CellsError, match="too few patients"):
        grouped_split(cells)


def test_real_cells_are_of_the_published_patients(real_cells: Path) -> None:
    folder = find_cells(real_cells)
    assert len({cell.group for cell in folder.cells}) >= 80
    assert all(cell.group.startswith("C") for cell in folder.cells)
