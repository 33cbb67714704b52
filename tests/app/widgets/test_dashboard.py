"""The tab "About", and the page around all tabs."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

import malaria_detect
from malaria_detect.app.widgets import About, CheckCells, ScoreReport, build_dashboard
from malaria_detect.app.widgets.about import about
from malaria_detect.app.widgets.results import Result
from malaria_detect.app.widgets.slide import AnalyseSlide
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.app.wording import NOT_CALIBRATED
from malaria_detect.app.workers.messages import WORKERS_VARIABLE
from malaria_detect.app.workers.remote import open_analyser
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.data.corrections import CORRECTED
from malaria_detect.evaluation.laboratories import Gain, Laboratories, LaboratoryScore, Spread
from malaria_detect.evaluation.literature import read_published
from malaria_detect.fields import finder_files
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE, MetadataError
from malaria_detect.inference.model_files import metadata_path, sha256_of
from malaria_detect.inference.prediction import Refusal
from malaria_detect.metrics import Estimate
from malaria_detect.metrics.formatting import format_percent
from tests.app.widgets.fakes import (
    EVIL,
    METADATA,
    KnownAnalyser,
    Messages,
    hear,
    of_type,
    plain,
    png_of,
    red_png,
    rows_of,
    text_of,
)
from tests.drawn_fields import Drawn, drawn_field
from tests.refused import refused


def test_about_has_data_limits_and_model() -> None:
    page = About(METADATA)
    hear(page, type="show")
    words = text_of(page.html)
    alarms = [1 - point.test.estimates["specificity"].value for point in METADATA.operating_points]
    for needed in (
        METADATA.sha256,
        METADATA.licence,
        malaria_detect.__version__,
        "Cells 1,400 1,400 1,400",
        "Plasmodium falciparum",
        "not a diagnosis",
        plain(f"{format_percent(min(alarms))} to {format_percent(max(alarms))} of the uninfected cells"),
        "temperature of 1.250",
        "The rule of screening.",
        "below 90.0 %",
        "55.0 % of the wrong decisions",
        "Labels published",
    ):
        assert needed in words


def test_about_quotes_published_results_if_there_are_any(tmp_path: Path) -> None:
    published = read_published()
    words = text_of(about(METADATA))
    assert str(published.elsewhere[0]) in words
    assert str(published.doubted_labels) in words
    assert "Published examples" not in about(METADATA, tmp_path / "published.json")
    broken = tmp_path / "broken<b>.json"
    broken.write_text("{}", encoding="utf-8")
    assert "broken&lt;b&gt;.json" in about(METADATA, broken)


REFUSED = {"Parasitized": 2, "Uninfected": 4}


def test_about_shows_the_scores_in_other_laboratories_if_there_are_any(tmp_path: Path) -> None:
    scores = METADATA.point().test
    called = {
        METADATA.default_point: {name: scores.estimates[name] for name in ("sensitivity", "specificity")}
    }
    gains = tuple(
        Gain(n, 3 * n, 10, {"roc_auc": Spread(auc - 0.05, 0)}, {"roc_auc": Spread(auc, 0)}, {}, Spread(0, 0))
        for n, auc in ((10, 0.95), (20, 0.96), (150, 0.987))
    )
    healthy = {METADATA.default_point: {"specificity": scores.estimates["specificity"]}}
    outcomes = {f"refused {label}": Estimate(0.1, 0.0, 0.2, hits, 20) for label, hits in REFUSED.items()}
    learnt = "uninfected cells of its other fields"
    both = [
        LaboratoryScore(
            "lahore", "outline", "unseen", 9, 20, 60, REFUSED, outcomes, called, scores, (), gains
        ),
        LaboratoryScore("<bangkok>", "box", learnt, 9, 0, 60, {}, outcomes, healthy, None, (), ()),
    ]
    path = tmp_path / "laboratories.json"
    path.write_text(to_json(Laboratories.of(both, "evaluate", METADATA.sha256, "0" * 64)), encoding="utf-8")
    html = about(replace(METADATA, expectations={"lahore": "Much <b>."}), laboratories=path)
    assert "Much <b>." in text_of(html)
    lahore, bangkok = (text_of(row) for row in rows_of(html))
    assert plain(format_percent(scores.estimates["sensitivity"].value)) in lahore
    assert "0.910 → 0.960" in lahore
    assert "6 more were not found; unseen" in lahore
    assert plain(format_percent(6 / 80)) in lahore
    assert bangkok.count("–") == 3
    assert "<bangkok>" not in html
    assert learnt in bangkok
    assert "of another model" not in text_of(html)
    assert "Laboratories" not in about(METADATA, laboratories=tmp_path / "missing.json")
    path.write_text("{}", encoding="utf-8")
    assert "laboratories.json is damaged" in about(METADATA, laboratories=path)


def test_about_says_if_nothing_was_calibrated_and_escapes_the_metadata() -> None:
    other = replace(METADATA, temperature=1.0, data_fingerprint=f"0123{CORRECTED}4567")
    evil = replace(other, intended_use=EVIL, licence=EVIL, created=EVIL, versions={EVIL: EVIL})
    html = about(replace(evil, sha256=EVIL.ljust(64)))
    assert NOT_CALIBRATED in text_of(html)
    assert "Labels corrected" in text_of(html)
    assert "<script" not in html


def no_teacher(_: Path) -> NoReturn:
    raise MalariaDetectError("This model has no <references>.", "no_references")


def no_finder(_: Path) -> NoReturn:
    raise MalariaDetectError("There is no <finder>. Install the package again.", reason="missing")


def test_without_a_finder_single_cells_can_be_checked(detector: Detector, told: Messages) -> None:
    page = build_dashboard("anywhere/export.pkl", lambda _: detector, no_finder, no_teacher)
    check, slide, teach, *_ = page.views
    assert "There is no &lt;finder&gt;." in slide.html
    assert "no &lt;references&gt;" in teach.html
    assert isinstance(check, CheckCells)
    check.upload.take(
        [UploadedFile("a.png", red_png(255)), UploadedFile("field.jpg", png_of(drawn_field(0)[0]))]
    )
    assert [card["field"] for card in of_type(told, "card")] == [False, False]


def test_a_kernel_of_the_server_notices_a_missing_finder_before_the_first_field(
    shipped_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, "ipc://nowhere")
    monkeypatch.setattr(finder_files, "_SHIPPED", tmp_path / "finder.pt")
    with refused(MetadataError, "missing", naming=tmp_path):
        open_analyser(shipped_model)


def test_a_field_among_the_cells_can_be_analysed_as_one(told: Messages, detector: Detector) -> None:
    field = png_of(drawn_field(0)[0])
    page = build_dashboard(
        "anywhere/export.pkl", lambda _: detector, lambda _: KnownAnalyser(drawn=Drawn()), no_teacher
    )
    check, slide, *_ = page.views
    assert isinstance(check, CheckCells)
    assert isinstance(slide, AnalyseSlide)
    too_large = png_of(np.zeros((10, 5_001, 3), np.uint8))
    check.upload.take(
        [
            UploadedFile("cell.png", red_png(255)),
            UploadedFile("large.png", too_large),
            UploadedFile("broken.png", b"broken"),
        ]
    )
    check.cards.results.append(Result("field.png", Refusal("A field.", "whole_field"), b"", None, field))
    assert [result.may_be_field for result in check.cards.results] == [False, True, False, True]
    for card in (0, 2, 3, 9):
        hear(check.cards, type="field", id=card)
    assert [result.name for result in slide.review.results] == ["field.png"]
    assert told[-1] == {"type": "show", "tab": 1}


def test_all_tabs_share_one_operating_point(detector: Detector, told: Messages) -> None:
    check, _, _, how_good, _ = build_dashboard(
        "anywhere/export.pkl", lambda _: detector, no_finder, no_teacher
    ).views
    assert isinstance(check, CheckCells)
    assert isinstance(how_good, ScoreReport)
    assert check.choice is how_good.choice
    assert check.choice in check.parts
    assert check.choice in how_good.parts
    check.choice.chosen = "counting"
    assert check.cards.point.name == "counting"
    hear(how_good.at_point[0], type="show")
    assert "“counting”" in how_good.at_point[0].html


@pytest.mark.parametrize("changed", [False, True])
def test_a_missing_or_changed_model_gives_a_message_and_is_not_opened(changed: bool, tmp_path: Path) -> None:
    model = tmp_path / "export<b>.pkl"
    if changed:
        model.write_bytes(b"as written")
        metadata_path(model).write_text(to_json(replace(METADATA, sha256=sha256_of(model))), encoding="utf-8")
        model.write_bytes(b"changed later")
    page = build_dashboard(model)
    assert page.names == ["Problem"]
    assert page.research_use == RESEARCH_USE
    assert "export&lt;b&gt;.pkl" in page.views[0].html
