"""``malaria-detect adapt``: from labelled cells to a model, and what it refuses."""

import json
from pathlib import Path
from shutil import copy, copytree

import pytest
from PIL import Image

from malaria_detect.data.corrections import LabelsError
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.coco import coco
from malaria_detect.fields.reviewed import cut_reviewed
from malaria_detect.inference.model_files import read_metadata
from tests.annotated import drawn
from tests.cli.conftest import Run
from tests.fields.analysed import reviewed_field
from tests.parents import write_parent
from tests.refused import refused


@pytest.fixture(scope="module")
def parent(shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("parent") / "parent.pkl"
    write_parent(shipped_model, model)
    return model


def test_a_model_is_written_that_the_other_commands_take(
    run: Run, parent: Path, laboratory: Path, tmp_path: Path
) -> None:
    output = tmp_path / "mylab.pkl"
    words = "adapt", "--cells", laboratory, "--model", parent, "--output", output
    # The references are made up, so the drawn cells cannot but cost something at home.
    ran = run(*words, "--anyway")
    assert ran.status == 0, ran.err
    for word in ("ROC AUC", "Sensitivity", "Specificity", "48 cells (24 parasitized)"):
        assert word in ran.out
    assert f"from parent.pkl {read_metadata(parent).sha256[:6]}" in run("info", "--model", output).out
    cell = next((laboratory / CLASSES[0]).glob("*/*.png"))
    assert run("predict", cell, "--model", output).status == 0


def test_too_few_cells_and_other_folders_leave_an_old_model(
    run: Run, parent: Path, laboratory: Path, tmp_path: Path
) -> None:
    few, output = tmp_path / "few", tmp_path / "mylab.pkl"
    copytree(laboratory / CLASSES[0], few / CLASSES[0])
    (few / CLASSES[1]).mkdir()
    copy(next((laboratory / CLASSES[1]).glob("*/*.png")), few / CLASSES[1])
    (few / CLASSES[1] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (few / "unlabelled.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    output.write_text("old")
    words = "adapt", "--model", parent, "--output", output
    ran = run(*words, "--cells", few)
    assert ran.status == 2
    assert "9 more Uninfected" in ran.err
    assert "broken.png" in ran.err
    assert "unlabelled.png" in ran.err
    for other in (("--cells", tmp_path / "nowhere"), ("--corrections", tmp_path / "review.json"), ()):
        assert run(*words, *other).status == 2
    assert run("adapt", "--model", parent, "--output", parent, "--cells", laboratory).status == 2
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few", "mylab.pkl"]


def test_verified_cells_of_a_review_are_cut_out_of_their_photographs(tmp_path: Path) -> None:
    field, folder = reviewed_field(1), tmp_path / "cells"
    folder.mkdir()
    review = tmp_path / "coco.json"
    review.write_text(json.dumps(coco([field])))
    with refused(LabelsError, "no_images", naming="field 1.jpg"):
        cut_reviewed(review, folder)
    picture = Image.fromarray(drawn(1)[0])
    picture.resize((320, 240)).save(tmp_path / "field 1.jpg")
    with refused(LabelsError, "other_cells"):
        cut_reviewed(review, folder)
    picture.save(tmp_path / "field 1.jpg")
    cut_reviewed(review, folder)
    written = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    expected = [
        f"{cell.verified}/field 1.jpg__{cell.number}.png" for cell in field.cells if cell.verified in CLASSES
    ]
    assert written == sorted(expected)
    review.write_text("[]")
    with refused(LabelsError, "damaged"):
        cut_reviewed(review, folder)
