import shutil
from pathlib import Path

import pytest
from PIL import Image

from malaria_detect.data import nlm_cells
from malaria_detect.data.cell_check import check_cells
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, CellsError, find_cells, patient_group
from tests.refused import refused


def test_one_patient_on_two_microscopes_is_one_group_and_every_name_has_one() -> None:
    first = patient_group("C47P8thinOriginalOlympusCX21_IMG_20150714_094626_cell_9.png")
    assert patient_group("C47P8thin_Original_Motic_IMG_20150714_094626_cell_9.png") == first
    assert patient_group("C48P9thinF_IMG_20150721_161109_cell_239.png") != first
    with refused(CellsError, "no_patient"):
        patient_group("cell_12.png")


@pytest.mark.parametrize(
    "folders",
    [["."], ["cell_images"], ["cell_images/cell_images"], ["cell_images", "cell_images/cell_images"]],
    ids=["classes", "NLM", "nested", "Kaggle, every cell twice"],
)
def test_every_layout_is_found_and_each_cell_counts_once(
    folders: list[str], drawn_cells: Path, tmp_path: Path
) -> None:
    for inner in folders:
        shutil.copytree(drawn_cells / "cell_images", tmp_path / "here" / inner, dirs_exist_ok=True)
    folder = find_cells(tmp_path / "here")
    assert len(folder.cells) == 60
    assert folder.root == tmp_path / "here" / folders[0]


def test_kaggles_copy_is_found_in_a_notebook_there_unless_other_cells_are_named(
    drawn_cells: Path, laboratory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CELLS_VARIABLE, raising=False)
    monkeypatch.setattr(nlm_cells, "KAGGLE_FOLDERS", (tmp_path / "newer", tmp_path / "older"))
    for inner in ("cell_images", "cell_images/cell_images"):
        shutil.copytree(drawn_cells / "cell_images", tmp_path / "older" / inner, dirs_exist_ok=True)
    folder = find_cells()
    assert (folder.root, len(folder.cells)) == (tmp_path / "older" / "cell_images", 60)
    monkeypatch.setenv(CELLS_VARIABLE, str(laboratory))
    assert find_cells().root.is_relative_to(laboratory)


def test_foreign_and_unreadable_files_are_reported_and_the_rest_serves(
    drawn_cells: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    parasitized = tmp_path / "cell_images" / "Parasitized"
    (parasitized / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (parasitized / "holiday.png").write_bytes(b"")
    (parasitized / "notes.txt").write_text("text", encoding="utf-8")
    broken = next(parasitized.glob("C1*.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    folder, _ = check_cells(find_cells(tmp_path))
    assert len(folder.cells) == 59
    assert broken not in {cell.path for cell in folder.cells}
    for name in ("Thumbs.db", "notes.txt", "holiday.png", broken.name):
        assert sum(f"Parasitized/{name}" in sentence for sentence in folder.ignored) == 1
    assert len(folder.ignored) == 3  # skipped, without a patient, damaged


def test_the_fingerprint_sees_pixels_and_labels_but_not_the_compression(
    drawn_cells: Path, tmp_path: Path
) -> None:
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
    with refused(CellsError, "no_cells"):
        find_cells(tmp_path)


def test_real_cells_are_of_the_published_patients(real_cells: Path) -> None:
    folder = find_cells(real_cells)
    assert len({cell.group for cell in folder.cells}) >= 80
    assert all(cell.group.startswith("C") for cell in folder.cells)
