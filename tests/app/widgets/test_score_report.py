"""The tab "How good is it": which figures and tables it has, and which numbers they show."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from malaria_detect import plots
from malaria_detect.app.widgets import ScoreReport, score_texts
from malaria_detect.app.widgets.base import Text
from malaria_detect.app.widgets.score_texts import (
    accuracy_table,
    counted_details,
    designs_details,
    leakage_details,
    score_details,
    slide_details,
    training_details,
)
from malaria_detect.app.wording import FLATTERED, NO_PATIENTS, NOT_CALIBRATED, detection_limit, scored_on
from malaria_detect.core.json_io import to_json
from malaria_detect.evaluation.patient_parasitemia import PARASITEMIA
from malaria_detect.metrics import Estimate, Scores, worst_patients
from malaria_detect.metrics.formatting import (
    MISSING,
    format_estimate,
    format_parasitemia,
    format_percent,
)
from malaria_detect.metrics.parasitemia import DetectionLimit
from tests.app.widgets.fakes import (
    EVIL,
    FIRST_FIGURES,
    FOLDED_FIGURES,
    METADATA,
    hear,
    made_up_evaluation,
    plain,
    rows_of,
    text_of,
)
from tests.tools.records import made_up_comparison, made_up_parasitemia

JARGON = ("log-odds", "logit", "softmax", "learn.predict", "youden", "bootstrap", "positive", "negative")


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    written(tmp_path / PARASITEMIA, made_up_parasitemia())
    return written(tmp_path / "evaluation.json", made_up_evaluation())


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    made_up = made_up_comparison()
    evil = [
        replace(
            row,
            title=EVIL,
            where=EVIL,
            reported=row.reported and replace(row.reported, protocol=row.reported.protocol + EVIL),
            not_run=row.not_run and EVIL + row.not_run,
        )
        for row in made_up.rows
    ]
    return written(tmp_path / "compare.json", replace(made_up, rows=tuple(evil)))


def written(path: Path, result: Any) -> Path:
    path.write_text(to_json(result), encoding="utf-8")
    return path


def texts(report: ScoreReport) -> list[Text]:
    return [part for part in report.parts if isinstance(part, Text)]


def test_figures_are_drawn_when_they_are_seen(evaluation: Path, comparison: Path) -> None:
    report = ScoreReport(METADATA, evaluation=evaluation)
    first, accuracy, *folded = texts(report)
    assert all(part.title for part in folded)
    for part in texts(report):
        assert not part.html
        hear(part, type="show")
    assert re.findall(r"<h3>(.*?)</h3>", first.html) == list(FIRST_FIGURES)
    assert "<table" in accuracy.html
    html = "".join(part.html for part in texts(report))
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    assert [re.findall(r"<h3>(.*?)</h3>", one)[0] for one in figures] == [*FIRST_FIGURES, *FOLDED_FIGURES]
    for figure in figures:
        # For those who do not see it, and how to read it.
        assert (
            len(re.findall(r'<img [^>]*src="data:image/svg\+xml;base64,[^>]* alt="[^"]{40,}"', figure)) == 1
        )
        assert len(re.findall(r"<figcaption>[^<]{40,}</figcaption>", figure)) == 1
    assert [word for word in JARGON if word in text_of(html).lower()] == []


def test_the_accuracy_table_has_three_ways_of_measuring_and_stamps_the_random_split(evaluation: Path) -> None:
    made_up = made_up_evaluation()
    rows = rows_of(accuracy_table(METADATA.point(), evaluation))
    measured = (METADATA.point().test, made_up.grouped.scores, made_up.random.scores)
    for row, scores in zip(rows, measured, strict=True):
        assert plain(format_estimate(scores.estimates["accuracy"], format_percent)) in text_of(row)
        assert f"{scores.estimates['roc_auc'].value:.4f} (" in text_of(row)
        assert f"{scores.cells:,} cells, {scores.patients} patients" in row
        assert ("md-stamp" in row) == (scores is measured[2])


def test_all_scores_have_their_value_interval_counts_and_a_reading() -> None:
    estimates = METADATA.point().test.estimates
    html = score_details(METADATA, METADATA.point())
    for row, estimate in zip(rows_of(html), estimates.values(), strict=True):
        value = f"{estimate.value:.4f}"
        if estimate.total is not None:
            value = f"{format_estimate(estimate, format_percent)} {estimate.hits:,} of {estimate.total:,}"
        assert plain(value) in text_of(row)
    readings = re.findall(r"class='md-reading'>([^<]{30,})<", html)
    assert len(readings) == len(estimates)


def test_precision_is_also_given_for_a_slide_with_few_parasitized_cells() -> None:
    point = METADATA.point()
    estimates = point.test.estimates | {
        "sensitivity": Estimate(0.96, 0.9, 1),
        "specificity": Estimate(0.97, 0.9, 1),
        "precision": Estimate(math.nan, math.nan, math.nan, 0, 0),
    }
    changed = replace(point, test=replace(point.test, estimates=estimates))
    words = text_of(score_details(replace(METADATA, operating_points=(changed,)), changed))
    # 0.01 x 0.96 found and 0.99 x 0.03 false alarms
    assert "about 24.4 %" in words
    assert "Precision – 0 of 0" in words


def test_scores_on_corrected_labels_are_shown_with_their_caution() -> None:
    corrected = replace(METADATA, corrected_test=replace(METADATA.point().test, cells=580))
    published, both = (text_of(score_details(one, one.point("counting"))) for one in (METADATA, corrected))
    assert FLATTERED not in published
    assert f"(580 cells); {FLATTERED}" in both


def test_another_operating_point_is_shown_and_drawn_when_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def matrix(scores: Scores) -> Figure:
        drawn.append(scores.threshold)
        return Figure()

    monkeypatch.setattr(plots, "confusion_matrix", matrix)
    report = ScoreReport(METADATA)
    for name in ("counting", "balanced", "counting"):
        report.choice.chosen = name
        assert [part.html for part in report.at_point] == [""] * 3
        if name == "counting":
            for part in report.at_point:
                hear(part, type="show")
    figures, accuracy, scores = report.at_point
    assert "Confusion matrix at “counting”" in figures.html
    assert "“counting”" in accuracy.html
    assert "“counting” (threshold 80.0 %)" in text_of(scores.html)
    assert drawn == [0.8, 0.8]


def test_each_operating_point_has_three_limits_of_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(slide_details(METADATA))
    for row, point in zip(rows, METADATA.operating_points, strict=True):
        assert text_of(row).startswith(point.name.capitalize())
        for cells in score_texts.COUNTED:
            limit = detection_limit(cells, point.patients).limit
            assert f">{'none' if math.isnan(limit) else format_parasitemia(limit)}</td>" in row
    unknown = DetectionLimit(500, math.nan, math.nan)
    monkeypatch.setattr(score_texts, "detection_limit", lambda *_: unknown)
    assert text_of("".join(rows_of(slide_details(METADATA)))).count("none") == 9


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.001, 0.02, "more than"), (-0.01, 0.02, "sampling error"), (-0.02, -0.001, "cannot explain")],
)
def test_leakage_is_read_as_its_interval_allows(low: float, high: float, said: str, tmp_path: Path) -> None:
    made_up = made_up_evaluation()
    leakage = made_up.leakage | {"accuracy": Estimate((low + high) / 2, low, high)}
    words = text_of(leakage_details(written(tmp_path / "e.json", replace(made_up, leakage=leakage))))
    assert said in words
    assert f"percentage points {'lower' if low + high < 0 else 'higher'}" in words
    assert f"{made_up.leakage_cells:,} cells" in words
    assert FLATTERED in words
    for patient in worst_patients(made_up.grouped.patients):
        assert patient.group in words


def test_missing_and_damaged_results_give_a_sentence_each(tmp_path: Path) -> None:
    missing, damaged = tmp_path / "missing.json", tmp_path / "bad<b>.json"
    damaged.write_text('{"grouped": 1}', encoding="utf-8")
    for path, sentences in (
        (missing, ("detect evaluate", "detect compare")),
        (damaged, ("bad&lt;b&gt;",) * 2),
    ):
        assert sentences[0] in leakage_details(path)
        assert sentences[0] in accuracy_table(METADATA.point(), path)
        assert sentences[1] in designs_details(path, METADATA)
        assert sentences[0] in counted_details(path)


def test_every_operating_point_has_its_shares_of_patients(evaluation: Path) -> None:
    html = counted_details(evaluation.with_name(PARASITEMIA))
    points = made_up_parasitemia().cross_validation.points
    for row, point in zip(rows_of(html), points, strict=True):
        shares = (point.raw.within_quarter, point.corrected.within_quarter, point.coverage)
        assert text_of(row).startswith(point.name.capitalize())
        for share in shares:
            assert f"({share.hits} of {share.total})" in row
    assert "24 patients" in text_of(html)


def test_every_design_has_a_row_and_the_most_accurate_is_first(comparison: Path) -> None:
    html = designs_details(comparison, METADATA)
    ranked = made_up_comparison().ranked
    accuracies = [one.scores.estimates["accuracy"].value for _, one in ranked]
    assert accuracies == sorted(accuracies, reverse=True)
    for row, (design, one) in zip(rows_of(html), ranked, strict=True):
        assert text_of(row).startswith(design.network)
        assert format_percent(one.scores.estimates["accuracy"].value) in row
    (keras,) = (text_of(row) for row in rows_of(html) if "keras-cnn" in row)
    far, sure = (text_of(format_percent(share)) for share in (0.912, 0.987))
    for expected in (
        "2 epochs instead of 30",
        "8,452,130",
        "10 min",
        f"far {far}, {sure}; healthy {MISSING}, {far}",
        f"accuracy 0.960 (random 70/30{EVIL}); here, on such a split: accuracy",
    ):
        assert expected in keras
    assert "<script" not in html


def test_training_details_have_the_calibration_error_and_name_averaged_weights() -> None:
    words = text_of(training_details(METADATA))
    assert f"{METADATA.point().test.estimates['ece'].value:.4f}" in words
    assert "0.0321" in words
    assert "average" not in words
    averaged = replace(METADATA, settings=METADATA.settings | {"average_epochs": 2})
    assert "the average over the last 2 epochs" in text_of(training_details(averaged))
    assert NOT_CALIBRATED in text_of(training_details(replace(METADATA, temperature=1.0)))


def test_an_adapted_model_has_no_limit_of_detection_and_no_test_patients() -> None:
    points = tuple(replace(point, patients=()) for point in METADATA.operating_points)
    adapted = replace(METADATA, operating_points=points)
    assert text_of(slide_details(adapted)) == NO_PATIENTS
    assert scored_on(adapted.point()) in text_of(score_details(adapted, adapted.point()))
