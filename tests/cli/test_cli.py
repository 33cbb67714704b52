import argparse
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from malaria_detect.cli import main
from malaria_detect.cli.train import add_commands, settings_of
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.explain import Explanation
from malaria_detect.explain.explainer import Finding
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.inference.model_files import metadata_path, read_metadata
from malaria_detect.training.export import logits_path
from tests.drawn import draw_cell


@pytest.fixture
def pictures(sample_cells: Path, tmp_path: Path) -> Path:
    """A folder with four cells, one of them in a folder below, and one file that is no picture."""
    folder = tmp_path / "my cells"
    (folder / "more").mkdir(parents=True)
    cells = find_cells(sample_cells).cells
    for cell, name in zip(
        (*cells[:2], *cells[-2:]), ("a.png", "b c.png", "é.png", "more/d.png"), strict=True
    ):
        shutil.copy(cell.path, folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def model(shipped_model: Path) -> list[str]:
    return ["--model", str(shipped_model)]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_is_classified_into_a_table(
    pictures: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(pictures), *model]) == 0
    out, err = capsys.readouterr()
    rows = table(out)
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b c.png", "d.png", "é.png"]
    assert all(row["decision"] in ("Parasitized", "Uninfected") and not row["error"] for row in rows)
    parasitized = sum(row["decision"] == "Parasitized" for row in rows)
    assert f"{parasitized} parasitized of 4 cells, 0 refused" in err
    assert RESEARCH_USE in err


def test_files_patterns_and_json_give_the_same_numbers(
    pictures: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(pictures / "*.png"), *model, "--json"]) == 0
    by_pattern = json.loads(capsys.readouterr().out)
    assert main(["predict", *(row["path"] for row in by_pattern), *model]) == 0
    by_file = table(capsys.readouterr().out)
    assert len(by_pattern) == 3
    for one, other in zip(by_pattern, by_file, strict=True):
        assert list(one) == list(other)
        assert one["probability_parasitized"] == pytest.approx(
            float(other["probability_parasitized"]), abs=1e-4
        )


def test_refused_pictures_stand_in_the_table_and_in_the_exit_status(
    pictures: Path, model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:100])
    file = tmp_path / "results.csv"
    missing = str(tmp_path / "missing.png")
    assert main(["predict", str(pictures), missing, *model, "--csv", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "of 4 cells, 2 refused" in err
    refused = [row for row in table(file.read_text(encoding="utf-8")) if row["error"]]
    assert [Path(row["path"]).name for row in refused] == ["broken.png", "missing.png"]
    assert all(row["decision"] == "" and row["probability_parasitized"] == "" for row in refused)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "{empty}"], "has no images"),
        (["predict", "{cell}", "--model", "{empty}/export.pkl"], "is missing"),
        (["predict", "{cell}", "--csv", "{empty}/no/such/folder.csv"], "cannot be written"),
        (["info", "--model", "{empty}/export.pkl"], "is missing"),
        (["train", "--cells", "{empty}"], "No cells in"),
        (
            ["train", "--cells", "{root}", "--output", "{empty}/no/export.pkl"],
            "no folder that can be written",
        ),
        (["train", "--cells", "{root}", "--output", "{empty}/model.json"], "must end in .pkl"),
        (["train", "--cells", "{root}", "--seed", "-1"], "seed must be 0 or more"),
        (["train", "--cells", "{root}", "--corrections", "{empty}/no.csv"], "no.csv cannot be read"),
        (["predict", "{cell}", "--operating-point", "best"], "Choose one of screening, balanced, counting"),
        (["predict", "{cell}", "--report", "{empty}/no/visit.html"], "cannot be written"),
        (["calibrate", "--model", "{empty}/export.pkl"], "is missing"),
        (["evaluate", "--cells", "{root}", "--output", "{empty}/no/table.csv"], "must end in .csv"),
        (
            ["evaluate", "--cells", "{root}", "--output", "{empty}/a.csv", "--folds", "1"],
            "with 2 folds or more",
        ),
        (["labels", "--out", "{empty}/a.csv", "--predictions", "{empty}/no.csv"], "no.csv cannot be read"),
        (["cells", "check", "--cells", "{empty}"], "No cells in"),
    ],
)
def test_an_error_that_the_user_can_mend_is_one_line_and_status_2(
    arguments: list[str],
    sentence: str,
    sample_cells: Path,
    model: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cell = find_cells(sample_cells).cells[0].path
    filled = [argument.format(empty=tmp_path, cell=cell, root=cell.parent.parent) for argument in arguments]
    if filled[0] == "predict" and "--model" not in filled:
        filled += model
    assert main(filled) == 2
    err = capsys.readouterr().err
    assert err.startswith("malaria-detect: ")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["predict"], ["predict", "a", "--csv", "x", "--json"], ["fly"]])
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: malaria-detect" in capsys.readouterr().err


def test_a_pattern_without_a_match_and_a_formula_for_a_name_are_not_lost(
    pictures: Path,
    model: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pictures)
    (pictures / "a.png").rename("=1+1.png")
    assert main(["predict", "=1+1.png", "no*.png", *model]) == 1
    rows = table(capsys.readouterr().out)
    assert [row["path"] for row in rows] == ["'=1+1.png", "no*.png"]
    assert rows[0]["decision"]
    assert "There is no file" in rows[1]["error"]


def test_a_name_that_is_no_text_and_an_old_table_are_survived(
    pictures: Path, model: list[str], tmp_path: Path
) -> None:
    (pictures / "a.png").rename(pictures / os.fsdecode(b"a\xff.png"))
    assert main(["predict", str(pictures), *model, "--csv", str(tmp_path / "results.csv")]) == 0
    names = [Path(row["path"]).name for row in table((tmp_path / "results.csv").read_text(encoding="utf-8"))]
    assert "a\\xff.png" in names


def test_who_reads_only_the_beginning_gets_no_traceback(pictures: Path, model: list[str]) -> None:
    command = [sys.executable, "-m", "malaria_detect", "predict", str(pictures), *model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_info_shows_the_metadata_for_people(
    shipped_model: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", *model]) == 0
    out = capsys.readouterr().out
    metadata = read_metadata(shipped_model)
    for expected in (metadata.sha256, RESEARCH_USE, f"{metadata.train.cells} cells", metadata.created):
        assert expected in out
    accuracy = metadata.point("counting").test.estimates["accuracy"]
    assert f"{accuracy.value:.4f}  ({accuracy.low:.4f} to {accuracy.high:.4f})" in out


def test_info_needs_no_torch(shipped_model: Path) -> None:
    code = (
        "import sys; from malaria_detect.cli import main; "
        f"main(['info', '--model', {str(shipped_model)!r}]); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_operating_point_decides_and_stands_in_the_table(
    pictures: Path, model: list[str], capsys: pytest.CaptureFixture[str], shipped_model: Path
) -> None:
    assert main(["predict", str(pictures), *model, "--json", "--operating-point", "counting"]) == 0
    out, err = capsys.readouterr()
    threshold = read_metadata(shipped_model).point("counting").threshold
    for row in json.loads(out):
        assert row["operating_point"] == "counting"
        assert (row["decision"] == "Parasitized") == (row["probability_parasitized"] >= threshold)
    assert f"operating point counting, threshold {threshold:.4g}" in err


def test_a_report_of_the_visit_is_written_beside_the_table(
    pictures: Path, model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], shipped_model: Path
) -> None:
    report = tmp_path / "visit.html"
    assert main(["predict", str(pictures), *model, "--report", str(report)]) == 0
    assert len(table(capsys.readouterr().out)) == 4
    html = report.read_text(encoding="utf-8")
    for expected in ("b c.png", "é.png", RESEARCH_USE, read_metadata(shipped_model).sha256):
        assert expected in html
    assert html.count("data:image/png;base64,") == 4


def test_labels_to_doubt_are_ranked_into_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = tmp_path / "held-out.csv"
    predictions.write_text(
        "file,patient_group,fold,label,probability,corrected\n"
        "a.png,P1,1,Parasitized,0.9,Parasitized\n"
        "b.png,P2,2,Uninfected,0.8,Uninfected\n",
        encoding="utf-8",
    )
    out = tmp_path / "candidate-label-errors.csv"
    assert main(["labels", "--out", str(out), "--predictions", str(predictions)]) == 0
    assert [row["file"] for row in table(out.read_text(encoding="utf-8"))] == ["b.png", "a.png"]
    assert "2 labels, the least believable first; of 1 the other class" in capsys.readouterr().out


def test_calibrating_again_changes_nothing_where_nothing_has_changed(
    shipped_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (shipped_model, metadata_path(shipped_model), logits_path(shipped_model)):
        copy = tmp_path / path.relative_to(shipped_model.parent)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    assert main(["calibrate", "--model", str(tmp_path / shipped_model.name)]) == 0
    assert "written: temperature" in capsys.readouterr().out
    anew, before = (read_metadata(path) for path in (tmp_path / shipped_model.name, shipped_model))
    for one, other in zip(anew.operating_points, before.operating_points, strict=True):
        assert one.threshold == pytest.approx(other.threshold, abs=1e-9)
        assert one.patients == other.patients


def test_a_changed_model_is_never_opened(
    shipped_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(metadata_path(shipped_model), tmp_path / "export.json")
    (tmp_path / "export.pkl").write_bytes(shipped_model.read_bytes()[:-1])
    assert main(["predict", str(pictures), "--model", str(tmp_path / "export.pkl")]) == 2
    assert "does not belong to export.json" in capsys.readouterr().err


def test_cells_are_checked_and_counted(
    drawn_cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    (tmp_path / "cell_images" / "Uninfected" / "Thumbs.db").write_bytes(b"x")
    assert main(["cells", "check", "--cells", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "Parasitized: 30 cells of 10 patient groups" in out
    assert "left out: Uninfected/Thumbs.db" in err


def test_cells_that_are_there_are_not_fetched_again(
    drawn_cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn_cells, tmp_path, dirs_exist_ok=True)
    nobody = "http://127.0.0.1:9/cell_images.zip"
    assert main(["cells", "fetch", "--to", str(tmp_path), "--url", nobody]) == 0
    assert "60 cells of 15 patient groups" in capsys.readouterr().out
    assert main(["cells", "fetch", "--to", str(tmp_path / "new"), "--url", nobody]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "malaria_detect", "--help"], capture_output=True, text=True, check=True
    )
    assert "For Research Use Only" in done.stdout


def test_cross_validation_averages_no_weights_unless_it_is_told_to() -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    averaged = [
        parser.parse_args(words).average_epochs
        for words in (["train"], ["evaluate"], ["evaluate", "--average-epochs", "3"])
    ]
    assert averaged == [None, 0, 3]


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        (["evaluate"], (64, 64, 64, 96, 96, 96)),
        (["evaluate", "--epochs", "2"], (64, 64, 96, 96)),
        (["evaluate", "--sizes", "96", "--epochs", "3"], (96, 96, 96)),
        (["train", "--epochs", "1"], (96, 160, 224)),
        (["train", "--sizes", "64x9,96", "--epochs", "1,2"], (64, 96, 96)),
    ],
)
def test_epochs_may_be_told_apart_from_sizes(words: list[str], sizes: tuple[int, ...]) -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    assert settings_of(parser.parse_args(words)).sizes == sizes


@pytest.fixture
def dotted(tmp_path: Path) -> Path:
    """A drawn cell with a dot."""
    path = tmp_path / "cell.png"
    draw_cell(np.random.default_rng(1), parasitized=True).save(path)
    return path


def explained(monkeypatch: pytest.MonkeyPatch, reliable: bool) -> None:
    """Have every cell explained by its upper left quarter."""

    def explain(_: Detector, picture: Image.Image) -> Explanation:
        marked = np.zeros(picture.size[::-1], dtype=bool)
        marked[: picture.height // 2, : picture.width // 2] = True
        finding: Finding = "reliable" if reliable else "not_confirmed"
        return Explanation("Parasitized", finding, marked.astype(np.float32), marked)

    monkeypatch.setattr("malaria_detect.explain.explain", explain)


@pytest.mark.parametrize(
    ("reliable", "more", "written"),
    [(True, [], True), (False, [], False), (False, ["--even-unreliable"], True)],
)
def test_an_explanation_is_written_only_where_it_is_reliable_or_asked_for(
    dotted: Path,
    model: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reliable: bool,
    more: list[str],
    written: bool,
) -> None:
    explained(monkeypatch, reliable)
    out = dotted.with_name("overlay.png")
    assert main(["explain", str(dotted), "--out", str(out), *model, *more]) == 0
    said = capsys.readouterr().out
    assert RESEARCH_USE in said
    assert out.is_file() == written == ("was not written" not in said)
    if written:
        with Image.open(out) as drawn, Image.open(dotted) as cell:
            assert (drawn.mode, drawn.size) == ("RGB", cell.size)
            assert drawn.tobytes() != cell.tobytes()
    assert not list(dotted.parent.glob("*.part"))


def test_a_cell_is_explained_in_one_line(
    dotted: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(dotted), *model]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert out.startswith(("Looks parasitized. ", "No parasite found by the model. "))
    assert err == ""


@pytest.mark.parametrize("wrong", ["picture", "folder", "place"])
def test_what_cannot_be_explained_or_written_is_one_line(
    dotted: Path, model: list[str], capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    if wrong == "picture":
        dotted.write_text("no picture")
    out = {"folder": dotted.parent, "place": dotted.parent / "nowhere" / "a.png"}.get(
        wrong, dotted.parent / "a.png"
    )
    assert main(["explain", str(dotted), "--out", str(out), *model]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
