"""The view "Check cells" in a real browser, with the real model: from the upload to cards, table and report."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Download, Page, expect

from malaria_detect.app.widgets.samples import HANDFUL
from malaria_detect.app.widgets.upload import MAX_IMAGES
from malaria_detect.data.images import MAX_BYTES
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.foreign import NOT_A_CELL
from malaria_detect.inference.prediction import Prediction
from tests.browser.served import cards, probability, upload

HOSTILE = "käse 🔬 <img src=x onerror=window.hacked=1>.png"


def predicted(detector: Detector, paths: list[Path], point: str = "balanced") -> list[Prediction]:
    answers = list(detector.at(point).predict_many(paths))
    return [answer for answer in answers if isinstance(answer, Prediction)]


def downloaded(page: Page, button: str) -> Download:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return download.value


def test_cards_give_the_models_probabilities_and_decisions(
    page: Page, cells: list[Path], detector: Detector
) -> None:
    upload(page, *cells)
    expect(cards(page)).to_have_count(len(cells))
    answers = predicted(detector, cells)
    for card, path, answer in zip(cards(page).all(), cells, answers, strict=True):
        expect(card.get_by_role("heading")).to_have_text(path.name)
        assert probability(card) == pytest.approx(answer.probability_parasitized, abs=1e-4)
        assert card.get_attribute("data-kind") == answer.decision.lower()
        shown = card.get_by_role("img").evaluate("image => [image.complete, image.naturalWidth]")
        assert shown == [True, answer.image_size[0]]
    parasitized = sum(answer.decision == "Parasitized" for answer in answers)
    expect(page.get_by_role("status").filter(has_text=f"{parasitized} of {len(cells)} cells")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_a_refused_picture_gets_a_card_with_the_reason_and_can_be_shown_alone(
    page: Page, cells: list[Path], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    upload(page, empty, *cells)
    expect(cards(page)).to_have_count(5)
    assert all(0 <= probability(card) <= 1 for card in cards(page).all()[1:])
    shown = cards(page).filter(visible=True)
    show = page.get_by_role("group", name="Show")
    show.get_by_role("button", name="Not checked 1").click()
    expect(shown).to_have_count(1)
    expect(shown).to_have_attribute("data-kind", "refused")
    expect(shown).to_contain_text("The file is empty")
    show.get_by_role("button", name="All 5").click()
    expect(shown).to_have_count(5)


@pytest.mark.parametrize("name", ["counting", "screening"])
def test_the_operating_point_changes_decisions_and_scores_everywhere_at_once(
    page: Page, cells: list[Path], detector: Detector, name: str
) -> None:
    upload(page, *cells)
    expect(cards(page)).to_have_count(len(cells))
    probabilities = [probability(card) for card in cards(page).all()]
    view = page.get_by_role("tabpanel", name="Check cells")
    view.get_by_role("radio", name=name.capitalize()).check()
    missed = detector.metadata.point(name).test.false_negative
    expect(view.locator(".md-caution")).to_contain_text(f"“{name}”, it missed {missed:,} of")
    decisions = [answer.decision for answer in predicted(detector, cells, name)]
    for card, decision in zip(cards(page).all(), decisions, strict=True):
        expect(card).to_have_attribute("data-kind", decision.lower())
    called = f"{decisions.count('Parasitized')} of {len(cells)} cells"
    expect(view.locator(".md-sentence")).to_contain_text(called)
    expect(view.locator(".md-slide")).to_contain_text(called)
    assert [probability(card) for card in cards(page).all()] == probabilities
    with Path(downloaded(page, "Download CSV").path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [path.name for path in cells]
    assert [float(row["probability_parasitized"]) for row in rows] == probabilities
    assert [row["decision"] for row in rows] == decisions
    assert {row["operating_point"] for row in rows} == {name}

    page.get_by_role("tab", name="How good is it").click()
    view = page.get_by_role("tabpanel", name="How good is it")
    expect(view.get_by_role("radio", name=name.capitalize())).to_be_checked()
    expect(view.get_by_role("heading", name=f"Confusion matrix at “{name}”")).to_be_visible()
    expect(view.get_by_role("table", name="Accuracy")).to_contain_text(f"this model at “{name}”")


def test_what_is_uncovered_on_a_card_stays_so_at_another_operating_point(
    page: Page, sample_cells: Path
) -> None:
    page.get_by_role("button", name="Try some cells").click()
    expect(cards(page)).to_have_count(HANDFUL)
    card = cards(page).first
    label, more = card.locator(".md-label"), card.locator(".md-more")
    expect(label).to_be_hidden()
    card.get_by_role("button", name="Show the label").press("Enter")
    (path,) = sample_cells.rglob(card.get_by_role("heading").inner_text())
    expect(label).to_contain_text(f"Published label: {path.parent.name}.")
    expect(label).to_be_focused()
    card.get_by_text("Details", exact=True).click()
    page.get_by_role("tabpanel").get_by_role("radio", name="Counting").check()
    expect(more).to_contain_text("counting (threshold")
    expect(more).to_be_visible()
    expect(label).to_be_visible()


def test_a_card_tells_at_a_key_press_where_the_model_looked(page: Page, cells: list[Path]) -> None:
    upload(page, *cells[:2])
    expect(cards(page)).to_have_count(2)
    for card in cards(page).all():
        card.get_by_role("button", name="Where did it look?").press("Enter")
        sentence = card.locator(".md-looked")
        expect(sentence).to_be_focused()
        mark, slider = card.locator(".md-mark"), card.get_by_role("slider", name="Opacity of the mark")
        expect(mark).to_be_visible(visible=" at the marked part" in sentence.inner_text())
        if mark.is_visible():
            assert mark.bounding_box() == card.get_by_role("img").bounding_box()
            slider.press("Home")
            expect(mark).to_have_css("opacity", "0")
            slider.press("End")
            expect(mark).to_have_css("opacity", "1")
        # What was found is of one operating point; at another it must be asked for again.
        for name in ("Counting", "Screening", "Balanced"):
            page.get_by_role("tabpanel").get_by_role("radio", name=name).check()
            expect(page.get_by_role("tabpanel").locator(".md-caution")).to_contain_text(f"“{name.lower()}”")
            same = name == "Balanced"
            expect(sentence).to_be_visible(visible=same)
            expect(card.get_by_role("button", name="Where did it look?")).to_be_visible(visible=not same)


def test_an_answer_to_an_earlier_choice_does_not_undo_a_later_one(page: Page, cells: list[Path]) -> None:
    upload(page, cells[0])
    expect(cards(page)).to_have_count(1)
    panel = page.get_by_role("tabpanel")
    shown = panel.locator(".md-points").first.evaluate(
        """async (points) => {
            const radios = [...points.querySelectorAll("input")];
            for (const name of ["counting", "screening"]) radios.find((radio) => radio.value === name).click();
            const caution = points.closest("[role=tabpanel]").querySelector(".md-caution");
            const shown = new Set();
            while (!caution.textContent.includes("“screening”")) {
                await new Promise(requestAnimationFrame);
                shown.add(radios.find((radio) => radio.checked)?.value);
            }
            return [...shown];
        }"""
    )
    assert shown == ["screening"]


def test_the_report_holds_what_the_cards_show_and_runs_no_file_name(
    page: Page, cells: list[Path], copy_as: Callable[[str], Path], detector: Detector, tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture", encoding="utf-8")
    upload(page, *cells, copy_as(HOSTILE), text)
    expect(cards(page)).to_have_count(len(cells) + 2)
    expect(page.get_by_role("heading", name=HOSTILE, exact=True)).to_be_visible()
    assert page.evaluate("'hacked' in window") is False
    report = tmp_path / "report.html"
    downloaded(page, "Download report").save_as(report)
    kinds = [card.get_attribute("data-kind") for card in cards(page).all()]

    assert page.context.browser
    alone = page.context.browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    complaints: list[str] = []
    alone.on("console", lambda line: complaints.append(line.text))
    shown = alone.new_page()
    shown.goto(report.as_uri())
    for cell, kind in zip(shown.locator("li").all(), kinds, strict=True):
        assert kind in (cell.get_attribute("class") or "").split()
    expect(shown.get_by_text(detector.metadata.sha256)).to_be_visible()
    expect(shown.get_by_text(HOSTILE, exact=True)).to_be_visible()
    assert shown.evaluate("'hacked' in window") is False
    assert shown.evaluate("document.documentElement.scrollWidth") == 390
    pictures = shown.locator("li img")
    expect(pictures).to_have_count(len(cells) + 1)
    assert pictures.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth > 0)")
    # The page's own policy lets its style through.
    assert shown.locator("li").first.evaluate("one => getComputedStyle(one).borderTopWidth") == "4px"
    assert complaints == []
    alone.close()


def test_clear_forgets_the_cards_and_the_pictures(page: Page, cells: list[Path]) -> None:
    page.evaluate(
        "() => { window.released = []; URL.revokeObjectURL = (address) => released.push(address); }"
    )
    upload(page, cells[0])
    picture = cards(page).get_by_role("img").get_attribute("src")
    page.get_by_role("button", name="Clear all").click()
    expect(cards(page)).to_have_count(0)
    # The page also releases the scripts of its widgets, when they have been loaded.
    assert page.evaluate("window.released").count(picture) == 1


def test_two_visitors_do_not_see_each_others_pictures(
    page: Page, visit: Callable[[], Page], cells: list[Path]
) -> None:
    other = visit()
    upload(page, cells[0])
    upload(other, cells[-1])
    expect(cards(page)).to_have_count(1)
    expect(cards(other)).to_have_count(1)
    expect(cards(page).get_by_role("heading")).to_have_text(cells[0].name)
    expect(cards(other).get_by_role("heading")).to_have_text(cells[-1].name)


def test_nothing_of_the_pictures_is_written_to_disk(
    page: Page, copy_as: Callable[[str], Path], server_folder: Path
) -> None:
    def files() -> set[Path]:
        return {path for path in (server_folder / "tmp").rglob("*") if path.is_file()}

    before = files()
    upload(page, copy_as("secret-name.png"))
    expect(cards(page)).to_have_count(1)
    for name in ("Download CSV", "Download report"):
        downloaded(page, name)
    assert files() == before
    assert "secret-name" not in (server_folder / "log.txt").read_text(encoding="utf-8")


def test_too_many_and_too_large_pictures_are_told_and_not_sent(
    page: Page, cells: list[Path], tmp_path: Path
) -> None:
    alert = page.get_by_role("alert")
    limits = f"Up to {MAX_IMAGES} images at a time, {MAX_BYTES // 2**20} MB each"
    expect(page.get_by_text(limits)).to_be_visible()
    upload(page, *[cells[0]] * (MAX_IMAGES + 1))
    expect(alert.filter(has_text=f"{MAX_IMAGES + 1} images")).to_be_visible()
    expect(cards(page)).to_have_count(0)
    large = tmp_path / "large.png"
    large.write_bytes(bytes(MAX_BYTES + 1))
    upload(page, large, cells[0])
    expect(cards(page)).to_have_count(1)
    expect(alert.filter(has_text="large.png")).to_be_visible()


@pytest.mark.slow
def test_the_largest_upload_that_is_allowed_arrives(page: Page, tmp_path: Path) -> None:
    side = int((MAX_BYTES / 3) ** 0.5) - 2
    pictures = []
    for number in range(MAX_IMAGES):
        pictures.append(tmp_path / f"{number}.bmp")
        ramp = Image.linear_gradient("L").resize((side, side))
        Image.merge("RGB", [Image.new("L", ramp.size, number), ramp, ramp]).save(pictures[-1])
    assert 0.99 * MAX_BYTES < pictures[0].stat().st_size <= MAX_BYTES
    upload(page, *pictures)
    expect(cards(page)).to_have_count(MAX_IMAGES)
    expect(cards(page).last).to_contain_text(NOT_A_CELL)
