"""The views "How good is it" and "About", and the page around them."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import malaria_detect
from malaria_detect import plots
from malaria_detect.app.widgets import (
    About,
    CheckCells,
    ScoreReport,
    build_dashboard,
    dashboard,
    score_report,
)
from malaria_detect.app.widgets import about as about_view
from malaria_detect.app.widgets import parasitemia as slides
from malaria_detect.app.widgets.about import about
from malaria_detect.app.widgets.base import Part, Text
from malaria_detect.app.widgets.cross_validation import cross_validation_view
from malaria_detect.app.widgets.designs import designs_view
from malaria_detect.app.widgets.parasitemia import slide_table
from malaria_detect.app.widgets.score_report import model_view
from malaria_detect.app.widgets.scores import NAMES, point_scores, score_table
from malaria_detect.app.wording import FLATTERED, NOT_CALIBRATED, detection_limit
from malaria_detect.core.json_io import to_json
from malaria_detect.evaluation.literature import read_published
from malaria_detect.inference.metadata import CORRECTED, RESEARCH_USE, ModelMetadata
from malaria_detect.inference.model_files import metadata_path, sha256_of
from malaria_detect.metrics import Estimate, Scores, worst_patients
from malaria_detect.metrics.formatting import format_estimate, format_percent, format_points
from malaria_detect.metrics.parasitemia import DetectionLimit, healthy_reading
from tests.app.widgets.fakes import FIGURES, BrightnessDetector, made_up_evaluation
from tests.tools.records import made_up_comparison


def text_of(html: str) -> str:
    """What a reader sees of some HTML, in one line."""
    bare = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(bare.replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """A summary of a cross-validation, as `make report` writes it."""
    path = tmp_path / "evaluation.json"
    path.write_text(to_json(made_up_evaluation()), encoding="utf-8")
    return path


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """What `malaria-detect compare` writes, beside the cross-validation."""
    path = tmp_path / "compare.json"
    path.write_text(to_json(made_up_comparison()), encoding="utf-8")
    return path


def show(*parts: Part) -> None:
    """What the comm hands on when a view of each part comes into sight."""
    for part in parts:
        part._handle_custom_msg({"type": "show"}, [])


# How good is it


def test_every_figure_has_a_sentence_that_says_how_to_read_it(
    metadata: ModelMetadata, evaluation: Path, comparison: Path
) -> None:
    report = ScoreReport(metadata, evaluation=evaluation)
    html = "".join(part.html for part in report.parts if isinstance(part, Text))
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    titles = [title for figure in figures for title in re.findall(r"<h3>(.*?)</h3>", figure)]
    assert titles == list(FIGURES)
    for figure in figures:
        assert len(re.findall("<svg", figure)) == 1
        assert len(re.findall(r"<figcaption>[^<]{40,}</figcaption>", figure)) == 1


def test_scores_counts_and_intervals_are_the_metadata(metadata: ModelMetadata) -> None:
    scores = metadata.point().test
    words = text_of(point_scores(metadata, metadata.point()))
    assert "At “balanced” (40.0 % and more is called parasitized)" in words
    assert f"on {scores.cells:,} cells of {scores.patients} patients" in words
    for name in ("accuracy", "sensitivity", "specificity", "precision"):
        estimate = scores.estimates[name]
        interval = " to ".join(
            "100 %" if end == 1 else f"{100 * end:.1f} %" for end in (estimate.low, estimate.high)
        )
        assert f"{interval} {estimate.hits:,} of {estimate.total:,}" in words
    for name in ("f1", "mcc", "roc_auc", "average_precision", "brier", "ece"):
        assert f"{scores.estimates[name].value:.4f}" in words


def test_scores_on_corrected_labels_stand_beside_them_where_there_are_some(metadata: ModelMetadata) -> None:
    scores = metadata.point().test
    assert "corrected" not in point_scores(metadata, metadata.point())
    corrected = replace(metadata, corrected_test=replace(scores, cells=580))
    words = text_of(point_scores(corrected, metadata.point("counting")))
    assert "On corrected labels accuracy at “balanced” is " in words
    assert f"over the 580 cells whose corrected label is certain; {FLATTERED}." in words


def test_every_score_has_a_name_and_a_reading(metadata: ModelMetadata) -> None:
    html = score_table(metadata.point().test)
    assert list(NAMES) == list(metadata.point().test.estimates)
    readings = re.findall(r"class='md-reading'>([^<]*)<", html)
    assert len(readings) == len(NAMES)
    assert all(len(reading) > 30 for reading in readings)


def test_another_operating_point_is_written_when_it_is_looked_at_and_the_rest_stays(
    metadata: ModelMetadata, told: list[dict[str, Any]]
) -> None:
    report = ScoreReport(metadata)
    table, figures = report.at_point
    show(table, figures)
    told.clear()
    report.choice.chosen = "counting"
    assert told == [{"type": "stale"}] * 2  # nothing is drawn for a view that nobody looks at
    show(table, figures)
    counting = metadata.point("counting").test
    assert "At “counting” (80.0 % and more" in text_of(told[2]["html"])
    sensitivity = counting.estimates["sensitivity"]
    assert f"{sensitivity.hits:,} of {sensitivity.total:,}" in text_of(told[2]["html"])
    assert "Confusion matrix at “counting”" in told[3]["html"]
    assert f"{counting.false_negative:,} parasitized cells were missed" in told[3]["html"]


def test_figures_of_an_operating_point_are_drawn_once(
    metadata: ModelMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def matrix(scores: Scores) -> Figure:
        drawn.append(scores.threshold)
        return Figure()

    monkeypatch.setattr(plots, "confusion_matrix", matrix)
    report = ScoreReport(metadata)
    for name in ("balanced", "counting", "balanced", "counting"):
        report.choice.chosen = name
        assert f"“{name}”" in report.at_point[1].html
    assert drawn == [0.4, 0.8]


def test_precision_is_also_told_for_a_slide_with_few_infected_cells(metadata: ModelMetadata) -> None:
    estimates = metadata.point().test.estimates | {
        "sensitivity": Estimate(0.96, 0.9, 1),
        "specificity": Estimate(0.97, 0.9, 1),
    }
    scores = replace(metadata.point().test, estimates=estimates)
    words = text_of(score_table(scores))
    # 0.01 x 0.96 found and 0.99 x 0.03 false alarms
    assert "On a slide with 1.0 % of the cells infected it would be about 24.4 %." in words


def test_a_score_that_is_not_defined_stands_as_a_dash(metadata: ModelMetadata) -> None:
    undefined = Estimate(math.nan, math.nan, math.nan, 0, 0)
    scores = metadata.point().test
    scores = replace(scores, estimates=scores.estimates | {"precision": undefined})
    html = score_table(scores)
    assert "nan" not in text_of(html).lower()
    assert "data-name='Value'>–</td><td role='cell' data-name='95 % interval'>–</td>" in html


def test_the_slide_table_has_a_healthy_reading_and_three_limits_for_each_operating_point(
    metadata: ModelMetadata,
) -> None:
    rows = re.findall(r"<tr role='row'>.*?</tr>", slide_table(metadata))
    assert [text_of(row).split()[0] for row in rows] == ["Screening", "Balanced", "Counting"]
    for row, point in zip(rows, metadata.operating_points, strict=True):
        words = text_of(row)
        reading = healthy_reading(point.patients)
        assert f"{text_of(format_percent(reading.value, 2))} (" in words
        for cells in (500, 1000, 5000):
            limit = detection_limit(cells, point.patients).limit
            assert f"<td role='cell' data-name='Limit of detection, {cells:,} cells'>" in row
            assert f">{'none' if math.isnan(limit) else format_percent(limit, 2)}</td>" in row


def test_no_limit_stands_as_nothing(metadata: ModelMetadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "detection_limit", lambda cells, _: DetectionLimit(cells, math.nan, math.nan))
    assert "nan" not in text_of(slide_table(metadata)).lower()
    assert text_of(slide_table(metadata)).count("none") >= 9


def test_cross_validation_shows_both_splits_and_stamps_the_random_one(evaluation: Path) -> None:
    html = cross_validation_view(evaluation)
    words = text_of(html)
    made_up = made_up_evaluation()
    assert "Random split <span class='md-stamp'>patients on both sides</span>" in html
    assert html.count("data-name='Random split, patients on both sides'") == 6  # where the head is not shown
    assert "5 further networks, 3 epochs at 96 px, each trained without a part of the patients" in words
    for run in (made_up.grouped, made_up.random):
        for name in ("roc_auc", "mcc"):
            assert f"{run.scores.estimates[name].value:.4f} (" in words
    assert f"on the {made_up.leakage_cells:,} cells that both held out" in words
    assert f"over the 590 cells whose corrected label is certain; {FLATTERED}." in words
    for patient in worst_patients(made_up.grouped.patients):
        assert patient.group in words


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.02, "more than differing patients explain"),
        (-0.01, 0.02, "may be chance"),
        (-0.02, -0.001, "no leakage explains"),
    ],
)
def test_the_leak_is_read_as_its_interval_allows(
    low: float, high: float, said: str, evaluation: Path
) -> None:
    made_up = made_up_evaluation()
    leakage = made_up.leakage | {"accuracy": Estimate((low + high) / 2, low, high)}
    evaluation.write_text(to_json(replace(made_up, leakage=leakage)), encoding="utf-8")
    assert said in text_of(cross_validation_view(evaluation))


def test_without_a_cross_validation_its_part_says_how_to_make_one(tmp_path: Path) -> None:
    words = text_of(cross_validation_view(tmp_path / "evaluation.json"))
    assert "malaria-detect evaluate holds every patient out once, and make report then sums it up" in words


def test_a_damaged_cross_validation_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "evaluation<b>.json"
    path.write_text('{"grouped": 1}', encoding="utf-8")
    html = cross_validation_view(path)
    assert "evaluation&lt;b&gt;.json cannot be read" in html


def test_every_design_stands_with_its_score_its_distance_from_ours_and_what_is_in_print(
    comparison: Path, metadata: ModelMetadata
) -> None:
    html = designs_view(comparison, metadata)
    words = text_of(html)
    made_up = made_up_comparison()
    assert "3 networks, ours among them, on the same split by patient" in words
    for network, trained in made_up.trained.items():
        accuracy = trained.scores.estimates["accuracy"].value
        assert f"{network}, ours {text_of(format_percent(accuracy))} (" in words or (
            " ".join(filter(None, (network, trained.cut_short, f"{text_of(format_percent(accuracy))} (")))
            in words
        )
    less = made_up.trained["keras-cnn"].minus_ours["accuracy"]
    assert f"{format_estimate(less, format_points)} points against ours" in words
    assert "In print: accuracy 0.960 (random 70/30)" in words
    assert "8,452,130 33.9 MB 10 min 310" in words
    assert "a public repository. Not run: Its weights were not at hand." in words
    # Where the head of a table is not shown, its names stand in the cells.
    assert html.count("data-name='Sensitivity'") == len(made_up.trained)


def test_authors_own_splits_are_stamped_and_left_out_where_they_were_not_run(
    comparison: Path, metadata: ModelMetadata
) -> None:
    assert "By each author" not in text_of(designs_view(comparison, metadata))
    beside = comparison.with_name("compare-author.json")
    beside.write_text(to_json(made_up_comparison("author")), encoding="utf-8")
    html = designs_view(comparison, metadata)
    assert "own split <span class='md-stamp'>patients on both sides</span>" in html
    assert "keeps its best epoch the held-out cells chose it" in text_of(html)


def test_without_a_comparison_its_part_says_how_to_make_one(tmp_path: Path, metadata: ModelMetadata) -> None:
    words = text_of(designs_view(tmp_path / "compare.json", metadata))
    assert words.startswith(
        "Against other designs No other design was trained here yet: malaria-detect compare"
    )


def test_no_text_of_a_comparison_is_read_as_html(comparison: Path, metadata: ModelMetadata) -> None:
    evil = "<script>alert(1)</script>"
    made_up = made_up_comparison()
    rows = tuple(
        replace(row, network=evil + row.network, title=evil, where=evil, not_run=row.not_run and evil)
        for row in made_up.rows
    )
    comparison.write_text(to_json(replace(made_up, rows=rows, machine=evil)), encoding="utf-8")
    assert "<script" not in designs_view(comparison, metadata)
    comparison.with_name("compare<b>.json").write_text("[]", encoding="utf-8")
    assert "compare&lt;b&gt;.json is no comparison" in designs_view(
        comparison.with_name("compare<b>.json"), metadata
    )


def test_reliability_tells_the_calibration_error_before_and_after(metadata: ModelMetadata) -> None:
    words = text_of(model_view(metadata))
    assert f"The calibration error is {metadata.point().test.estimates['ece'].value:.4f}" in words
    assert "was 0.0321 before the network’s logits were divided by 1.250" in words


def test_curves_of_averaged_weights_say_that_the_model_is_none_of_their_epochs(
    metadata: ModelMetadata,
) -> None:
    assert "average" not in text_of(model_view(metadata))
    words = text_of(model_view(replace(metadata, settings=metadata.settings | {"average_epochs": 2})))
    accuracy = text_of(format_percent(metadata.point().validation.estimates["accuracy"].value))
    assert "its weights are the average over the last 2 epochs" in words
    assert f"whose threshold was chosen on these very cells, {accuracy} are as labelled" in words
    assert "The averaged weights are not in this figure." in words


# About


def test_about_tells_data_limits_and_model(metadata: ModelMetadata) -> None:
    words = text_of(about(metadata))
    for needed in (
        metadata.intended_use,
        metadata.sha256,
        metadata.created,
        metadata.licence,
        malaria_detect.__version__,
        "trunk.pth, which filled 90 of 102 tensors of the network",
        "Cells 1,400 1,400 1,400",
        "Patients 2 2 2",
        "Plasmodium falciparum",
        "one hospital",
        "not a diagnosis",
        "no parasitemia",
        "calls 0 % to 4.9 % parasitized",
        "temperature scaling, 1.250",
        "where the network’s own lies 0.0321",
        "from 20.0 % on. The rule of screening.",
        "from 80.0 % on. The rule of counting.",
        "the page begins with “balanced”",
        "uncertain where its own probability is under 90.0 %",
        "12.0 % of the cells are uncertain, and 55.0 % of the wrong calls are among them",
        "PeerJ 2018; 6: e4568",
        "Nothing of them is written to disk",
    ):
        assert needed in words, needed


def test_about_quotes_what_others_published_from_its_file(metadata: ModelMetadata, tmp_path: Path) -> None:
    published = read_published()
    words = text_of(about(metadata))
    assert str(published.elsewhere[0]) in words
    assert f"an expert review set aside {published.doubted_labels}" in words
    missing = text_of(about(metadata, tmp_path / "published.json"))
    assert "Elsewhere it can be much worse." in missing
    assert "are in part wrong." in missing
    broken = tmp_path / "broken.json"
    broken.write_text("{}", encoding="utf-8")
    assert "broken.json does not hold published results as expected" in text_of(about(metadata, broken))


def test_about_says_where_nothing_was_calibrated_and_which_labels_were_learnt(
    metadata: ModelMetadata,
) -> None:
    assert "Labels learnt as published" in text_of(about(metadata))
    other = replace(metadata, temperature=1.0, data_fingerprint=f"0123{CORRECTED}4567")
    words = text_of(about(other))
    assert NOT_CALIBRATED in words
    assert "temperature scaling" not in words
    assert "Labels learnt as corrected" in words


def test_no_text_of_a_metadata_is_read_as_html(metadata: ModelMetadata) -> None:
    evil = "<script>alert(1)</script>"
    html = about(
        replace(
            metadata,
            intended_use=evil,
            licence=evil,
            created=evil,
            sha256=evil.ljust(64),
            versions={evil: evil},
        )
    )
    assert "<script" not in html


def test_a_text_is_written_when_it_is_first_looked_at(
    metadata: ModelMetadata, told: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(metadata: ModelMetadata, _published: object) -> str:
        written.append(metadata)
        return "<h2>About</h2>"

    monkeypatch.setattr(about_view, "about", write)
    widget = About(metadata)
    assert (written, told) == ([], [])
    show(widget, widget)
    assert (len(written), told) == (1, [{"type": "html", "html": "<h2>About</h2>"}] * 2)


def test_how_good_is_it_costs_nothing_until_it_is_looked_at(
    metadata: ModelMetadata, told: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("nobody has looked yet")

    for name in (
        "slide_view",
        "cross_validation_view",
        "designs_view",
        "model_view",
        "point_scores",
        "point_figures",
    ):
        monkeypatch.setattr(score_report, name, never)
    ScoreReport(metadata).choice.chosen = "counting"
    assert told == [{"type": "stale"}] * 2


def test_all_views_of_the_page_share_one_operating_point(
    metadata: ModelMetadata, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = BrightnessDetector(metadata)
    monkeypatch.setattr(dashboard, "load_detector", lambda _: detector)
    check, how_good, _ = build_dashboard("anywhere/export.pkl").views
    assert isinstance(check, CheckCells)
    assert isinstance(how_good, ScoreReport)
    assert check.choice is how_good.choice
    assert check.choice in check.parts
    assert check.choice in how_good.parts
    check.choice.chosen = "counting"
    assert check.cards.point.name == "counting"
    show(how_good.at_point[0])
    assert "At “counting”" in told[-1]["html"]


# The page


def test_a_missing_model_is_told_in_a_sentence(tmp_path: Path) -> None:
    page = build_dashboard(tmp_path / "export.pkl")
    assert page.names == ["Problem"]
    assert "export.pkl is missing" in text_of(page.views[0].html)
    assert page.research_use == RESEARCH_USE


def test_a_changed_model_is_told_in_a_sentence_and_not_opened(
    tmp_path: Path, metadata: ModelMetadata
) -> None:
    model = tmp_path / "export<b>.pkl"
    model.write_bytes(b"as written")
    metadata_path(model).write_text(to_json(replace(metadata, sha256=sha256_of(model))), encoding="utf-8")
    model.write_bytes(b"changed later")
    html = build_dashboard(model).views[0].html
    assert "is not the file that" in text_of(html)
    assert "export<b>" not in html
