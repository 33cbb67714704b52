"""The served page in a real browser, with the real model: what a visitor sees and what a visitor can do."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from malaria_detect.app.widgets.samples import HANDFUL
from malaria_detect.app.widgets.upload import MAX_IMAGES
from malaria_detect.data.images import MAX_BYTES
from malaria_detect.inference.metadata import RESEARCH_USE, ModelMetadata
from malaria_detect.inference.model_files import read_metadata
from tests.app.widgets.fakes import FIRST_FIGURES
from tests.browser.served import (
    PROJECT,
    READY_MILLISECONDS,
    Server,
    leave,
    open_page,
    upload,
    wait_until_ready,
)

VIEWS = ("Check cells", "How good is it", "About")
expect.set_options(timeout=READY_MILLISECONDS)


def cards(page: Page) -> Locator:
    return page.get_by_role("tabpanel").get_by_role("list").locator("> li.md-card")


def probability(card: Locator) -> float:
    """Probability of parasitized as the card has it, unrounded."""
    return float(card.locator(".md-bar-parasitized data").get_attribute("value") or "nan")


def by_command_line(*paths: Path, operating_point: str = "balanced") -> list[dict[str, str]]:
    command: list[str | Path] = [
        Path(sys.executable).with_name("malaria-detect"),
        "predict",
        *paths,
        "--json",
        f"--operating-point={operating_point}",
    ]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    rows: list[dict[str, str]] = json.loads(result.stdout)
    return rows


@pytest.fixture(scope="module")
def metadata() -> ModelMetadata:
    return read_metadata(PROJECT / "export.pkl")


def test_letters_typed_on_the_page_are_kept_from_a_notebook_around_it(page: Page) -> None:
    for one in (page.get_by_role("tab").first, page.get_by_role("button").first):
        one.focus()
        expect(one).to_have_attribute("data-lm-suppress-shortcuts", "true")


def test_cards_give_the_probability_and_decision_of_the_command_line(page: Page, cells: list[Path]) -> None:
    upload(page, *cells)
    expect(cards(page)).to_have_count(len(cells))
    rows = by_command_line(*cells)
    for card, path, row in zip(cards(page).all(), cells, rows, strict=True):
        expect(card.get_by_role("heading")).to_have_text(path.name)
        assert probability(card) == pytest.approx(float(row["probability_parasitized"]), abs=1e-4)
        assert card.get_attribute("data-kind") == row["decision"].lower()
        shown = card.get_by_role("img").evaluate("image => [image.complete, image.naturalWidth]")
        with Image.open(path) as picture:
            assert shown == [True, picture.width]
    parasitized = sum(row["decision"] == "Parasitized" for row in rows)
    expect(page.locator(".md-sentence")).to_contain_text(f"{parasitized} of {len(cells)} cells look")


@pytest.mark.parametrize("width", [1280, 390])
def test_research_use_line_is_seen_on_every_view_and_nothing_is_cut_off(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    line = page.get_by_text(RESEARCH_USE, exact=True).first
    for view in VIEWS:
        page.get_by_role("tab", name=view).click()
        expect(page.get_by_role("tab", name=view)).to_have_attribute("aria-selected", "true")
        expect(line).to_be_in_viewport(ratio=1)
        expect(page.locator("[aria-busy=true]:visible")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_how_good_is_it_shows_figures_and_accuracy_at_once_and_is_short_on_a_phone(
    page: Page, metadata: ModelMetadata
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("tab", name=VIEWS[1]).click()
    view = page.get_by_role("tabpanel", name=VIEWS[1])
    # No waiting: all of it was there before the tab was opened.
    for title in FIRST_FIGURES:
        figure = view.get_by_role("figure").filter(has=page.get_by_role("heading", name=title))
        assert figure.get_by_role("img").evaluate("image => image.complete && image.naturalWidth > 0")
    accuracy = view.get_by_role("table", name="Accuracy").get_by_role("row").filter(has_text="Test patients")
    shown = f"{100 * metadata.point().test.estimates['accuracy'].value:.1f}\N{NO-BREAK SPACE}%"
    assert shown in accuracy.inner_text()
    assert page.evaluate("document.documentElement.scrollHeight") < 3000


def test_what_is_folded_can_be_unfolded(page: Page, metadata: ModelMetadata) -> None:
    page.get_by_role("tab", name=VIEWS[1]).click()
    view = page.get_by_role("tabpanel", name=VIEWS[1])
    for fold in view.locator("details > summary").all():
        fold.click()
        expect(fold.locator("xpath=..").locator("figure, p").first).to_be_visible()
    for title in ("ROC curve", "Limits of detection", "Calibration"):
        expect(view.get_by_role("figure").filter(has=page.get_by_role("heading", name=title))).to_be_visible()
    expect(view.get_by_role("table", name="What a slide would read").locator("tbody tr")).to_have_count(3)
    accuracy = metadata.point().test.estimates["accuracy"]
    row = view.get_by_role("table", name="Scores on test patients").get_by_role("row", name="Accuracy")
    expect(row).to_contain_text(f"{accuracy.hits:,} of {accuracy.total:,}")
    for fold in view.locator("details > summary").all():
        fold.click()


def test_about_shows_the_model_and_its_limits(page: Page, metadata: ModelMetadata) -> None:
    page.get_by_role("tab", name=VIEWS[2]).click()
    view = page.get_by_role("tabpanel", name=VIEWS[2])
    expect(view.get_by_text(metadata.sha256)).to_be_visible()
    expect(view.get_by_role("heading", name="What it cannot do")).to_be_visible()


def test_a_refused_picture_gets_a_card_with_the_reason_and_the_others_their_answer(
    page: Page, cells: list[Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture", encoding="utf-8")
    upload(page, text, cells[0])
    expect(cards(page)).to_have_count(2)
    refused, checked = cards(page).all()
    expect(refused).to_contain_text("Not checked")
    expect(refused).to_contain_text("PNG")
    assert 0 <= probability(checked) <= 1
    expect(page.locator(".md-sentence")).to_contain_text("1 image could not be checked.")


def test_a_file_name_with_html_is_shown_and_not_run(page: Page, copy_as: Callable[[str], Path]) -> None:
    name = "<img src=x onerror=window.hacked=1>.png"
    upload(page, copy_as(name), copy_as("käse 🔬 'a b'.png"))
    expect(cards(page)).to_have_count(2)
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="käse 🔬 'a b'.png", exact=True)).to_be_visible()
    assert page.evaluate("'hacked' in window") is False
    assert page.locator("img[src=x]").count() == 0


def test_the_same_name_twice_gives_two_cards(page: Page, cells: list[Path]) -> None:
    for number in (1, 2):
        upload(page, cells[0])
        expect(cards(page)).to_have_count(number)


def test_limits_stand_on_the_page(page: Page) -> None:
    limits = f"Up to {MAX_IMAGES} images at a time, {MAX_BYTES // 2**20} MB each"
    expect(page.get_by_text(limits)).to_be_visible()


def test_too_many_pictures_are_told_and_not_sent(page: Page, cells: list[Path]) -> None:
    upload(page, *[cells[0]] * (MAX_IMAGES + 1))
    expect(page.get_by_role("alert").filter(has_text="You chose 21 images; the limit is 20")).to_be_visible()
    expect(cards(page)).to_have_count(0)


def test_a_picture_that_is_too_large_is_told_and_the_others_are_checked(
    page: Page, cells: list[Path], tmp_path: Path
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(MAX_BYTES + 1))
    upload(page, large, cells[0])
    expect(cards(page)).to_have_count(1)
    expect(page.get_by_role("alert").filter(has_text="larger than 5 MB: large.png")).to_be_visible()


def test_the_largest_upload_that_is_allowed_arrives(page: Page, tmp_path: Path) -> None:
    side = int((MAX_BYTES / 3) ** 0.5) - 2
    pictures = []
    for number in range(MAX_IMAGES):
        pictures.append(tmp_path / f"{number}.bmp")
        Image.new("RGB", (side, side), (number, 0, 0)).save(pictures[-1])
    assert 0.99 * MAX_BYTES < pictures[0].stat().st_size <= MAX_BYTES
    upload(page, *pictures)
    expect(cards(page)).to_have_count(MAX_IMAGES)
    expect(cards(page).last).to_contain_text("This image is large")


def test_csv_holds_what_the_cards_show(page: Page, cells: list[Path], copy_as: Callable[[str], Path]) -> None:
    files = [cells[0], copy_as("=1+1.png")]
    upload(page, *files)
    expect(cards(page)).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "malaria_detect_results.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["path"] for row in rows] == [cells[0].name, "'=1+1.png"]
    for row, card in zip(rows, cards(page).all(), strict=True):
        assert float(row["probability_parasitized"]) == probability(card)
        assert row["decision"].lower() == card.get_attribute("data-kind")


def test_the_operating_point_changes_decisions_and_scores_everywhere_at_once(
    page: Page, cells: list[Path], metadata: ModelMetadata
) -> None:
    upload(page, *cells)
    expect(cards(page)).to_have_count(len(cells))
    probabilities = [probability(card) for card in cards(page).all()]
    for name in ("counting", "screening"):
        point = metadata.point(name)
        page.get_by_role("tab", name=VIEWS[0]).click()
        view = page.get_by_role("tabpanel", name=VIEWS[0])
        view.get_by_role("radio", name=name.capitalize()).check()
        expect(view.locator(".md-caution")).to_contain_text(
            f"“{name}”, it missed {point.test.false_negative:,} of"
        )
        rows = by_command_line(*cells, operating_point=name)
        for card, row in zip(cards(page).all(), rows, strict=True):
            expect(card).to_have_attribute("data-kind", row["decision"].lower())
        parasitized = sum(row["decision"] == "Parasitized" for row in rows)
        expect(view.locator(".md-sentence")).to_contain_text(f"{parasitized} of {len(cells)} cells look")
        expect(view.locator(".md-slide")).to_contain_text(f"{parasitized} of {len(cells)} cells w")
        assert [probability(card) for card in cards(page).all()] == probabilities
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        text = Path(download.value.path()).read_text(encoding="utf-8")
        written = list(csv.DictReader(io.StringIO(text)))
        assert [(row["decision"], row["operating_point"]) for row in written] == [
            (row["decision"], name) for row in rows
        ]

        page.get_by_role("tab", name=VIEWS[1]).click()
        view = page.get_by_role("tabpanel", name=VIEWS[1])
        expect(view.get_by_role("radio", name=name.capitalize())).to_be_checked()
        expect(view.get_by_role("heading", name=f"Confusion matrix at “{name}”")).to_be_visible()
        expect(view.get_by_role("table", name="Accuracy")).to_contain_text(f"this model at “{name}”")


def test_what_is_unfolded_on_a_card_stays_so_at_another_operating_point(page: Page) -> None:
    page.get_by_role("button", name="Try some cells").click()
    expect(cards(page)).to_have_count(HANDFUL)
    card = cards(page).first
    card.get_by_role("button", name="Show the label").click()
    card.get_by_text("Details", exact=True).click()
    page.get_by_role("tabpanel").get_by_role("radio", name="Counting").check()
    expect(card.locator(".md-more")).to_contain_text("counting (threshold")
    expect(card.locator(".md-more")).to_be_visible()
    expect(card.locator(".md-label")).to_be_visible()


def test_a_card_tells_at_a_key_press_where_the_model_looked(page: Page, cells: list[Path]) -> None:
    upload(page, *cells[:2])
    expect(cards(page)).to_have_count(2)
    for card in cards(page).all():
        card.get_by_role("button", name="Where did it look?").press("Enter")
        sentence = card.locator(".md-looked")
        expect(sentence).to_be_focused()
        mark, slider = card.locator(".md-mark"), card.get_by_role("slider", name="Opacity of the mark")
        expect(mark).to_be_visible(visible="looked at the marked part" in sentence.inner_text())
        if mark.is_visible():
            assert mark.bounding_box() == card.get_by_role("img").bounding_box()
            slider.press("Home")
            expect(mark).to_have_css("opacity", "0")
            slider.press("End")
            expect(mark).to_have_css("opacity", "1")
        # What was found is of one operating point; at another it is asked for anew.
        for name in ("Counting", "Screening", "Balanced"):
            page.get_by_role("tabpanel").get_by_role("radio", name=name).check()
            expect(page.get_by_role("tabpanel").locator(".md-caution")).to_contain_text(f"“{name.lower()}”")
            same = name == "Balanced"
            expect(sentence).to_be_visible(visible=same)
            expect(card.get_by_role("button", name="Where did it look?")).to_be_visible(visible=not same)


def test_the_report_holds_what_the_cards_show_and_opens_without_the_server(
    page: Page,
    visitor: Page,
    cells: list[Path],
    copy_as: Callable[[str], Path],
    metadata: ModelMetadata,
    tmp_path: Path,
) -> None:
    name = "<img src=x onerror=window.hacked=1>.png"
    text = tmp_path / "text.png"
    text.write_text("no picture", encoding="utf-8")
    upload(page, *cells, copy_as(name), text)
    expect(cards(page)).to_have_count(len(cells) + 2)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download report").click()
    assert download.value.suggested_filename == "malaria_detect_report.html"
    report = tmp_path / "report.html"
    download.value.save_as(report)
    kinds = [card.get_attribute("data-kind") for card in cards(page).all()]

    alone = visitor.context.browser.new_context(viewport={"width": 390, "height": 844}, offline=True)  # type: ignore[union-attr]
    complaints: list[str] = []
    alone.on("console", lambda line: complaints.append(line.text))
    shown = alone.new_page()
    shown.goto(report.as_uri())
    found = [
        next(
            kind
            for kind in ("parasitized", "uninfected", "refused")
            if kind in (one.get_attribute("class") or "")
        )
        for one in shown.locator(".cell").all()
    ]
    assert found == kinds
    expect(shown.get_by_text(metadata.sha256)).to_be_visible()
    expect(shown.get_by_role("heading", name=name)).to_be_visible()
    assert shown.evaluate("window.hacked") is None
    assert shown.evaluate("document.documentElement.scrollWidth") == 390
    pictures = shown.locator(".cell img")
    expect(pictures).to_have_count(len(cells) + 1)
    assert pictures.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth > 0)")
    # The page's own policy lets its style through.
    assert shown.locator(".cell").first.evaluate("one => getComputedStyle(one).borderTopWidth") == "4px"
    assert complaints == []
    alone.close()


def test_filters_show_one_kind_of_cards(page: Page, cells: list[Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    upload(page, *cells, empty)
    expect(cards(page)).to_have_count(5)
    show = page.get_by_role("group", name="Show")
    show.get_by_role("button", name="Not checked 1").click()
    expect(cards(page).filter(visible=True)).to_have_count(1)
    expect(cards(page).filter(visible=True)).to_contain_text("The file is empty")
    show.get_by_role("button", name="All 5").click()
    expect(cards(page).filter(visible=True)).to_have_count(5)


def test_cells_to_try_reveal_their_label_at_a_press(page: Page, sample_cells: Path) -> None:
    page.get_by_role("button", name="Try some cells").click()
    expect(cards(page)).to_have_count(HANDFUL)
    card = cards(page).first
    name = card.get_by_role("heading").inner_text()
    label = card.locator(".md-label")
    expect(label).to_be_hidden()
    reveal = card.get_by_role("button", name="Show the label")
    reveal.focus()
    page.keyboard.press("Enter")
    (path,) = sample_cells.rglob(name)
    expect(label).to_contain_text(f"Published label: {path.parent.name}.")
    expect(label).to_be_focused()


def test_clear_forgets_the_cards_and_the_pictures(page: Page, cells: list[Path]) -> None:
    page.evaluate(
        "() => { window.released = []; URL.revokeObjectURL = (address) => released.push(address); }"
    )
    upload(page, cells[0])
    picture = cards(page).get_by_role("img").get_attribute("src")
    page.get_by_role("button", name="Clear all").click()
    expect(cards(page)).to_have_count(0)
    assert page.evaluate("window.released") == [picture]


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


def test_everything_can_be_done_with_the_keyboard(page: Page, cells: list[Path]) -> None:
    def focus_on(role: str, name: str) -> None:
        """Tab until an element has the focus, and see that the focus can be seen."""
        wanted = page.get_by_role(role, name=name)  # type: ignore[arg-type]  # one of ARIA's roles
        for _ in range(30):
            page.keyboard.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                break
        expect(wanted).to_be_focused()
        assert wanted.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"

    # Listened for from the start: a key press is faster than the browser learns that somebody listens.
    page.once("filechooser", lambda chooser: chooser.set_files(cells[:2]))
    page.evaluate("document.activeElement.blur()")
    focus_on("tab", "Check cells")
    for key, view in (("ArrowRight", VIEWS[1]), ("End", VIEWS[2]), ("ArrowRight", VIEWS[0])):
        page.keyboard.press(key)
        expect(page.get_by_role("tabpanel", name=view)).to_be_visible()
        expect(page.get_by_role("tab", name=view)).to_be_focused()
    focus_on("button", "Upload images")
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(2)
    focus_on("radio", "Balanced")
    for key, point in (("ArrowDown", "counting"), ("ArrowUp", "balanced")):
        page.keyboard.press(key)
        expect(page.get_by_role("tabpanel").locator(".md-caution")).to_contain_text(f"“{point}”")
        expect(page.get_by_role("tabpanel").get_by_role("radio", name=point.capitalize())).to_be_focused()
    focus_on("button", "All 2")
    focus_on("button", "Download report")
    focus_on("button", "Download CSV")
    with page.expect_download():
        page.keyboard.press("Space")
    focus_on("button", "Clear all")
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(0)
    expect(page.get_by_text("No images yet.")).to_be_focused()


def test_progress_and_summary_are_read_aloud(page: Page, cells: list[Path]) -> None:
    upload(page, *cells)
    expect(page.get_by_role("status").filter(has_text="cells look")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_be_hidden()


@pytest.mark.parametrize(
    "file",
    [
        "export.pkl",
        "export.json",
        "reports/evaluation.json",
        "dashboard.ipynb",
        "README.md",
        "voila.json",
        "docs/page.png",
    ],
)
def test_no_file_of_the_folder_is_served(visitor: Page, address: str, file: str) -> None:
    for path in (file, f"voila/files/{file}"):
        assert visitor.request.get(address + path).status == 404


def test_nothing_of_the_pictures_is_written_to_disk(
    page: Page, copy_as: Callable[[str], Path], server_folder: Path
) -> None:
    def files() -> set[Path]:
        return {path for path in (server_folder / "tmp").rglob("*") if path.is_file()}

    before = files()
    upload(page, copy_as("secret-name.png"))
    expect(cards(page)).to_have_count(1)
    for name in ("Download CSV", "Download report"):
        with page.expect_download():
            page.get_by_role("button", name=name).click()
    assert files() == before
    assert "secret-name" not in (server_folder / "log.txt").read_text(encoding="utf-8")


def test_the_page_loads_under_its_own_cover_until_it_can_be_used(visitor: Page, server: Server) -> None:
    page = visitor.context.new_page()
    page.add_init_script(
        """
        window.uncovered = false;
        const look = () => {
          const cells = document.getElementById("rendered_cells");
          if (cells && !document.querySelector("#md-loading, [data-md-ready]")) window.uncovered = true;
          requestAnimationFrame(look);
        };
        look();
        """
    )
    page.goto(server.address, wait_until="commit")
    expect(page.get_by_text(RESEARCH_USE).first).to_be_in_viewport()
    expect(page.get_by_text("Malaria cell classifier").first).to_be_visible()
    wait_until_ready(page)
    expect(page.locator("#md-loading")).to_have_count(0)
    assert page.evaluate("window.uncovered") is False
    leave(page)


def test_a_visitor_who_leaves_takes_the_kernel_along(visitor: Page, server: Server) -> None:
    page = open_page(visitor.context, server.address)
    name = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    (kernel,) = [
        process
        for process in server.process.children(recursive=True)
        # A kernel listens at files that are named after it.
        if process.ppid() != server.process.pid
        and any(name in str(link.laddr) for link in process.net_connections("unix"))
    ]
    leave(page)
    gone, _ = psutil.wait_procs([kernel], timeout=READY_MILLISECONDS / 1000)
    assert gone == [kernel]


def test_browser_asked_no_other_host_and_complained_of_nothing(
    page: Page, address: str, asked: list[str], complaints: list[str]
) -> None:
    there = urlsplit(address).netloc
    elsewhere = [one for one in asked if urlsplit(one).scheme not in ("data", "blob", "about")]
    assert len(elsewhere) > 50
    assert {urlsplit(one).netloc for one in elsewhere} == {there}
    # What the widget manager says on a very busy machine, before the page begins a new session by itself.
    mended = ("widget model not found", "Canceled future for")
    assert [one for one in complaints if not any(words in one for words in mended)] == []
