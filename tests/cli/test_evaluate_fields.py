"""``malaria-detect evaluate --fields`` on drawn fields whose cells are known."""

import json
from pathlib import Path

import pytest

from malaria_detect.evaluation.field_scores import read_field_benchmark
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.annotated import write_boxes
from tests.cli.conftest import Run
from tests.known_finder import FEW, KnownFinder


def test_several_laboratories_are_scored_into_one_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = KnownFinder.of(1)
    monkeypatch.setattr("malaria_detect.fields.finder.load_finder", lambda: finder)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder, seed in zip(folders, (1, 3), strict=True):
        folder.mkdir()
        write_boxes(folder, [seed], FEW)
    out = tmp_path / "fields.json"
    ran = run("evaluate", "--fields", *folders, "--output", out)
    assert ran.status == 0
    assert RESEARCH_USE in ran.out
    written = read_field_benchmark(out)
    assert written.command == "malaria-detect evaluate --fields first second"
    assert written.model == json.loads(Path("export.json").read_text())["sha256"]
    first, second = written.sets
    assert (first.name, first.estimates["recall"].hits, first.refused) == ("first", 6, {})
    assert set(first.called) == {"screening", "balanced", "counting"}
    assert (second.estimates["recall"].hits, second.refused) == (
        0,
        {"no_cells": 1},
    )  # not known to the finder


def test_a_damaged_image_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("malaria_detect.fields.finder.load_finder", lambda: KnownFinder.of(1))
    write_boxes(tmp_path, [1], FEW)
    (image,) = tmp_path.glob("*.png")
    image.write_bytes(image.read_bytes()[:200])
    ran = run("evaluate", "--fields", tmp_path, "--output", tmp_path / "out.json")
    assert ran.status == 2
    assert image.name in ran.err


def test_a_folder_without_annotated_fields_is_an_error(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "fields.json"
    ran = run("evaluate", "--fields", tmp_path, "--output", out)
    assert ran.status == 2
    assert str(tmp_path) in ran.err
    assert not out.exists()
