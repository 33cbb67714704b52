"""The page as a whole in a real browser: its views, the keyboard, and how it comes and goes."""

from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.app.server.attacker import process_of
from tests.browser.served import Server, cards, leave, open_page, wait_until_ready
from tests.waiting import SECONDS

VIEWS = ("Check cells", "Analyse a slide", "Teach it your lab", "How good is it", "About")


def test_letters_typed_on_the_page_are_kept_from_a_notebook_around_it(page: Page) -> None:
    for one in (page.get_by_role("tab").first, page.get_by_role("button").first):
        one.focus()
        expect(one).to_have_attribute("data-lm-suppress-shortcuts", "true")


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


def test_how_good_is_it_shows_some_figures_and_the_others_when_they_are_unfolded(
    page: Page, detector: Detector
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("tab", name=VIEWS[3]).click()
    view = page.get_by_role("tabpanel", name=VIEWS[3])
    shown = view.locator("figure").filter(visible=True).get_by_role("img")
    expect(shown).to_have_count(2)
    expect(view.locator("[aria-busy=true]:visible")).to_have_count(0)
    assert shown.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth > 0)")
    accuracy = detector.metadata.point().test.estimates["accuracy"]
    row = view.get_by_role("table", name="Accuracy").get_by_role("row").filter(has_text="Test patients")
    assert f"{100 * accuracy.value:.1f}\N{NO-BREAK SPACE}%" in row.inner_text()
    assert page.evaluate("document.documentElement.scrollHeight") < 3000

    folds = view.locator("details > summary")
    for fold in folds.all():
        fold.click()
        expect(fold.locator("xpath=..").locator("figure, p").first).to_be_visible()
    expect(view.get_by_role("table", name="What a slide would read").locator("tbody tr")).to_have_count(3)
    row = view.get_by_role("table", name="Scores on cells of test patients").get_by_role(
        "row", name="Accuracy"
    )
    expect(row).to_contain_text(f"{accuracy.hits:,} of {accuracy.total:,}")
    for width in (360, 390, 900, 1280):  # no table is wider than the page
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    for fold in folds.all():
        fold.click()


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
    for key, view in (("ArrowRight", VIEWS[1]), ("End", VIEWS[4]), ("ArrowRight", VIEWS[0])):
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
    config = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent)")
    kernel = process_of(server.process, config["kernelId"])
    leave(page)
    gone, _ = psutil.wait_procs([kernel], timeout=SECONDS)
    assert gone == [kernel]
