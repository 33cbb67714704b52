"""The generated pages show what the result files say."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest

from malaria_detect.data.census import field_census, patient_census
from malaria_detect.data.field_truth import FieldSet
from malaria_detect.designs.comparison import COMPARISON_FILE
from malaria_detect.evaluation.cross_validation import EVALUATION, read_evaluation
from malaria_detect.evaluation.field_scores import FIELDS, Called, FieldBenchmark, FieldScore, summarise
from malaria_detect.evaluation.laboratories import Gain, Laboratories, LaboratoryScore, Spread
from malaria_detect.evaluation.literature import PUBLISHED
from malaria_detect.evaluation.patient_parasitemia import PARASITEMIA
from malaria_detect.metrics import Estimate, choose_threshold
from tools.model_card.__main__ import main
from tools.model_card.facts import slide_readings
from tools.model_card.figures import laboratory_figures
from tools.model_card.pages import CARD, PAGES, README, build, render, with_table
from tools.model_card.results import GROUPED, RANDOM, SPEED, ReportError, Results, read_results

PROJECT = Path(__file__).resolve().parents[2]
PERFORMANCE, DESIGNS_PAGE = "docs/performance.md", "docs/designs.md"
TABLE = "# Cells\n<!-- results:begin -->\n<!-- results:end -->\n"


@pytest.fixture(scope="module")
def committed() -> Results:
    return read_results(PROJECT)


@pytest.fixture(scope="module")
def built(committed: Results) -> dict[str, str]:
    return build(PROJECT, committed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the result files, with a part of the cross-validated cells."""
    reports = tmp_path / "reports"
    reports.mkdir()
    (tmp_path / "docs").mkdir()
    copy(PROJECT / "export.json", tmp_path)
    (tmp_path / "export.pkl").symlink_to(PROJECT / "export.pkl")
    (tmp_path / README).write_text(TABLE, encoding="utf-8")
    for path in (PROJECT / "reports").glob("*.json"):
        copy(path, reports)
    for name in (GROUPED, RANDOM):
        head, *rows = (PROJECT / "reports" / name).read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if row.startswith(("C15", "C16", "C4", "C5"))]
        (reports / name).write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    return tmp_path


def change(path: Path, edit: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def lower_sensitivity(metadata: Any) -> None:
    for point in metadata["operating_points"]:
        point["test"]["estimates"]["sensitivity"]["value"] = 0.1234


@pytest.mark.parametrize("name", [README, *PAGES])
def test_committed_page_shows_the_committed_results(name: str, built: dict[str, str]) -> None:
    assert (PROJECT / name).read_text(encoding="utf-8") == built[name], "run `make report`"


def test_committed_summary_is_that_of_the_committed_cross_validations(committed: Results) -> None:
    summary = read_evaluation(PROJECT / "reports" / EVALUATION)
    assert summary.grouped.patients == committed.evaluation.grouped.patients
    for name, difference in committed.evaluation.leakage.items():
        assert summary.leakage[name].value == pytest.approx(difference.value)


def test_committed_parasitemia_is_that_of_the_committed_predictions(committed: Results) -> None:
    assert committed.parasitemia is not None
    study, cells = committed.parasitemia.cross_validation, committed.held_out
    assert study.patients == tuple(
        patient_census(field_census(zip(cells.labels, cells.files, strict=True))).values()
    )
    other = np.array(cells.folds) > 1
    chosen_on = cells.cells(np.flatnonzero(other))
    for point in study.points:
        threshold = choose_threshold(chosen_on.parasitized, chosen_on.p, chosen_on.groups, point.name)
        assert point.thresholds[0] == pytest.approx(threshold)


@pytest.mark.parametrize("name", PAGES)
def test_every_linked_file_exists(name: str, built: dict[str, str]) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", built[name])
    assert [link for link in links if not (PROJECT / name).parent.joinpath(link).is_file()] == []


def test_a_changed_number_appears_on_the_pages_that_show_it(folder: Path) -> None:
    before = build(folder, read_results(folder))
    reports = folder / "reports"
    change(folder / "export.json", lower_sensitivity)
    change(
        reports / COMPARISON_FILE,
        lambda content: content["rows"][1]["trained"].update(parameters=123_456_789),
    )
    change(reports / SPEED["explain"][0], lambda content: content["seconds_per_cell"].update(explain=0.4321))
    change(reports / SPEED["serve"][0], lambda content: content.update(without_visitors_mb=1399))
    rows = (reports / GROUPED).read_text(encoding="utf-8").splitlines()
    (reports / GROUPED).write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
    cells = f"{len(rows) - 2:,}"

    after = build(folder, read_results(folder))
    expected = {
        README: ["| 0.123 (", f" {cells} |"],
        CARD: ["| sensitivity | 0.123 |", f"with {cells} cells"],
        PERFORMANCE: ["| 0.123 (", "0.4321 s", "uses 1,399 MB"],
        DESIGNS_PAGE: ["123,456,789"],
    }
    for name, parts in expected.items():
        assert [part for part in parts if part in before[name]] == [], name
        assert [part for part in parts if part not in after[name]] == [], name
    for name in ("reports/roc.svg", f"reports/{EVALUATION}"):
        assert before[name] != after[name]


def test_a_section_without_result_file_is_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = (PARASITEMIA, COMPARISON_FILE, FIELDS)
    for name in (*results, *(file for file, _ in SPEED.values())):
        (folder / "reports" / name).unlink(missing_ok=True)
    assert main(["--root", str(folder)]) == 0
    performance = (folder / PERFORMANCE).read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)", performance, re.MULTILINE) == ["Accuracy", "Operating points"]
    assert "|" not in (folder / DESIGNS_PAGE).read_text(encoding="utf-8")
    assert not (folder / "docs/designs.svg").exists()
    assert "docs/designs.md" not in (folder / CARD).read_text(encoding="utf-8")
    assert "true parasitemia of patients" not in (folder / CARD).read_text(encoding="utf-8")
    assert capsys.readouterr().out != ""
    assert main(["--root", str(folder)]) == 0  # a second run changes nothing
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, None) for name in ("export.json", f"reports/{GROUPED}", f"reports/{PUBLISHED}")),
        *((f"reports/{COMPARISON_FILE}", text) for text in ("", "{", "[1]")),
        *((f"reports/{name}", "{") for name in (SPEED["train"][0], "crossval-random.json")),
    ],
)
def test_an_unfit_file_is_reported_in_one_line(
    name: str, content: str | None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    assert main(["--root", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert Path(name).name in line
    assert (folder / README).read_text(encoding="utf-8") == TABLE
    assert not (folder / CARD).exists()


def test_a_benchmark_without_a_value_is_reported(committed: Results) -> None:
    readings = slide_readings(committed.metadata, committed.evaluation.grouped, (1000,))
    with pytest.raises(ReportError, match="make bench"):
        render(replace(committed, speed={"explain": {"cells": 3}}), readings, TABLE)


def test_fields_have_their_scores_on_the_card_and_the_page(committed: Results) -> None:
    field = FieldScore(
        *("one.jpg", "one.jpg", 40, 4, 36, 39, 3, 35, ("17",), 38, 3, 2, 1, 0, 41, 4),
        called={"balanced": Called(infected=3, uninfected=2, counted=5)},
        cell_diameter=60.0,
        seconds=0.5,
    )
    other = replace(field, name="two.jpg", group="two.jpg", missed=(), infected_matched=4)
    scores = summarise(FieldSet("smears", (), exhaustive=True, counts_edge=False), [field, other])
    benchmark = FieldBenchmark.of([scores], "malaria-detect evaluate --fields smears", "", "")
    readings = slide_readings(committed.metadata, committed.evaluation.grouped, (1000,))
    pages = render(replace(committed, fields=benchmark), readings, TABLE)
    for name in (CARD, PERFORMANCE):
        text = pages[name].replace("\N{NO-BREAK SPACE}", " ")
        for part in (
            "78 of 80",
            "7 of 8",
            "78 of 82",
            "Infected cells of smears",
            "one.jpg 17.",
            "6 of 8",
            "4 of 70",
        ):
            assert part in text


def laboratory(name: str, cut: str, committed: Results) -> LaboratoryScore:
    """Scores as those of the test patients."""
    metadata = committed.metadata
    point = metadata.point()
    estimates = point.test.estimates
    names = ("refused Parasitized", "refused Uninfected", "site_warning", "poor_quality")
    ends = {one: Spread(0.9, 0.01) for one in ("roc_auc", "sensitivity", "specificity", "specificity_at")}
    return LaboratoryScore(
        name=name,
        cut=cut,
        basis="not trained on",
        fields=9,
        parasitized=point.test.parasitized,
        uninfected=point.test.cells - point.test.parasitized,
        lost={"Parasitized": 4, "Uninfected": 77},
        outcomes={one: Estimate(0.0123, 0, 0.02) for one in names},
        called={point.name: {one: estimates[one] for one in ("sensitivity", "specificity")}},
        scores=point.test,
        reliability=metadata.reliability,
        gains=(Gain(20, 60, 10, ends, ends, {"roc_auc": Estimate(0.0456, 0.01, 0.07)}, Spread(0.0, 0.0)),),
    )


def test_any_number_of_laboratories_has_a_table_and_diagrams(committed: Results) -> None:
    scores = [laboratory(f"lab {n}", cut, committed) for n in range(3) for cut in ("outline", "box")]
    found = Laboratories.of(scores, "evaluate --laboratories", committed.metadata.sha256, "0" * 64)
    changed = replace(
        committed,
        laboratories=found,
        metadata=replace(committed.metadata, expectations={"lab 0": "Much is to be expected."}),
    )
    figures = laboratory_figures(changed)
    readings = slide_readings(changed.metadata, changed.evaluation.grouped, (100,))
    pages = render(changed, readings, TABLE)
    page, card = pages["docs/laboratories.md"], pages[CARD]
    assert set(re.findall(r"\((laboratory-\d+\.svg)\)", page)) == {Path(name).name for name in figures}
    assert len(figures) == 3
    for text in (page, card):
        assert text.count("+0.046 (+0.010 to +0.070)") == len(scores)
        assert text.count("4 parasitized, 77 uninfected") == len(scores)
        assert "calibration error" not in text[text.index("| laboratory |") :].split("\n\n")[0]
    assert "- Much is to be expected." in card
    assert "another model" not in page
    other = replace(changed, laboratories=replace(found, model_sha256="f" * 64))
    assert "another model" in render(other, readings, TABLE)["docs/laboratories.md"]


@pytest.mark.parametrize(("low", "high", "larger"), [(0.002, 0.02, True), (-0.002, 0.02, False)])
def test_zero_in_the_interval_is_sampling_error(
    low: float, high: float, larger: bool, committed: Results
) -> None:
    leakage = committed.evaluation.leakage | {"accuracy": Estimate(0.01, low, high)}
    changed = replace(committed, evaluation=replace(committed.evaluation, leakage=leakage))
    readings = slide_readings(committed.metadata, committed.evaluation.grouped, (1000,))
    pages = render(changed, readings, TABLE)
    for text in (pages[README], pages[CARD]):
        assert ("more than sampling error" in text, "within sampling error" in text) == (larger, not larger)


@pytest.mark.parametrize("text", ["", "<!-- results:begin -->", TABLE * 2])
def test_a_readme_without_exactly_one_place_for_the_table_is_refused(text: str) -> None:
    with pytest.raises(ReportError):
        with_table(text, "table")
