"""``malaria-detect field`` on drawn fields whose cells are known."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.fields.analyse import FieldAnalyser
from malaria_detect.fields.cell import FoundCell
from malaria_detect.fields.records import CellRecord
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.cli.conftest import Run
from tests.drawn_fields import drawn_field
from tests.known_finder import FEW, KnownFinder

SEEDS = (0, 1)
TABLES = ("cells.csv", "fields.csv", "slides.csv", "summary.json")


class Stopping(KnownFinder):
    """Stops the program at one of the fields, as Ctrl-C does."""

    stop_at = 0

    def find(self, pixels: np.ndarray, cell_diameter: float | None = None) -> list[FoundCell]:
        """The drawn cells."""
        if self.looked_at + 1 == self.stop_at:
            raise KeyboardInterrupt
        return super().find(pixels, cell_diameter)


@pytest.fixture
def finder(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> Stopping:
    """The finder that the command uses."""
    finder = Stopping(*(drawn_field(seed, FEW) for seed in SEEDS))

    def load(path: str | None = None, operating_point: str | None = None) -> FieldAnalyser:
        return FieldAnalyser(detector.at(operating_point or "counting"), finder)

    monkeypatch.setattr("malaria_detect.fields.analyse.load_analyser", load)
    return finder


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Two slides with one usable field each, and a blank photograph."""
    folder = tmp_path / "slides"
    for slide, seed in zip(("P1", "P2"), SEEDS, strict=True):
        (folder / slide).mkdir(parents=True)
        Image.fromarray(drawn_field(seed, FEW)[0]).save(folder / slide / "field é.png")
    Image.fromarray(np.full((300, 300, 3), 220, np.uint8)).save(folder / "P2" / "blank.png")
    return folder


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def contents(out: Path, skip: tuple[str, ...] = ("seconds",)) -> list[object]:
    """All tables, without the times."""
    tables = [
        [{name: value for name, value in row.items() if name not in skip} for row in table(out / name)]
        for name in TABLES
        if name.endswith(".csv")
    ]
    return [*tables, json.loads((out / "summary.json").read_text(encoding="utf-8"))]


def test_every_folder_is_a_slide_and_a_refused_field_is_a_row(
    run: Run, finder: Stopping, slides: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "results"
    ran = run("field", slides, "--out", out, "--red-cells-per-microlitre", "5e6")
    assert ran.status == 1
    assert RESEARCH_USE in ran.err
    cells, fields, by_slide = (table(out / name) for name in TABLES[:3])
    assert list(cells[0]) == list(CellRecord.__dataclass_fields__)
    assert len(cells) == 2 * (FEW.cells + FEW.on_edge)
    assert sum(row["on_edge"] == "True" for row in cells) == 2 * FEW.on_edge
    assert {row["kind"] for row in cells} == {"red cell"}
    refusals = {Path(row["image"]).name: bool(row["refusal"]) for row in fields}
    assert refusals == {"field é.png": False, "blank.png": True}
    usable = [row for row in fields if not row["refusal"]]
    for row in usable:
        assert (int(row["cells"]), int(row["parasitized"])) == (FEW.cells, FEW.parasitized)
        low, share, high = (float(row[f"parasitemia{end}"]) for end in ("_low", "", "_high"))
        assert low < share == FEW.parasitized / FEW.cells < high
    assert [(Path(row["slide"]).name, row["fields"], row["refused"]) for row in by_slide] == [
        ("P1", "1", "0"),
        ("P2", "2", "1"),
    ]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert (summary["operating_point"], summary["research_use"]) == ("counting", RESEARCH_USE)
    first = summary["slides"][0]
    assert first["parasites_per_microlitre"] == pytest.approx(5e6 * first["corrected"], abs=5)
    assert first["who_missing"] == 5000 - FEW.cells


def test_an_interrupted_command_continues_where_it_was(
    run: Run, finder: Stopping, slides: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    finder.stop_at = 2
    assert run("field", slides, "--out", out).status == 130
    assert not (out / "cells.csv").exists()
    finder.stop_at = 0
    assert run("field", slides, "--out", out).status == 1
    # The first field was not looked at again; the blank one is never shown to the finder.
    assert finder.looked_at == 2
    assert run("field", slides, "--out", whole).status == 1
    assert finder.looked_at == 4
    assert contents(out) == contents(whole)
    before = [(out / name).read_bytes() for name in TABLES[:1] + TABLES[2:]]
    assert run("field", slides, "--out", out).status == 1
    assert finder.looked_at == 4
    assert before == [(out / name).read_bytes() for name in TABLES[:1] + TABLES[2:]]


@pytest.mark.parametrize("change", [("--operating-point", "balanced"), ("--cell-diameter", "60")])
def test_another_setting_is_analysed_again(
    run: Run, finder: Stopping, slides: Path, tmp_path: Path, change: tuple[str, str]
) -> None:
    first = slides / "P1" / "field é.png"
    assert run("field", first, "--out", tmp_path / "out").status == 0
    assert run("field", first, "--out", tmp_path / "out", *change).status == 0
    assert finder.looked_at == 2


def test_the_same_weights_with_another_threshold_analyse_again(
    run: Run, finder: Stopping, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = slides / "P1" / "field é.png"
    assert run("field", first, "--out", tmp_path / "out").status == 0
    monkeypatch.setattr(finder, "metadata", replace(finder.metadata, threshold=0.6))
    assert run("field", first, "--out", tmp_path / "out").status == 0
    assert finder.looked_at == 2


def test_a_picture_that_was_replaced_is_analysed_again(
    run: Run, finder: Stopping, slides: Path, tmp_path: Path
) -> None:
    first, second = (slides / slide / "field é.png" for slide in ("P1", "P2"))
    assert run("field", first, second, "--out", tmp_path).status == 0
    shutil.copy(first, second)
    # The same picture under another name is known already.
    assert run("field", first, second, "--out", tmp_path).status == 0
    assert finder.looked_at == 2
    rows = table(tmp_path / "fields.csv")
    assert [row["image"] for row in rows] == [str(first), str(second)]
    Image.fromarray(np.full((300, 300, 3), 220, np.uint8)).save(first)
    assert run("field", first, "--out", tmp_path).status == 1
    assert len(table(tmp_path / "fields.csv")) == 1


def test_exports_are_written_for_each_field_that_can_be_used(
    run: Run, finder: Stopping, slides: Path, tmp_path: Path
) -> None:
    out = slides / "results"
    # Twice: overlays of the first time are in the folder that is searched.
    for _ in range(2):
        assert run("field", slides, "--out", out, "--overlay", "--geojson", "--rois", "--coco").status == 1
    files = sorted(path.relative_to(out).as_posix() for path in out.glob("*/*/*"))
    assert files == [
        f"{kind}/{slide}/field é.png{suffix}"
        for kind, suffix in (("geojson", ".geojson"), ("overlay", ".jpg"), ("rois", ".zip"))
        for slide in ("P1", "P2")
    ]
    with Image.open(out / files[2]) as overlay:
        changed = np.asarray(overlay).astype(int) - drawn_field(0, FEW)[0]
    assert changed.shape == (*FEW.size[::-1], 3)
    outline = drawn_field(0, FEW)[1][-1].astype(int)
    assert np.abs(changed[outline[:, 1], outline[:, 0]]).mean() > 20
    features = json.loads((out / files[0]).read_text(encoding="utf-8"))["features"]
    coco = json.loads((out / "coco.json").read_text(encoding="utf-8"))
    assert len(coco["images"]) == 2
    assert len(coco["annotations"]) == 2 * len(features)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--operating-point", "best"),
        ("--red-cells-per-microlitre", "-1"),
    ],
)
def test_wrong_options_are_refused(
    run: Run, finder: Stopping, slides: Path, tmp_path: Path, wrong: tuple[str, ...]
) -> None:
    assert run("field", slides / "P1", "--out", tmp_path / "out", *wrong).status == 2
    assert finder.looked_at == 0
    assert run("field", tmp_path / "out", "--out", tmp_path / "out").status == 2
