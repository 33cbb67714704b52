"""The tabs "How good is it" and "About", and the page around them."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import malaria_detect
from malaria_detect import plots
from malaria_detect.app.widgets import About, CheckCells, ScoreReport, build_dashboard
from malaria_detect.app.widgets import parasitemia as slides
from malaria_detect.app.widgets.about import about
from malaria_detect.app.widgets.base import Part, Text
from malaria_detect.app.widgets.cross_validation import leakage_details
from malaria_detect.app.widgets.designs import designs_details
from malaria_detect.app.widgets.parasitemia import slide_details
from malaria_detect.app.widgets.score_report import training_details
from malaria_detect.app.widgets.scores import NAMES, accuracy_table, score_details
from malaria_detect.app.wording import FLATTERED, NOT_CALIBRATED, detection_limit
from malaria_detect.core.json_io import to_json
from malaria_detect.evaluation.literature import read_published
from malaria_detect.inference.metadata import CORRECTED, RESEARCH_USE, ModelMetadata
from malaria_detect.inference.model_files import metadata_path, sha256_of
from malaria_detect.metrics import Estimate, Scores, worst_patients
from malaria_detect.metrics.formatting import format_estimate, format_percent, format_points
from malaria_detect.metrics.parasitemia import DetectionLimit
from tests.app.widgets.fakes import FIRST_FIGURES, FOLDED_FIGURES, BrightnessDetector, made_up_evaluation
from tests.tools.records import made_up_comparison

EVIL = "<script>alert(1)</script>"
JARGON = ("log-odds", "logit", "softmax", "learn.predict", "youden", "bootstrap", "positive", "negative")


def text_of(html: str) -> str:
    """What a reader sees of some HTML, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "evaluation.json"
    path.write_text(to_json(made_up_evaluation()), encoding="utf-8")
    return path


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    path = tmp_path / "compare.json"
    path.write_text(to_json(made_up_comparison()), encoding="utf-8")
    return path


def show(*parts: Part) -> None:
    """What the comm hands on when a view of each part comes into sight."""
    for part in parts:
        part._handle_custom_msg({"type": "show"}, [])


def texts(report: ScoreReport) -> list[Text]:
    return [part for part in report.parts if isinstance(part, Text)]


# How good is it


def test_matrix_loss_and_accuracy_are_there_at_once_and_the_rest_is_folded_and_not_drawn(
    metadata: ModelMetadata, evaluation: Path
) -> None:
    figures, accuracy, *folded = texts(ScoreReport(metadata, evaluation=evaluation))
    assert re.findall(r"<h3>(.*?)</h3>", figures.html) == list(FIRST_FIGURES)
    assert "<table" in accuracy.html
    assert all(part.title and not part.html for part in folded)


def test_every_figure_has_a_text_for_those_who_do_not_see_it_and_says_how_to_read_it(
    metadata: ModelMetadata, evaluation: Path, comparison: Path
) -> None:
    report = ScoreReport(metadata, evaluation=evaluation)
    show(*texts(report))
    html = "".join(part.html for part in texts(report))
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    assert [re.findall(r"<h3>(.*?)</h3>", one)[0] for one in figures] == [*FIRST_FIGURES, *FOLDED_FIGURES]
    for figure in figures:
        assert (
            len(re.findall(r'<img [^>]*src="data:image/svg\+xml;base64,[^>]* alt="[^"]{40,}"', figure)) == 1
        )
        assert len(re.findall(r"<figcaption>[^<]{40,}</figcaption>", figure)) == 1
    said = text_of(html).lower()
    assert [word for word in JARGON if word in said] == []


def test_the_accuracy_table_has_three_ways_of_measuring_and_stamps_the_random_split(
    metadata: ModelMetadata,
) -> None:
    made_up = made_up_evaluation()
    html = accuracy_table(metadata.point(), made_up)
    rows = re.findall(r"<tr role='row'>.*?</tr>", html)
    measured = (metadata.point().test, made_up.grouped.scores, made_up.random.scores)
    for row, scores in zip(rows, measured, strict=True):
        words = text_of(row)
        assert format_percent(scores.estimates["accuracy"].value).replace("\N{NO-BREAK SPACE}", " ") in words
        assert f"{scores.estimates['roc_auc'].value:.4f} (" in words
        assert f"{scores.cells:,} cells, {scores.patients} patients" in words
        assert ("md-stamp" in row) == (scores is made_up.random.scores)
    assert len(re.findall("<tr role='row'>", accuracy_table(metadata.point(), None))) == 1


def test_all_scores_have_their_value_interval_counts_and_a_reading(metadata: ModelMetadata) -> None:
    scores = metadata.point().test
    html = score_details(metadata, metadata.point())
    words = text_of(html)
    assert list(NAMES) == list(scores.estimates)
    for name in ("accuracy", "sensitivity", "specificity", "precision"):
        estimate = scores.estimates[name]
        assert (
            f"{format_estimate(estimate, format_percent)} {estimate.hits:,} of {estimate.total:,}".replace(
                "\N{NO-BREAK SPACE}", " "
            )
            in words
        )
    assert f"{scores.estimates['mcc'].value:.4f}" in words
    readings = re.findall(r"class='md-reading'>([^<]*)<", html)
    assert len(readings) == len(NAMES)
    assert all(len(reading) > 30 for reading in readings)


def test_precision_is_also_given_for_a_slide_with_few_parasitized_cells(metadata: ModelMetadata) -> None:
    estimates = metadata.point().test.estimates | {
        "sensitivity": Estimate(0.96, 0.9, 1),
        "specificity": Estimate(0.97, 0.9, 1),
        "precision": Estimate(math.nan, math.nan, math.nan, 0, 0),
    }
    point = replace(metadata.point(), test=replace(metadata.point().test, estimates=estimates))
    words = text_of(score_details(metadata, point))
    # 0.01 x 0.96 found and 0.99 x 0.03 false alarms
    assert "On a slide with 1.0 % parasitized cells it would be about 24.4 %." in words
    assert "Precision – 0 of 0" in words


def test_scores_on_corrected_labels_are_shown_with_their_caution(metadata: ModelMetadata) -> None:
    assert "corrected" not in score_details(metadata, metadata.point())
    corrected = replace(metadata, corrected_test=replace(metadata.point().test, cells=580))
    words = text_of(score_details(corrected, metadata.point("counting")))
    assert "(580 cells)" in words
    assert FLATTERED in words


def test_another_operating_point_changes_what_is_shown_and_is_drawn_once(
    metadata: ModelMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def matrix(scores: Scores) -> Figure:
        drawn.append(scores.threshold)
        return Figure()

    monkeypatch.setattr(plots, "confusion_matrix", matrix)
    # Another history, as figures of the same model are kept.
    report = ScoreReport(replace(metadata, history=metadata.history[:2]))
    figures, accuracy, scores = report.at_point
    show(scores)
    for name in ("counting", "balanced", "counting"):
        report.choice.chosen = name
        assert f"Confusion matrix at “{name}”" in figures.html
        assert f"“{name}”" in accuracy.html
        assert scores.html == ""  # written when it is seen again
    assert drawn == [0.4, 0.8]
    show(scores)
    assert "“counting” (threshold 80.0 %)" in text_of(scores.html)


def test_slide_details_have_a_reading_and_three_limits_for_each_operating_point(
    metadata: ModelMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = re.findall(r"<tr role='row'>.*?</tr>", slide_details(metadata))
    assert [text_of(row).split()[0] for row in rows] == ["Screening", "Balanced", "Counting"]
    for row, point in zip(rows, metadata.operating_points, strict=True):
        for cells in slides.COUNTED:
            limit = detection_limit(cells, point.patients).limit
            assert f">{'none' if math.isnan(limit) else format_percent(limit, 2)}</td>" in row
    monkeypatch.setattr(slides, "detection_limit", lambda cells, _: DetectionLimit(cells, math.nan, math.nan))
    assert text_of(slide_details(metadata)).count("none") >= 9


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.02, "more than differences between patients explain"),
        (-0.01, 0.02, "within sampling error"),
        (-0.02, -0.001, "leakage cannot explain"),
    ],
)
def test_leakage_is_read_as_its_interval_allows(low: float, high: float, said: str, evaluation: Path) -> None:
    made_up = made_up_evaluation()
    leakage = made_up.leakage | {"accuracy": Estimate((low + high) / 2, low, high)}
    evaluation.write_text(to_json(replace(made_up, leakage=leakage)), encoding="utf-8")
    words = text_of(leakage_details(evaluation))
    assert said in words
    assert f"On the {made_up.leakage_cells:,} cells that both held out" in words
    assert FLATTERED in words
    for patient in worst_patients(made_up.grouped.patients):
        assert patient.group in words


def test_missing_and_damaged_results_give_a_sentence_each(tmp_path: Path, metadata: ModelMetadata) -> None:
    assert "malaria-detect evaluate" in leakage_details(tmp_path / "evaluation.json")
    assert "malaria-detect compare" in designs_details(tmp_path / "compare.json", metadata)
    path = tmp_path / "bad<b>.json"
    path.write_text('{"grouped": 1}', encoding="utf-8")
    for html in (leakage_details(path), designs_details(path, metadata)):
        assert "bad&lt;b&gt;.json" in html


def test_every_design_has_its_score_its_difference_to_ours_its_cost_and_published_results(
    comparison: Path, metadata: ModelMetadata
) -> None:
    html = designs_details(comparison, metadata)
    words = text_of(html)
    made_up = made_up_comparison()
    for network, trained in made_up.trained.items():
        assert network in words
        assert format_percent(trained.scores.estimates["accuracy"].value) in html
    less = made_up.trained["keras-cnn"].minus_ours["accuracy"]
    assert f"{format_estimate(less, format_points)} points" in words
    assert "0.960 (random 70/30)" in words
    assert "8,452,130 parameters, 33.9 MB, trained for 10 min, 310 images/s" in words
    assert "Its weights were not at hand." in words


def test_no_text_of_a_comparison_is_interpreted_as_html(comparison: Path, metadata: ModelMetadata) -> None:
    made_up = made_up_comparison()
    rows = tuple(
        replace(row, network=EVIL + row.network, title=EVIL, where=EVIL, not_run=row.not_run and EVIL)
        for row in made_up.rows
    )
    comparison.write_text(to_json(replace(made_up, rows=rows, machine=EVIL)), encoding="utf-8")
    assert "<script" not in designs_details(comparison, metadata)


def test_training_details_have_the_calibration_error_and_name_averaged_weights(
    metadata: ModelMetadata,
) -> None:
    words = text_of(training_details(metadata))
    assert f"The calibration error is {metadata.point().test.estimates['ece'].value:.4f}" in words
    assert "0.0321" in words
    assert "average" not in words
    averaged = replace(metadata, settings=metadata.settings | {"average_epochs": 2})
    assert "the average over the last 2 epochs" in text_of(training_details(averaged))
    assert NOT_CALIBRATED in text_of(training_details(replace(metadata, temperature=1.0)))


# About


def test_about_has_data_limits_and_model(metadata: ModelMetadata) -> None:
    words = text_of(About(metadata).html)
    for needed in (
        metadata.intended_use,
        metadata.sha256,
        metadata.licence,
        malaria_detect.__version__,
        "Cells 1,400 1,400 1,400",
        "Plasmodium falciparum",
        "not a diagnosis",
        "calls 0 % to 4.9 % of the uninfected cells",
        "temperature of 1.250",
        "The rule of screening.",
        "below 90.0 %",
        "55.0 % of the wrong decisions",
    ):
        assert needed in words


def test_about_quotes_published_results_if_there_are_any(metadata: ModelMetadata, tmp_path: Path) -> None:
    published = read_published()
    words = text_of(about(metadata))
    assert str(published.elsewhere[0]) in words
    assert str(published.doubted_labels) in words
    assert "Published examples" not in about(metadata, tmp_path / "published.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")
    assert "broken.json" in about(metadata, broken)


def test_about_says_if_nothing_was_calibrated_and_which_labels_were_used(metadata: ModelMetadata) -> None:
    assert "Labels as published" in text_of(about(metadata))
    other = replace(metadata, temperature=1.0, data_fingerprint=f"0123{CORRECTED}4567")
    words = text_of(about(other))
    assert NOT_CALIBRATED in words
    assert "Labels as corrected" in words


def test_no_text_of_the_metadata_is_interpreted_as_html(metadata: ModelMetadata) -> None:
    evil = replace(
        metadata,
        intended_use=EVIL,
        licence=EVIL,
        created=EVIL,
        sha256=EVIL.ljust(64),
        versions={EVIL: EVIL},
    )
    assert "<script" not in about(evil)


# The page


def test_all_tabs_share_one_operating_point(metadata: ModelMetadata, told: list[dict[str, Any]]) -> None:
    detector: Any = BrightnessDetector(metadata)
    check, how_good, _ = build_dashboard("anywhere/export.pkl", lambda _: detector).views
    assert isinstance(check, CheckCells)
    assert isinstance(how_good, ScoreReport)
    assert check.choice is how_good.choice
    assert check.choice in check.parts
    assert check.choice in how_good.parts
    check.choice.chosen = "counting"
    assert check.cards.point.name == "counting"
    assert "“counting”" in how_good.at_point[0].html


def test_a_missing_model_gives_a_message(tmp_path: Path) -> None:
    page = build_dashboard(tmp_path / "export.pkl")
    assert page.names == ["Problem"]
    assert "export.pkl" in text_of(page.views[0].html)
    assert page.research_use == RESEARCH_USE


def test_a_changed_model_gives_a_message_and_is_not_opened(tmp_path: Path, metadata: ModelMetadata) -> None:
    model = tmp_path / "export<b>.pkl"
    model.write_bytes(b"as written")
    metadata_path(model).write_text(to_json(replace(metadata, sha256=sha256_of(model))), encoding="utf-8")
    model.write_bytes(b"changed later")
    page = build_dashboard(model)
    assert page.names == ["Problem"]
    assert "export<b>" not in page.views[0].html
