"""The views "How good is it" and "About", and the page around them."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

import malaria_detect
from malaria_detect.metrics import Estimate
from malaria_detect.passport import RESEARCH_USE, Passport, passport_path, sha256_of, to_json
from malaria_detect.widgets import About, ScoreReport, build_dashboard
from malaria_detect.widgets.about import about
from malaria_detect.widgets.scores import score_report, score_table


def text_of(html: str) -> str:
    """What a reader sees of some HTML, in one line."""
    bare = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL)
    return " ".join(bare.replace("\N{NO-BREAK SPACE}", " ").split())


def test_every_figure_has_a_sentence_that_says_how_to_read_it(passport: Passport) -> None:
    html = score_report(passport)
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    titles = [re.findall(r"<h3>(.*?)</h3>", figure) for figure in figures]
    assert titles == [["Confusion matrix"], ["ROC curve"], ["Loss per epoch"], ["Accuracy per epoch"]]
    for figure in figures:
        assert len(re.findall("<svg", figure)) == 1
        assert len(re.findall(r"<figcaption>[^<]{40,}</figcaption>", figure)) == 1


def test_scores_counts_and_intervals_are_the_passports(passport: Passport) -> None:
    scores = passport.test_scores
    words = text_of(score_report(passport))
    assert f"Measured on {scores.cells:,} cells of {scores.patients} patients" in words
    for name in ("accuracy", "sensitivity", "specificity", "precision"):
        estimate = scores.estimates[name]
        interval = " to ".join(
            "100 %" if end == 1 else f"{100 * end:.1f} %" for end in (estimate.low, estimate.high)
        )
        assert f"{interval} {estimate.hits:,} of {estimate.total:,}" in words
    assert f"{scores.estimates['roc_auc'].value:.4f}" in words


def test_precision_is_also_told_for_a_slide_with_few_infected_cells(passport: Passport) -> None:
    estimates = passport.test_scores.estimates | {
        "sensitivity": Estimate(0.96, 0.9, 1),
        "specificity": Estimate(0.97, 0.9, 1),
    }
    scores = replace(passport.test_scores, estimates=estimates)
    words = text_of(score_table(scores))
    # 0.01 x 0.96 found and 0.99 x 0.03 false alarms
    assert "On a slide with 1.0 % of the cells infected it would be about 24.4 %." in words


def test_a_score_that_is_not_defined_stands_as_a_dash(passport: Passport) -> None:
    undefined = Estimate(math.nan, math.nan, math.nan, 0, 0)
    scores = replace(
        passport.test_scores, estimates={"precision": undefined} | passport.test_scores.estimates
    )
    scores.estimates["precision"] = undefined
    html = score_table(scores)
    assert "nan" not in text_of(html).lower()
    assert "data-name='Value'>–</td><td role='cell' data-name='95 % interval'>–</td>" in html


def test_about_tells_data_limits_and_model(passport: Passport) -> None:
    words = text_of(about(passport))
    for needed in (
        passport.intended_use,
        passport.sha256,
        passport.created,
        passport.licence,
        malaria_detect.__version__,
        "trunk.pth, which filled 90 of 102 tensors of the network",
        "Cells 1,400 1,400 1,400",
        "Patients 2 2 2",
        "Plasmodium falciparum",
        "one hospital",
        "not a diagnosis",
        "no parasitemia",
        "PeerJ 2018; 6: e4568",
        "Nothing of them is written to disk",
    ):
        assert needed in words, needed


def test_no_text_of_a_passport_is_read_as_html(passport: Passport) -> None:
    evil = "<script>alert(1)</script>"
    html = about(
        replace(
            passport,
            intended_use=evil,
            licence=evil,
            created=evil,
            sha256=evil.ljust(64),
            versions={evil: evil},
        )
    )
    assert "<script" not in html


@pytest.mark.parametrize("view", [ScoreReport, About])
def test_a_view_is_written_when_it_is_first_looked_at(
    view: type[ScoreReport] | type[About], passport: Passport, told: list[dict[str, str]]
) -> None:
    widget = view(passport)
    assert told == []
    for _ in range(2):
        widget._handle_custom_msg({"type": "show"}, [])
    first, second = told
    assert first == second
    assert first["html"].startswith("<h2>")


def test_a_missing_model_is_told_in_a_sentence(tmp_path: Path) -> None:
    page = build_dashboard(tmp_path / "export.pkl")
    assert page.names == ["Problem"]
    assert "export.pkl is missing" in text_of(page.views[0].html)
    assert page.research_use == RESEARCH_USE


def test_a_changed_model_is_told_in_a_sentence_and_not_opened(tmp_path: Path, passport: Passport) -> None:
    model = tmp_path / "export<b>.pkl"
    model.write_bytes(b"as written")
    passport_path(model).write_text(to_json(replace(passport, sha256=sha256_of(model))), encoding="utf-8")
    model.write_bytes(b"changed later")
    html = build_dashboard(model).views[0].html
    assert "is not the file that" in text_of(html)
    assert "export<b>" not in html
