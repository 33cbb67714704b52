import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from malaria_detect.data.field_annotations import read_field_sets
from malaria_detect.data.field_truth import FieldAnnotationError
from malaria_detect.data.nlm_cells import CELLS_VARIABLE
from malaria_detect.fields.cell import RED_CELL, FoundCell
from tests.annotated import drawn, found_cells, whole_mask, write_boxes, write_centres, write_known, write_nlm
from tests.refused import refused

HEADER, CELL = "1,640,480", "1-1,Uninfected,No_comment,Polygon,3,10,20,30,20,30,40.5"


def test_nlm_outlines_are_read_as_published(tmp_path: Path) -> None:
    (one,) = read_field_sets(write_nlm(tmp_path, [1, 2]))
    _, outlines, kinds = drawn(1)
    field = one.fields[0]
    assert (one.name, one.exhaustive, len(one.fields)) == ("Polygon Set", True, 2)
    assert (field.group, field.size, field.image.name) == ("1C1P1thinF", (640, 480), "IMG_1.jpg")
    assert [cell.label or "white cell" for cell in field.cells] == kinds
    assert (field.red_cells, field.parasitized) == (34, 3)
    for cell, outline in zip(field.cells, outlines, strict=True):
        assert cell.shape == "outline"
        np.testing.assert_allclose(cell.points, outline, atol=0.006)


def test_both_sets_of_nlm_are_kept_apart(tmp_path: Path) -> None:
    write_nlm(write_nlm(tmp_path, [1]), [3, 4], points=True)
    points, outlines = read_field_sets(tmp_path)
    assert (points.name, len(points.fields), outlines.name, len(outlines.fields)) == (
        *("Point Set", 2),
        *("Polygon Set", 1),
    )
    assert {cell.shape for field in points.fields for cell in field.cells} == {"centre"}


def test_a_single_patient_of_nlm_can_be_given(tmp_path: Path) -> None:
    write_nlm(tmp_path, [1, 2])
    (one,) = read_field_sets(tmp_path / "Polygon Set" / "2C1P2thinF")
    assert [field.name for field in one.fields] == ["2C1P2thinF/IMG_2.jpg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "bad_header"),
        ("1,640\n" + CELL, "bad_header"),
        (f"2,640,480\n{CELL}", "wrong_count"),
        (f"{HEADER}\n{CELL[:-5]}", "bad_row"),
        (f"{HEADER}\n1-1,Uninfected,No_comment", "bad_row"),
        (f"{HEADER}\n{CELL.replace('30,20', 'x,20')}", "bad_row"),
        (f"{HEADER}\n{CELL.replace('30,20', 'inf,20')}", "bad_row"),
        (f"{HEADER}\n1-1,Uninfected,No_comment,Polygon,2,10,20,30,20", "bad_row"),
        (f"{HEADER}\n1-1,Uninfected,No_comment,Point,2,10,20,30,20", "bad_row"),
        (f"{HEADER}\n1-1,Uninfected,No_comment,Circle,1,10,20", "bad_row"),
        (f"{HEADER}\n{CELL.replace('Uninfected', 'Dragon')}", "unknown_class"),
        (b"1,640,480\n\xff\xfe", "unreadable"),
    ],
)
def test_damaged_nlm_files_are_refused(tmp_path: Path, text: str | bytes, reason: str) -> None:
    write_nlm(tmp_path, [1])
    (file,) = tmp_path.rglob("*.txt")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with refused(FieldAnnotationError, reason, naming=file):
        read_field_sets(tmp_path)


@pytest.mark.parametrize("write", [write_nlm, write_boxes])
def test_annotations_without_their_image_are_refused(
    tmp_path: Path, write: Callable[[Path, list[int]], Path]
) -> None:
    write(tmp_path, [1])
    next(path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".png")).unlink()
    with refused(FieldAnnotationError, "no_image"):
        read_field_sets(tmp_path)


def test_boxes_are_read_with_their_classes(tmp_path: Path) -> None:
    beyond = [
        {"type": "Difficult", "x": -5, "y": 10.5, "w": 20, "h": 10},
        {"type": "platelet", "x": 1, "y": 1, "w": 2, "h": 2},
    ]
    (one,) = read_field_sets(write_boxes(tmp_path, [1, 2], boxes=beyond))
    first, second = one.fields
    assert not one.exhaustive
    assert first.cells[0].points.tolist() == [[-5, 10.5], [15, 10.5], [15, 20.5], [-5, 20.5]]
    assert [(cell.red, cell.label) for cell in first.cells] == [(True, None), (False, None)]
    assert (second.red_cells, second.parasitized) == (34, 3)


def test_outlines_of_known_cells_come_from_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = tmp_path / "cells"
    folder = tmp_path / "fields"
    folder.mkdir()
    write_known(folder, cells, 1)
    monkeypatch.setenv(CELLS_VARIABLE, str(cells))
    (one,) = read_field_sets(folder)
    (field,) = one.fields
    red = [cell for cell in found_cells(1) if cell.kind == RED_CELL and not cell.on_edge]
    assert (field.red_cells, field.parasitized, len(field.cells)) == (30, 3, 15)
    for cell, true in zip(field.cells, red[::2], strict=True):
        assert cell.shape == "outline"
        read = FoundCell(cell.points, 1.0, RED_CELL, on_edge=False)
        assert np.array_equal(whole_mask(read), whole_mask(true))
    monkeypatch.setenv(CELLS_VARIABLE, str(folder))
    (one,) = read_field_sets(folder)
    assert {cell.shape for cell in one.fields[0].cells} == {"box"}


def test_an_image_of_a_known_cell_with_another_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_known(tmp_path, tmp_path / "cells", 1)
    monkeypatch.setenv(CELLS_VARIABLE, str(tmp_path / "cells"))
    entries = json.loads((tmp_path / "annotations.json").read_text())
    entries[0]["known_cells"][0]["w"] += 1
    (tmp_path / "annotations.json").write_text(json.dumps(entries))
    with refused(FieldAnnotationError, "other_size"):
        read_field_sets(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "unreadable"),
        ("{}", "bad_record"),
        ("[]", "bad_record"),
        ('[{"image": "1.png"}]', "bad_record"),
        ('[{"image": "1.png", "boxes": [{"type": "ring", "x": "a", "y": 1, "w": 1, "h": 1}]}]', "bad_record"),
        ('[{"image": "1.png", "boxes": [{"type": "cat", "x": 1, "y": 1, "w": 1, "h": 1}]}]', "unknown_class"),
        (
            '[{"image": "1.png", "boxes": [{"type": "ring", "x": null, "y": 1, "w": 1, "h": 1}]}]',
            "bad_record",
        ),
        ('[{"image": "1.png", "boxes": [{"type": "ring", "x": 1, "y": 1, "w": 0, "h": 1}]}]', "bad_record"),
        ('[{"image": "1.png", "known_cells": []}]', "bad_record"),
    ],
)
def test_damaged_boxes_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    write_boxes(tmp_path, [1])
    (tmp_path / "annotations.json").write_text(text)
    with refused(FieldAnnotationError, reason):
        read_field_sets(tmp_path)


def test_centres_are_read_and_a_field_may_have_none(tmp_path: Path) -> None:
    write_centres(tmp_path, [1, 2])
    (tmp_path / "2.txt").write_text("")
    (one,) = read_field_sets(tmp_path)
    assert [len(field.cells) for field in one.fields] == [34, 0]
    assert not one.exhaustive
    assert {field.red_cells for field in one.fields} == {0}  # not known: marks are no count
    assert {cell.shape for field in one.fields for cell in field.cells} == {"centre"}


@pytest.mark.parametrize("text", ["1 2", "1 2 3 4", "a 2 3"])
def test_damaged_centres_are_refused(tmp_path: Path, text: str) -> None:
    write_centres(tmp_path, [1])
    (tmp_path / "1.txt").write_text(text)
    with refused(FieldAnnotationError, "bad_row"):
        read_field_sets(tmp_path)


def test_a_folder_without_annotated_fields_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("1 2 3")
    with refused(FieldAnnotationError, "no_fields"):
        read_field_sets(tmp_path)
