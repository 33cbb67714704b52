"""What README's blocks and the model card say."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tools.model_card.render import TEMPLATES, render

import tools.model_card
from malaria_detect.app.wording import FLATTERED, NOT_CALIBRATED
from malaria_detect.metrics import Estimate
from malaria_detect.metrics.parasitemia import DetectionLimit
from tools.model_card.facts import slide_readings
from tools.model_card.figures import FIGURES
from tools.model_card.results import Results, read_results

# All that templates and code may say in digits: names, and the confidence that every interval has.
NAMES = ("F1", "SHA-256", "sha256", "95 %", "bfloat16", ".j2")
COUNTED = (500, 1000, 5000)


@pytest.fixture(scope="module")
def results(written: Path) -> Results:
    return read_results(written / "export.pkl", written / "reports", sum_up=False)


def texts_of(results: Results) -> tuple[dict[str, str], str]:
    readings = slide_readings(results.metadata, results.evaluation.grouped, COUNTED)
    return render(results, readings, {name: f"[{name}]" for name in FIGURES})


def without_names(text: str) -> str:
    for name in NAMES:
        text = text.replace(name, "")
    return text


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.iterdir()))
def test_templates_hold_no_numbers(template: str) -> None:
    text = without_names((TEMPLATES / template).read_text(encoding="utf-8"))
    # The name of a score, where it is looked up.
    text = text.replace("estimates.f1", "")
    assert not re.findall(r".{0,30}\d.{0,30}", text)


@pytest.mark.parametrize("module", ["tables", "speed", "render", "figures", "facts", "designs"])
def test_code_writes_no_numbers_of_its_own(module: str) -> None:
    (folder,) = tools.model_card.__path__
    tree = ast.parse((Path(folder) / f"{module}.py").read_text(encoding="utf-8"))
    left_out = {"f1"}  # the key of a score
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.format_spec:
            left_out |= {
                str(part.value) for part in ast.walk(node.format_spec) if isinstance(part, ast.Constant)
            }
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            left_out.add(ast.get_docstring(node, clean=False) or "")
    said = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert said
    assert [text for text in said if text not in left_out and re.search(r"\d", without_names(text))] == []


def test_numbers_are_those_of_the_test_patients_at_the_default_point(results: Results) -> None:
    block = texts_of(results)[0]["numbers"]
    point = results.metadata.point()
    scores = point.test
    sensitivity = scores.estimates["sensitivity"]
    correct = scores.true_positive + scores.true_negative
    assert f"Measured on {scores.cells} cells of {scores.patients} patients" in block
    assert f"| accuracy | {correct / scores.cells:.3f} |" in block
    assert (
        f"| sensitivity | {sensitivity.value:.3f} | {sensitivity.low:.3f} to {sensitivity.high:.3f} |"
        in block
    )
    assert f"| {scores.true_positive} of {scores.parasitized} |" in block
    assert f"| labelled uninfected | {scores.false_positive} | {scores.true_negative} |" in block
    assert f"about {1000 * (1 - sensitivity.value):.0f} are missed" in block
    assert f"{results.metadata.ece_raw:.3f} before" in block
    assert point.name == "balanced"


def test_every_operating_point_stands_with_what_it_gave_where_it_was_chosen_and_elsewhere(
    results: Results,
) -> None:
    block = texts_of(results)[0]["operating-points"]
    for point in results.metadata.operating_points:
        chosen, found = point.validation.estimates["specificity"], point.test.estimates["specificity"]
        row = next(line for line in block.splitlines() if line.startswith(f"| `{point.name}` |"))
        assert f"| {chosen.value:.3f} |" in row
        assert f"| {found.value:.3f} ({found.low:.3f} to {found.high:.3f}) |" in row
        assert point.rule in block


def test_both_cross_validations_stand_side_by_side_and_the_random_one_is_stamped(results: Results) -> None:
    block = texts_of(results)[0]["evaluation"]
    evaluation = results.evaluation
    head = next(line for line in block.splitlines() if line.startswith("| score |"))
    assert "patients apart | random split: **patients on both sides** |" in head
    row = next(line for line in block.splitlines() if line.startswith("| accuracy |")).split(" | ")
    sides = (evaluation.grouped.scores, evaluation.random.scores)
    assert [cell[:5] for cell in row[1:3]] == [f"{side.estimates['accuracy'].value:.3f}" for side in sides]
    assert row[3][1:6] == f"{evaluation.leakage['accuracy'].value:.3f}"
    assert f"{evaluation.leakage_cells} cells" in head
    worst = min(evaluation.grouped.patients, key=lambda patient: patient.accuracy)
    assert f"| `{worst.group}` | {worst.accuracy:.3f} |" in block


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [
        ((0.01, 0.002, 0.02), "more than differing patients explain"),
        ((-0.01, -0.02, -0.002), "nothing was gained"),
        ((0.01, -0.002, 0.02), "may be chance"),
    ],
)
def test_the_leak_is_read_as_its_interval_allows(
    interval: tuple[float, float, float], sentence: str, results: Results
) -> None:
    leakage = results.evaluation.leakage | {"accuracy": Estimate(*interval)}
    changed = replace(results, evaluation=replace(results.evaluation, leakage=leakage))
    assert sentence in texts_of(changed)[0]["evaluation"]


def test_a_slide_on_which_nothing_can_be_told_is_called_so(results: Results) -> None:
    readings = slide_readings(results.metadata, results.evaluation.grouped, COUNTED)
    lost = tuple(
        replace(reading, limits=tuple(DetectionLimit(cells, 0.5, float("nan")) for cells in COUNTED))
        for reading in readings
    )
    block = render(results, lost, dict.fromkeys(FIGURES, ""))[0]["slide"]
    assert block.count("| not reached | not reached | not reached |") == len(readings)
    assert "no share of parasitized cells is told from none" in block


def test_averaged_weights_are_a_part_of_the_recipe(results: Results) -> None:
    assert "averaged" not in texts_of(results)[1]
    settings = results.metadata.settings | {"average_epochs": 3}
    card = texts_of(replace(results, metadata=replace(results.metadata, settings=settings)))[1]
    assert "px, the weights averaged over the last 3 of them" in card


def test_corrected_labels_are_only_spoken_of_where_there_are_some(results: Results) -> None:
    assert "orrected labels" not in texts_of(results)[0]["numbers"]
    scores = results.metadata.point().test
    metadata = replace(results.metadata, corrected_test=replace(scores, cells=333))
    block = texts_of(replace(results, metadata=metadata))[0]["numbers"]
    assert "corrected labels, on the 333 test cells" in block
    assert FLATTERED in block


def test_a_model_that_could_not_be_calibrated_is_not_called_so(results: Results) -> None:
    assert "divided by a temperature" in texts_of(results)[0]["numbers"]
    block = texts_of(replace(results, metadata=replace(results.metadata, temperature=1.0)))[0]["numbers"]
    assert NOT_CALIBRATED in block
    assert "divided by a temperature" not in block


def test_published_results_stand_with_their_protocol_and_ours_among_those_of_their_kind(
    results: Results,
) -> None:
    block = texts_of(results)[0]["published"]
    apart, both_sides = block.split("Patients on both sides:")
    for work in results.published.on_these_cells:
        (row,) = [
            line for line in block.splitlines() if line.startswith(f"| {work.work} | {work.protocol} |")
        ]
        assert (row in apart) == work.patients_apart
        assert all(f"| {value:.3f} |" in row for value in work.scores.values())
        assert f"{work.where}; {work.note}".strip("; ") in block
    assert re.findall(r"\*\*(ours, .*?)\*\*", apart) == ["ours, shipped model", "ours, cross-validation"]
    assert re.findall(r"\*\*(ours, .*?)\*\*", both_sides) == ["ours, random split"]


def test_speed_is_what_the_benchmarks_wrote(results: Results) -> None:
    block = texts_of(results)[0]["speed"]
    assert "| 96 px | 90.0 | 30.0 | 3.0 | 800 |" in block
    assert (
        "does 60.0 cells/s: 12.0 times a loop of `learn.predict` (5.0) and 2.4 times `get_preds` (25.0)"
        in block
    )
    assert "20 of the 24 explanations stood the check" in block
    assert "by 19 random parts, takes 0.123 s: 4.61 times as fast" in block
    assert "2,000 resamples of 22,609 cells of 160 patients, take 0.5 s: 30.0 times" in block
    assert "2 cores (abacus, without bfloat16), torch 2.14.1, 2026-01-31." in block


def test_ways_that_were_tried_stand_in_rows_with_the_shipped_one_marked(results: Results) -> None:
    block = texts_of(results)[0]["ways"]
    assert "| by hand | 40.0 | 50.0 | 55.0 | 0.0 | 0 | 99 | 1.25 |" in block
    assert "| **slide rule** | 80.0 | 100.0 | 110.0 | 0.00042 | 1 | 99 | 1.25 |" in block
    assert "12.5\N{NO-BREAK SPACE}% of these cells were answered again" in block
    assert "beyond log-odds of 2.25 bfloat16 moved no probability by more than 0.00052" in block
    assert "no log-odds anywhere by more than 0.014" in block


def test_the_card_has_the_sections_of_a_model_card_and_every_figure(results: Results) -> None:
    blocks, card = texts_of(results)
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    assert card.count("For Research Use Only. Not for use in diagnostic procedures.") >= 1
    assert all(f"[{name}]" in card for name in FIGURES)
    assert all(block in card for name, block in blocks.items() if name not in ("speed", "ways", "serving"))
    assert results.metadata.sha256 in card
