"""Keys and buttons of the label review: its script in Chromium, its widget in this process, no server between them."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from malaria_detect.app.widgets.label_review import LabelReview
from malaria_detect.data.corrections import AGREE, DISAGREE, UNSURE, read_corrections
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.evaluation.label_issues import CandidateError
from tests.app.widgets.fakes import Messages
from tests.app.widgets.in_browser import render

PAGE = 4


@pytest.fixture
def shown(browser: Browser, drawn_cells: Path, tmp_path: Path, told: Messages) -> tuple[Page, Path]:
    """Two pages of candidates, and the corrections file."""
    cells = find_cells(drawn_cells).cells
    of_both = [cell for pair in zip(cells, reversed(cells), strict=True) for cell in pair][: PAGE + 2]
    candidates = [
        CandidateError(rank, one.name, one.group, one.label, 0.1) for rank, one in enumerate(of_both, 1)
    ]
    review = LabelReview(candidates, cells, tmp_path / "corrections.csv", blind=False, page=PAGE)

    page = render(browser.new_page(), review, told, blind=False)
    expect(page.locator(".md-candidate img")).to_have_count(PAGE)
    return page, review.path


def test_verdicts_are_given_with_keys_and_buttons(shown: tuple[Page, Path]) -> None:
    page, path = shown
    cards = page.locator(".md-candidate")

    def verdicts() -> list[str]:
        return [one.verdict for one in read_corrections(path).verdicts]

    cards.first.focus()
    for place, (key, verdict) in enumerate((("a", AGREE), ("d", DISAGREE), ("u", UNSURE))):
        page.keyboard.press(key)
        expect(cards.nth(place)).to_have_attribute("data-verdict", verdict)
        expect(cards.nth(place + 1)).to_be_focused()  # the next one without a verdict
    assert verdicts() == [AGREE, DISAGREE, UNSURE]
    page.keyboard.press("z")
    expect(cards.nth(2)).to_have_attribute("data-verdict", "")
    page.keyboard.press("ArrowLeft")
    expect(cards.nth(2)).to_be_focused()
    cards.nth(2).get_by_role("button", name="Agree", exact=True).click()
    expect(cards.nth(2)).to_have_attribute("data-verdict", AGREE)
    expect(cards.nth(2).get_by_role("button", name="Agree", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    cards.nth(3).focus()
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Next").last).to_be_focused()  # nothing is left on this page
    page.keyboard.press("Enter")
    expect(cards).to_have_count(2)
    expect(cards.first).to_be_focused()
    assert sorted(verdicts()) == [AGREE, AGREE, AGREE, DISAGREE]
    assert {one.label for one in read_corrections(path).verdicts} == set(CLASSES)
