"""README, model card and figures say what the result files say, and nobody changes one without the other."""

import json
from pathlib import Path

import pytest
from tools.model_card.render import BLOCKS

from malaria_detect.evaluation.cross_validation import EVALUATION
from malaria_detect.evaluation.literature import PUBLISHED
from tests.tools.conftest import run
from tests.tools.records import PREDICT_REPORT, PROJECT, write_made_up_files
from tools.model_card.figures import FIGURES
from tools.model_card.results import GROUPED, PREDICT_SPEED

BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def flatter_the_readme(folder: Path) -> Path:
    change(folder / "README.md", "| accuracy | 0.", "| accuracy | 1.")
    return folder / "README.md"


def flatter_the_card(folder: Path) -> Path:
    change(folder / "MODEL_CARD.md", "| specificity | 0.", "| specificity | 1.")
    return folder / "MODEL_CARD.md"


def flatter_a_figure(folder: Path) -> Path:
    change(folder / "reports" / "roc.svg", "ROC AUC 0.", "ROC AUC 1.")
    return folder / "reports" / "roc.svg"


def lose_a_figure(folder: Path) -> Path:
    (folder / "reports" / "leakage.svg").unlink()
    return folder / "reports" / "leakage.svg"


BY_HAND = (flatter_the_readme, flatter_the_card, flatter_a_figure, lose_a_figure)


def test_readme_card_and_figures_of_the_project_show_what_its_result_files_say() -> None:
    assert run(PROJECT, "--check") == 0


def test_everything_is_written_once_and_then_left_alone(written: Path, folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Cells\n\n## numbers")
    assert readme.endswith("<!-- serving:end -->\n\nMore.\n")
    assert all(f"<!-- {name}:begin -->\n<!-- {name}:end -->" not in readme for name in BLOCKS)
    before = contents(folder)
    assert all((folder / "reports" / f"{name}.svg").is_file() for name in FIGURES)
    assert run(folder, "--check") == 0
    assert run(folder) == 0
    assert contents(folder) == before


def test_check_names_what_was_changed_by_hand_and_the_report_mends_it(
    written: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = [spoil(folder) for spoil in BY_HAND]
    before = contents(folder)
    assert run(folder, "--check") == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" does not show")[0] for line in said] == [str(path) for path in spoilt]
    assert all("make report" in line for line in said)
    assert contents(folder) == before
    assert run(folder) == 0
    assert [*contents(folder).values()] == [*contents(written).values()]


def test_check_notices_new_measurements_and_new_findings_of_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slower = {**PREDICT_REPORT, "ratio_to_get_preds": 1.1}
    (folder / "reports" / PREDICT_SPEED).write_text(json.dumps(slower), encoding="utf-8")
    change(folder / "reports" / PUBLISHED, '"labels": 1397', '"labels": 1398')
    assert run(folder, "--check") == 1
    said = capsys.readouterr().err
    assert "README.md" in said
    assert "MODEL_CARD.md" in said
    assert ".svg" not in said


def test_check_notices_a_new_metadata(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_made_up_files(other, seed=10)
    for name in ("export.pkl", "export.json"):
        (folder / name).write_bytes((other / name).read_bytes())
    assert run(folder, "--check") == 1


def test_new_held_out_cells_are_summed_up_anew_but_not_by_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = folder / "reports" / GROUPED
    lines = cells.read_text(encoding="utf-8").splitlines()
    last = lines[-1].split(",")
    assert float(last[4]) < 0.5
    last[4] = "0.987654"
    cells.write_text("\n".join([*lines[:-1], ",".join(last), ""]), encoding="utf-8")
    before = contents(folder)
    assert run(folder, "--check") == 2
    assert EVALUATION in capsys.readouterr().err
    assert contents(folder) == before
    wrong = json.loads((folder / "reports" / EVALUATION).read_text(encoding="utf-8"))
    assert run(folder) == 0
    right = json.loads((folder / "reports" / EVALUATION).read_text(encoding="utf-8"))
    assert right["grouped"]["scores"]["false_positive"] == wrong["grouped"]["scores"]["false_positive"] + 1
    assert right["random"] == wrong["random"]
    assert run(folder, "--check") == 0


@pytest.mark.parametrize("text", ["no marks", BEGIN, END, f"{BEGIN}\n{END}\n{BEGIN}"])
def test_a_readme_without_a_place_for_the_numbers_is_refused(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "README.md").write_text(text, encoding="utf-8")
    before = contents(folder)
    assert run(folder) == 2
    assert BEGIN in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.parametrize(
    "name", ["export.json", f"reports/{GROUPED}", f"reports/{PUBLISHED}", f"reports/{PREDICT_SPEED}"]
)
def test_a_missing_result_file_is_named_in_one_line(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    assert run(folder) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert Path(name).name in line


@pytest.mark.parametrize("name", [f"reports/{PUBLISHED}", f"reports/{PREDICT_SPEED}"])
@pytest.mark.parametrize("text", ["not JSON", "[1]"])
def test_a_damaged_result_file_is_refused(
    name: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    assert run(folder) == 2
    assert Path(name).name in capsys.readouterr().err
