"""The other commands, and what all commands share: usage, errors and exit status."""

import csv
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from malaria_detect.cli import main, parser
from malaria_detect.cli.training_options import design_and_settings, scores_in_words
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.data.quality import BLURRED
from malaria_detect.evaluation.cross_validation import write_held_out
from malaria_detect.evaluation.patient_parasitemia import read_parasitemia
from malaria_detect.explain import Explanation
from malaria_detect.explain.explainer import Finding
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.inference.model_files import metadata_path, read_metadata
from malaria_detect.inference.prediction import Prediction
from malaria_detect.metrics import score
from malaria_detect.metrics.formatting import format_percent
from malaria_detect.training.recalibrate import logits_path
from malaria_detect.training.settings import TrainSettings
from tests.cli.conftest import Run
from tests.drawn import draw_cell
from tests.tools.records import made_up_patients, made_up_run


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("predict {empty}", "no_images"),
        ("predict {cell} --model {empty}/export.pkl", "missing"),
        ("predict {cell} --csv {empty}/no/such/folder.csv", "not_writable"),
        ("predict {cell} --csv {cell}", "not_writable"),
        ("predict {cell} --report {empty}/no/visit.html", "not_writable"),
        ("predict {cell} --operating-point best", "unknown_operating_point"),
        ("explain README.md", "unknown_format"),
        ("explain {root}", "not_one_image"),
        ("explain {empty}", "not_one_image"),
        ("explain {cell} --out {empty}", "not_writable"),
        ("explain {cell} --out {cell}", "not_writable"),
        ("explain {cell} --out {empty}/nowhere/a.png", "not_writable"),
        ("info --model {empty}/export.pkl", "missing"),
        ("train --cells {empty}", "no_cells"),
        ("train --cells {root} --output {empty}/no/export.pkl", "not_writable"),
        ("train --cells {root} --output {empty}/model.json", "output"),
        ("train --cells {root} --seed -1", "seed"),
        ("train --cells {root} --corrections {empty}/no.csv", "unreadable"),
        ("calibrate --model {empty}/export.pkl", "missing"),
        ("evaluate --cells {root} --output {empty}/no/table.csv", "not_writable"),
        ("evaluate --cells {root} --output {empty}/a.csv --folds 1", "bad_split"),
        ("evaluate --parasitemia --output {empty}/no.csv", "unreadable"),
        ("labels --out {empty}/a.csv --predictions {empty}/no.csv", "unreadable"),
        ("cells check --cells {empty}", "no_cells"),
        ("cells fetch --to {empty}/new --url http://127.0.0.1:9/cell_images.zip", "network"),
    ],
)
def test_an_error_that_the_user_can_mend_has_a_reason_and_one_line(
    command: str, reason: str, sample_cells: Path, tmp_path: Path
) -> None:
    cell = find_cells(sample_cells).cells[0].path
    places = {"empty": tmp_path, "cell": cell, "root": cell.parent.parent}
    options = parser().parse_args([word.format(**places) for word in command.split()])
    with pytest.raises(MalariaDetectError) as error:
        options.run(options)
    assert error.value.reason == reason
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        *("", "fly", "predict", "predict a --csv x --json"),
        *("serve --workers 0", "serve --pool -1", "serve --port 99999"),
    ],
)
def test_wrong_usage_is_status_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    assert "usage: malaria-detect" in capsys.readouterr().err


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "malaria_detect", "--help"]
    assert b"usage: malaria-detect" in subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows reports a closed pipe in another way")
@pytest.mark.parametrize("buffering", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_a_closed_pipe_ends_a_command_quietly(buffering: list[str]) -> None:
    command = [sys.executable, *buffering, "-m", "malaria_detect", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_info_shows_the_metadata_for_people(run: Run, shipped_model: Path) -> None:
    out = run("info").out
    metadata = read_metadata(shipped_model)
    accuracy = metadata.point("counting").test.estimates["accuracy"]
    interval = f"{accuracy.value:.4f}  ({accuracy.low:.4f} to {accuracy.high:.4f})"
    for expected in (metadata.sha256, f"{metadata.train.cells} cells", metadata.created, interval):
        assert expected in out


def test_info_needs_no_torch() -> None:
    code = "import sys; from malaria_detect.cli import main; main(['info']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_labels_are_ranked_into_a_table(run: Run, tmp_path: Path) -> None:
    predictions, out = tmp_path / "held-out.csv", tmp_path / "candidate-label-errors.csv"
    predictions.write_text(
        "file,patient_group,fold,label,probability,corrected\n"
        "a.png,P1,1,Parasitized,0.9,Parasitized\n"
        "b.png,P2,2,Uninfected,0.8,Uninfected\n",
        encoding="utf-8",
    )
    ran = run("labels", "--out", out, "--predictions", predictions)
    assert (ran.status, ran.err) == (0, "")
    with out.open(encoding="utf-8-sig", newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["b.png", "a.png"]


def test_estimated_and_true_parasitemia_are_compared_without_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # without the shipped model
    write_held_out(made_up_patients(patients=15), tmp_path / "folds.csv")
    (tmp_path / "folds.json").write_text(to_json(made_up_run()), encoding="utf-8")
    ran = run("evaluate", "--parasitemia", "--output", "folds.csv")
    assert (ran.status, ran.err) == (0, "")
    found = read_parasitemia(tmp_path / "parasitemia.json")
    assert found.shipped is None
    for line, point in zip(ran.out.splitlines(), found.cross_validation.points, strict=False):
        assert line.startswith(point.name)
        assert format_percent(point.coverage.value, 0) in line


def test_calibrating_writes_the_metadata_again(run: Run, shipped_model: Path, tmp_path: Path) -> None:
    model = tmp_path / shipped_model.name
    logits_path(model).parent.mkdir()
    for place in (Path, metadata_path, logits_path):
        shutil.copy(place(shipped_model), place(model))
    before = metadata_path(model).stat()
    assert run("calibrate", "--model", model).status == 0
    assert metadata_path(model).stat().st_ino != before.st_ino
    assert read_metadata(model).point().patients == read_metadata(shipped_model).point().patients


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_cells_with_names_that_are_not_unicode_are_checked(
    run: Run, drawn_cells: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "cell_images" / "Uninfected"
    for name in (b"C1P1_IMG_1_cell_\xff.png", b"\xff\n.txt"):
        shutil.copy(next(folder.glob("*.png")), folder / os.fsdecode(name))
    ran = run("cells", "check", "--cells", tmp_path)
    assert ran.status == 0
    assert "Uninfected: 31 cells" in ran.out


@pytest.mark.parametrize("places", [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize(
    "words", ["info --model 細\n胞.pkl", "predict --細胞", "細胞", "cells check --cells 細胞"]
)
def test_errors_about_odd_names_are_printed_on_any_terminal(words: str, places: dict[str, str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "malaria_detect", *words.split(" ")],
        env={**os.environ, "PYTHONCOERCECLOCALE": "0", **places},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 2
    *usage, message = ran.stderr.decode("ascii").splitlines()
    assert message.startswith("malaria-detect")
    assert not usage or usage[0].startswith("usage: ")


def test_an_interval_that_cannot_be_computed_is_left_out() -> None:
    scores = score([True, False], [0.9, 0.1], ["P1", "P1"])
    assert math.isnan(scores.estimates["accuracy"].low)
    assert "nan" not in scores_in_words(scores, "test")


def test_cells_are_checked_and_counted(run: Run, drawn_cells: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    (tmp_path / "cell_images" / "Uninfected" / "Thumbs.db").write_bytes(b"x")
    ran = run("cells", "check", "--cells", tmp_path)
    assert ran.status == 0
    assert "Parasitized: 30 cells of 10 patient groups" in ran.out
    assert "Uninfected/Thumbs.db" in ran.err


def test_cells_that_are_there_are_not_fetched_again(run: Run, drawn_cells: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    ran = run("cells", "fetch", "--to", tmp_path, "--url", "http://127.0.0.1:9/cell_images.zip")
    assert ran.status == 0
    assert "60 cells of 15 patient groups" in ran.out


@pytest.mark.parametrize(
    ("command", "sizes", "averaged"),
    [
        ("evaluate", (64, 64, 64, 96, 96, 96), 0),
        ("evaluate --epochs 2 --average-epochs 3", (64, 64, 96, 96), 3),
        ("evaluate --sizes 96 --epochs 3", (96, 96, 96), 0),
        ("train --epochs 1", (96, 160, 224), TrainSettings().average_epochs),
        ("train --sizes 64x9,96 --epochs 1,2", (64, 96, 96), TrainSettings().average_epochs),
    ],
)
def test_epochs_sizes_and_averaging_are_set_separately(
    command: str, sizes: tuple[int, ...], averaged: int
) -> None:
    options = parser().parse_args(command.split())
    before = dict(vars(options))
    settings = design_and_settings(options)[1]
    assert (settings.sizes, settings.average_epochs) == (sizes, averaged)
    assert vars(options) == before


@pytest.fixture
def dotted(tmp_path: Path) -> Path:
    """A drawn cell with a dot."""
    path = tmp_path / "cell.png"
    draw_cell(np.random.default_rng(1), parasitized=True).save(path)
    return path


@pytest.mark.parametrize(
    ("finding", "more", "written"),
    [("reliable", [], True), ("not_confirmed", [], False), ("not_confirmed", ["--even-unreliable"], True)],
)
def test_an_explanation_is_written_only_if_it_is_reliable_or_asked_for(
    run: Run, dotted: Path, monkeypatch: pytest.MonkeyPatch, finding: Finding, more: list[str], written: bool
) -> None:
    def explain_by_the_upper_left(_: Detector, picture: Image.Image, __: Prediction) -> Explanation:
        marked = np.zeros(picture.size[::-1], dtype=bool)
        marked[: picture.height // 2, : picture.width // 2] = True
        return Explanation("Parasitized", finding, marked.astype(np.float32), marked)

    monkeypatch.setattr("malaria_detect.explain.explain", explain_by_the_upper_left)
    out = dotted.with_name("overlay.png")
    ran = run("explain", dotted, "--out", out, *more)
    assert ran.status == 0
    assert RESEARCH_USE in ran.out
    assert out.is_file() == written == (str(out) not in ran.out)
    if written:
        with Image.open(out) as drawn, Image.open(dotted) as cell:
            assert (drawn.mode, drawn.size) == ("RGB", cell.size)
            assert drawn.tobytes() != cell.tobytes()
    assert not list(dotted.parent.glob("*.part"))


def test_an_explanation_carries_the_warnings_of_the_prediction(run: Run, dotted: Path) -> None:
    with Image.open(dotted) as cell:
        cell.filter(ImageFilter.GaussianBlur(3)).save(dotted)
    assert BLURRED in run("explain", dotted).out


def test_a_cell_is_explained_in_one_line(run: Run, dotted: Path) -> None:
    ran = run("explain", dotted)
    assert (ran.status, len(ran.out.splitlines()), ran.err) == (0, 1, "")
