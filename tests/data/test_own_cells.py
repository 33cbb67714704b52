"""Cells of a laboratory: in folders of patients, or listed in a CSV file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.cell_check import check_cells
from malaria_detect.data.nlm_cells import CLASSES, Cell, CellFolder, CellsError, find_cells
from malaria_detect.data.splits import given_split
from tests.drawn import PATIENTS, SUFFIXES, draw_cell
from tests.refused import refused


def checked(root: Path) -> CellFolder:
    return check_cells(find_cells(root))[0]


def table(root: Path, *rows: str, columns: str = "path,label,patient") -> Path:
    """A CSV file with these rows; without any, of all cells."""
    listed = rows or [
        f"{path.relative_to(root).as_posix()},{path.parent.parent.name},{path.parent.name}"
        for path in sorted(root.glob("*/P*/*"))
    ]
    (root / "cells.csv").write_text("\n".join([columns, *listed, ""]), encoding="utf-8")
    return root / "cells.csv"


def facts(cells: tuple[Cell, ...]) -> set[tuple[str, str, str]]:
    return {(cell.path.resolve().as_posix(), cell.label, cell.group) for cell in cells}


def test_a_folder_per_patient_and_a_table_give_the_same_cells(laboratory: Path, own: Path) -> None:
    folder = checked(laboratory)
    assert (len(folder.cells), folder.ignored, folder.identical) == (48, (), ())
    assert {cell.group for cell in folder.cells} == set(PATIENTS)
    # Many cells have the same file name.
    assert len({cell.name for cell in folder.cells}) == 48
    assert "Parasitized/P0/cell 0.jpg" in {cell.name for cell in folder.cells}
    assert facts(checked(table(own)).cells) == facts(find_cells(own).cells)


@pytest.mark.parametrize(
    ("separator", "encoding", "end", "slash"),
    [(";", "utf-8-sig", "\r\n", "\\"), ("\t", "utf-8", "\n", "/"), (",", "utf-8-sig", "\r\n\r\n", "/")],
)
def test_tables_of_spreadsheets_are_read(
    own: Path, separator: str, encoding: str, end: str, slash: str
) -> None:
    rows = table(own).read_text(encoding="utf-8").splitlines()
    rows = [row.replace("/", slash).replace(",", f" {separator}") for row in rows]
    text = end.join([rows[0].upper(), *rows[1:], separator * 2, ""])
    (own / "cells.csv").write_bytes(text.encode(encoding))
    assert facts(find_cells(own / "cells.csv").cells) == facts(find_cells(own).cells)


@pytest.mark.parametrize(
    ("columns", "row", "reason", "naming"),
    [
        *(("path,label", "a.png,Parasitized", "bad_columns", "line 1"), ("", "", "bad_columns", "line 1")),
        ("path,path,label,patient", "a.png,a.png,Parasitized,P1", "bad_columns", "line 1"),
        *(
            ("path,label,patient", row, "bad_row", "line 2")
            for row in ("a.png,x", "a,b,c,d", ",Parasitized,P1")
        ),
        ("path,label,patient,split", "Parasitized/P0/cell 0.jpg,Parasitized,P0,7", "bad_row", "line 2"),
        ("path,label,patient", "Parasitized/P0/cell 0.jpg,Parasitized,", "no_patient", "patient"),
        ("path,label,patient", '"a.png,Parasitized,P0', "unreadable", "cells.csv"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(
    own: Path, columns: str, row: str, reason: str, naming: str
) -> None:
    with refused(CellsError, reason, naming):
        find_cells(table(own, row, columns=columns))


def test_accents_are_the_same_however_they_are_encoded(own: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    for label in CLASSES:
        (own / label / "P0" / f"cell 1.{SUFFIXES[1]}").rename(own / label / "P0" / f"{apart}.png")
    rows = [
        f"{label}/P0/{composed}.png,{label},{name}"
        for label, name in zip(CLASSES, (composed, apart), strict=True)
    ]
    cells = find_cells(table(own, *rows)).cells
    assert len(cells) == 2
    assert len({cell.group for cell in cells}) == 1


def test_a_table_that_is_no_text_in_utf8_is_refused(own: Path) -> None:
    file = table(own)
    for data in ("path,label,patient\né.png,x,y".encode("cp1252"), file.read_text("utf-8").encode("utf-16")):
        file.write_bytes(data)
        with refused(CellsError, "unreadable", "UTF-8"):
            find_cells(file)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Parasitized/P0/../P0/cell 0.jpg,uninfected,P0,train", "listed_twice"),
        ("Parasitized/P0/cell 0.jpg,Parasitized,P1,train", "listed_twice"),
        ("Parasitized/P0/cell 1.tif,Parasitized,p0,test", "two_sides"),
        ("Parasitized/P0/cell 1.tif,Parasitized,P0,", "bad_row"),
    ],
)
def test_rows_that_contradict_others_are_refused_with_their_line(own: Path, row: str, reason: str) -> None:
    first = "Parasitized/P0/cell 0.jpg,PARASITIZED,P0,Train"
    with refused(CellsError, reason, "line 3"):
        find_cells(table(own, first, row, columns="path,label,patient,split"))


def test_rows_that_cannot_be_used_are_left_out_with_their_line(own: Path) -> None:
    file = table(own)
    (own / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first = next(row for row in file.read_text(encoding="utf-8").splitlines() if row.startswith("Par"))
    more = [
        "lost.png,Parasitized,P1",
        f"{first},",
        "damaged.png,uninfected,P2",
        "a.png,WBC,P1",
        "a.png,Uninfected,",
    ]
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text(
        "\n".join([f"{lines[0]},remark", *(f"{row}," for row in lines[1:]), *more]), encoding="utf-8"
    )
    text = file.read_text(encoding="utf-8").replace(f"{first},,", f"{first},")
    file.write_text("\n".join(row if row.count(",") == 3 else f"{row}," for row in text.splitlines()))
    folder = checked(file)
    assert len(folder.cells) == 48
    for line in range(50, 55):
        assert any(f"line {line}" in sentence for sentence in folder.ignored)
    assert any("remark" in sentence for sentence in folder.ignored)


def test_a_split_of_the_table_is_used_and_must_be_complete(own: Path) -> None:
    rows = table(own).read_text(encoding="utf-8").splitlines()[1:]
    parts = {patient: ("train", "val", "Test")[number % 3] for number, patient in enumerate(PATIENTS)}
    rows = [f"{row},{parts[row.rpartition(',')[2]]}" for row in rows]
    cells = checked(table(own, *rows, columns="path,label,patient,split")).cells
    split = given_split(cells)
    assert split is not None
    for part, name in ((split.train, "train"), (split.valid, "val"), (split.test, "Test")):
        assert {parts[cells[index].group] for index in part} == {name}
        assert len(part) == 16
    with refused(CellsError, "bad_split", "test"):
        given_split([cell for cell in cells if cell.part != "test"])
    # Copies may not be on two sides, although their patients are not.
    shutil.copy(own / CLASSES[0] / "P0" / "cell 0.jpg", own / "copy.jpg")
    with refused(CellsError, "two_sides", "copy.jpg"):
        checked(table(own, *rows, "copy.jpg,Parasitized,P1,val", columns="path,label,patient,split"))


def test_folders_of_the_classes_in_any_case_and_a_third_one(own: Path) -> None:
    (own / "Parasitized").rename(own / "PARASITIZED ")
    (own / "Uninfected").rename(own / "uninfected")
    (own / "Unsure").mkdir()
    Image.new("RGB", (50, 50)).save(own / "loose.png")
    (own / "uninfected" / "._cell.png").touch()
    folder = find_cells(own)
    assert len(folder.cells) == 48
    assert {
        name for name in ("Unsure", "loose.png", "._cell.png") if any(name in one for one in folder.ignored)
    } == {
        "Unsure",
        "loose.png",
        "._cell.png",
    }


def inside_out(own: Path, *names: str) -> Path:
    """These cells with the folders of the patients outermost; the class folders have these names."""
    for path in sorted(own.glob("*/P*")):
        place = own / path.name / dict(zip(CLASSES, names or CLASSES, strict=True))[path.parent.name]
        place.parent.mkdir(exist_ok=True)
        path.rename(place)
    for label in CLASSES:
        (own / label).rmdir()
    return own


def test_folders_of_patients_may_be_outermost_and_lack_a_class(laboratory: Path, own: Path) -> None:
    inside_out(own, "Positive", "normal")
    before = {(cell.path.name, cell.label, cell.group) for cell in find_cells(laboratory).cells}
    assert {(cell.path.name, cell.label, cell.group) for cell in find_cells(own).cells} == before
    shutil.rmtree(own / "P1" / "Positive")
    shutil.rmtree(own / "P2" / "normal")
    (own / "P3" / "Unsure").mkdir()
    (own / "P3" / "normal" / "field 1").mkdir()
    cell = next((own / "P3" / "normal").glob("cell 0.*"))
    cell.rename(cell.parent / "field 1" / cell.name)
    folder = find_cells(own)
    assert len(folder.cells) == 44
    assert {cell.group for cell in folder.cells} == set(PATIENTS)
    assert [sentence.split()[0] for sentence in folder.ignored] == ["P3/Unsure"]


def test_one_folder_in_another_is_opened_whatever_its_name(own: Path, tmp_path: Path) -> None:
    for name in ("zipped/__MACOSX", "zipped/down/.hidden"):
        (tmp_path / name).mkdir(parents=True)
    own.rename(tmp_path / "zipped" / "down" / "my cells")
    (tmp_path / "zipped" / "notes.txt").touch()
    assert len(find_cells(tmp_path / "zipped").cells) == 48
    inside_out(tmp_path / "zipped" / "down" / "my cells")
    assert {cell.group for cell in find_cells(tmp_path / "zipped").cells} == set(PATIENTS)


def test_folders_that_are_no_classes_or_patients_are_refused_and_listed(own: Path, tmp_path: Path) -> None:
    for patient in PATIENTS[1:]:
        shutil.rmtree(own / CLASSES[0] / patient)
        shutil.rmtree(own / CLASSES[1] / patient)
    inside_out(own)
    with refused(CellsError, "no_patient", "path,label,patient"):
        find_cells(own / "P0")
    shutil.rmtree(own / "P0" / CLASSES[1])
    with refused(CellsError, "no_cells", "path,label,patient"):
        find_cells(own / "P0")
    for name in ("0/Parasitized", "1/Parasitized", "1/Uninfected"):
        (own / name).mkdir(parents=True)
    # Numbered patients are no classes.
    assert {cell.group for cell in _with_cells(own, "0/Parasitized", "1/Uninfected")} == {"P0", "0", "1"}
    (own / "P0").rename(own / "Train")
    with refused(CellsError, "no_cells", "'Train'"):
        find_cells(own)


def _with_cells(root: Path, *places: str) -> tuple[Cell, ...]:
    for place in places:
        draw_cell(np.random.default_rng(len(place)), True).save(root / place / "a.png")
    return find_cells(root).cells


def test_images_in_folders_of_both_classes_are_left_out(own: Path) -> None:
    (own / "Uninfected" / "P0" / "positive").mkdir()
    (own / "Uninfected" / "P0" / "cell 0.jpg").rename(own / "Uninfected" / "P0" / "positive" / "cell 0.jpg")
    folder = find_cells(own)
    assert len(folder.cells) == 47
    assert any("Uninfected/P0/positive/cell 0.jpg" in sentence for sentence in folder.ignored)


@pytest.mark.parametrize(
    "names", [("Positive", "negative"), ("infected", "Healthy"), ("PARASITISED", "normal"), ("1", "0")]
)
def test_labels_may_have_the_names_that_laboratories_use(own: Path, names: tuple[str, str]) -> None:
    text = table(own).read_text(encoding="utf-8")
    for label, name in zip(CLASSES, names, strict=True):
        text = text.replace(f",{label},", f",{name},")
    (own / "cells.csv").write_text(text, encoding="utf-8")
    expected = facts(find_cells(own).cells)
    assert facts(find_cells(own / "cells.csv").cells) == expected
    if not names[0].isdigit():
        for label, name in zip(CLASSES, names, strict=True):
            (own / label).rename(own / name)
        found = {(cell.label, cell.group, cell.path.name) for cell in find_cells(own).cells}
        assert found == {(label, group, Path(path).name) for path, label, group in expected}


@pytest.mark.parametrize(
    ("first", "separator"),
    [("sep=;", ";"), ("SEP=,", ","), ("sep=\t", "\t"), ('"sep=|"', "|"), ("sep=;,,", ";")],
)
def test_the_separator_that_excel_names_is_used(own: Path, first: str, separator: str) -> None:
    text = table(own).read_text(encoding="utf-8").replace(",", separator)
    (own / "cells.csv").write_bytes(f"{first}\r\n{text}".encode("utf-8-sig"))
    assert facts(find_cells(own / "cells.csv").cells) == facts(find_cells(own).cells)
    (own / "cells.csv").write_text(f"{first}\n{text.splitlines()[0]}\na.png", encoding="utf-8")
    with refused(CellsError, "bad_row", "line 3"):
        find_cells(own / "cells.csv")
    (own / "cells.csv").write_text(f"{first}\nimage{separator}label\n", encoding="utf-8")
    with refused(CellsError, "bad_columns", "line 2"):
        find_cells(own / "cells.csv")


def test_an_empty_name_is_refused() -> None:
    with refused(MalariaDetectError, "empty_path"):
        find_cells("")


def test_the_patient_is_that_of_the_folder_before_that_of_the_name(own: Path) -> None:
    name = "C1P1thinF_IMG_20150918_144104_cell_1.png"
    for place in ("Parasitized/p0 ", "Parasitized", "Uninfected/Uninfected"):
        (own / place).mkdir(exist_ok=True)
        draw_cell(np.random.default_rng(len(place)), True).save(own / place / name)
    groups = {cell.path.parent.name: cell.group for cell in find_cells(own).cells if cell.path.name == name}
    assert groups == {"p0 ": "P0", "Parasitized": "C1P1thinF", "Uninfected": "C1P1thinF"}


def test_without_patients_the_message_says_how_to_name_them(own: Path) -> None:
    (own / "Parasitized" / "loose.jpg").write_bytes((own / "Parasitized/P0/cell 0.jpg").read_bytes())
    assert any("loose.jpg" in sentence and "CSV" in sentence for sentence in find_cells(own).ignored)
    for number, path in enumerate(sorted(own.glob("Uninfected/*/*"))):
        path.rename(own / "Uninfected" / f"{number}{path.suffix}")
    with refused(CellsError, "no_patient", "path,label,patient"):
        find_cells(own)
