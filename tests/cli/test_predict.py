"""``malaria-detect predict``: the table, its other forms, and the images that it refuses."""

import csv
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from malaria_detect.app.results_table import write_json
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.inference.model_files import metadata_path, read_metadata
from malaria_detect.inference.prediction import Record
from tests.cli.conftest import Run
from tests.waiting import until


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_a_folder_is_classified_into_a_table(run: Run, pictures: Path) -> None:
    ran = run("predict", pictures)
    rows = table(ran.out)
    assert ran.status == 0
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b c.png", "d.png", "é.png"]
    assert all(row["decision"] in ("Parasitized", "Uninfected") and not row["error"] for row in rows)
    parasitized = sum(row["decision"] == "Parasitized" for row in rows)
    assert f"{parasitized} parasitized of 4 cells, 0 refused" in ran.err
    assert sum("notes.txt" in line for line in ran.err.splitlines()) == 1
    assert RESEARCH_USE in ran.err


def test_files_patterns_and_json_give_the_same_numbers(run: Run, pictures: Path) -> None:
    by_pattern = json.loads(run("predict", pictures / "*.png", "--json").out)
    by_file = table(run("predict", *(row["path"] for row in by_pattern)).out)
    assert len(by_pattern) == 3
    for one, other in zip(by_pattern, by_file, strict=True):
        assert list(one) == list(other)
        probability = float(other["probability_parasitized"])
        assert one["probability_parasitized"] == pytest.approx(probability, abs=1e-4)


def test_refused_pictures_are_in_the_table_and_change_the_exit_status(
    run: Run, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:100])
    file = tmp_path / "results.csv"
    ran = run("predict", pictures, tmp_path / "missing.png", "--csv", file)
    assert (ran.status, ran.out) == (1, "")
    assert "of 4 cells, 2 refused" in ran.err
    refused = [row for row in table(file.read_text(encoding="utf-8-sig")) if row["error"]]
    assert [Path(row["path"]).name for row in refused] == ["broken.png", "missing.png"]
    assert all(row["decision"] == "" and row["probability_parasitized"] == "" for row in refused)


def test_a_pattern_without_a_match_and_a_formula_for_a_name_are_not_lost(
    run: Run, pictures: Path, shipped_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    Path("a.png").rename("=1+1.png")
    ran = run("predict", "=1+1.png", "no*.png", "--model", shipped_model)
    assert ran.status == 1
    found, missing = table(ran.out)
    assert (found["path"], missing["path"]) == ("'=1+1.png", "no*.png")
    assert found["decision"]
    assert missing["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf8_is_written_with_escapes(run: Run, pictures: Path, tmp_path: Path) -> None:
    (pictures / "a.png").rename(pictures / os.fsdecode(b"a\xff.png"))
    assert run("predict", pictures, "--csv", tmp_path / "results.csv").status == 0
    assert "a\\xff.png" in (tmp_path / "results.csv").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no names like the last one")
def test_a_terminal_that_cannot_show_a_name_gets_escapes_and_no_warnings(
    pictures: Path, shipped_model: Path
) -> None:
    names = ("細胞.png", "é😀.png", os.fsdecode(b"c\xff.png"))
    for path, name in zip(sorted(pictures.glob("*.png")), names, strict=True):
        path.rename(pictures / name)
    command = [sys.executable, "-W", "error::FutureWarning", "-m", "malaria_detect", "predict", str(pictures)]
    ran = subprocess.run(
        [*command, "--model", str(shipped_model)],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        encoding="cp1252",
        check=True,
    )
    found = {Path(row["path"]).name for row in table(ran.stdout) if row["decision"]}
    assert found == {r"\u7d30\u80de.png", r"é\U0001f600.png", r"c\xff.png", "d.png"}
    assert len(ran.stderr.splitlines()) == 2  # what was skipped, and the summary


@pytest.fixture
def many(pictures: Path, tmp_path: Path) -> Path:
    """A folder with more pictures than are classified before a test has stopped the command."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1500):
        (folder / f"{number}.png").hardlink_to(pictures / "a.png")
    return folder


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "old"), [(signal.SIGINT, ""), (signal.SIGTERM, "old")])
def test_a_stopped_command_has_written_what_was_known_and_keeps_an_old_table(
    run: Run, many: Path, tmp_path: Path, number: signal.Signals, old: str
) -> None:
    file, report = tmp_path / "results.csv", tmp_path / "report.html"
    file.write_text(old)
    grows = tmp_path / "results.partial.csv" if old else file

    def stop() -> None:
        until(lambda: grows.is_file() and len(table(grows.read_text(encoding="utf-8-sig"))) > 9)
        os.kill(os.getpid(), number)

    stopping = threading.Thread(target=stop)
    stopping.start()
    ran = run("predict", many, "--csv", file, "--report", report)
    stopping.join()
    assert ran.status == 128 + number
    rows = table(grows.read_text(encoding="utf-8-sig"))
    assert all(row["decision"] for row in rows)
    assert len(ran.err.splitlines()) == 1
    assert "of 1,500" in ran.err
    assert str(grows) in ran.err
    assert not report.exists()
    assert not old or file.read_text() == old


def test_json_is_valid_even_if_it_is_cut_short() -> None:
    def records() -> Iterator[Record]:
        yield Record("細胞.png", error='a "b"')
        yield Record("\udcff.png", probability_parasitized=math.nan)
        raise KeyboardInterrupt

    file = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        write_json(records(), file)
    assert file.getvalue().isascii()
    first, second = json.loads(file.getvalue())
    assert (first["path"], first["error"]) == ("細胞.png", 'a "b"')
    assert second["probability_parasitized"] is None


def test_an_operating_point_decides_and_is_in_the_table(
    run: Run, pictures: Path, shipped_model: Path
) -> None:
    ran = run("predict", pictures, "--json", "--operating-point", "counting")
    threshold = read_metadata(shipped_model).point("counting").threshold
    for row in json.loads(ran.out):
        assert row["operating_point"] == "counting"
        assert (row["decision"] == "Parasitized") == (row["probability_parasitized"] >= threshold)
    assert f"operating point counting, threshold {threshold:.4g}" in ran.err


def test_a_report_is_written_as_well_as_the_table(
    run: Run, pictures: Path, tmp_path: Path, shipped_model: Path
) -> None:
    report = tmp_path / "visit.html"
    assert len(table(run("predict", pictures, "--report", report).out)) == 4
    html = report.read_text(encoding="utf-8")
    for expected in ("b c.png", "é.png", RESEARCH_USE, read_metadata(shipped_model).sha256):
        assert expected in html
    assert html.count("data:image/png;base64,") == 4


def test_a_changed_model_is_never_opened(
    run: Run, shipped_model: Path, pictures: Path, tmp_path: Path
) -> None:
    shutil.copy(metadata_path(shipped_model), tmp_path / "export.json")
    (tmp_path / "export.pkl").write_bytes(shipped_model.read_bytes()[:-1])
    ran = run("predict", pictures, "--model", tmp_path / "export.pkl")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("malaria-detect: ")
    assert "export.json" in ran.err
