"""Keys and buttons of the view "Teach it your lab", with a teacher that is known."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from playwright.sync_api import Browser, Page, expect

from malaria_detect.app.widgets.teach import TeachLab
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.data.nlm_cells import CLASSES
from tests.app.widgets.fakes import Messages
from tests.app.widgets.in_browser import render
from tests.app.widgets.known_teacher import KnownTeacher, cell_png

FILES = [
    UploadedFile(f"field {number % 4}__{label}_{number}.png", cell_png(number, label))
    for label in CLASSES
    for number in range(3)
]


@pytest.fixture
def page(browser: Browser, told: Messages, monkeypatch: pytest.MonkeyPatch) -> Page:
    view = TeachLab(KnownTeacher(), list, Mock())

    def work(jobs: Sequence[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        # In another thread, as this one's event loop is the browser's, and every answer must have come at the end.
        with ThreadPoolExecutor(1) as pool:
            for job in jobs:
                pool.submit(asyncio.run, job()).result()
        view._tell(len(jobs), len(jobs), "")

    monkeypatch.setattr(view.queue, "add", work)
    view.upload.take(FILES)
    page = render(browser.new_page(), view.lab, told)
    expect(page.locator(".md-candidate img")).to_have_count(len(FILES))
    return page


def test_cells_are_labelled_with_keys_and_buttons(page: Page) -> None:
    cells, sentence = page.locator(".md-candidate"), page.locator(".md-sentence")
    cells.first.focus()
    for place, (key, label) in enumerate((("p", "Parasitized"), ("u", "Uninfected"), ("n", "Left out"))):
        expect(cells.nth(place).locator(".md-says")).to_be_empty()
        page.keyboard.press(key)
        expect(cells.nth(place)).to_have_attribute("data-label", label)
        expect(cells.nth(place).locator(".md-says")).to_contain_text("Model")
        expect(cells.nth(place + 1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(cells.nth(2)).to_be_focused()
    name = f"Your label for {FILES[1].name}"
    group = page.get_by_role("group", name=name, exact=True)
    group.get_by_role("button", name="Parasitized").click()
    expect(group.get_by_role("button", name="Parasitized")).to_have_attribute("aria-pressed", "true")
    expect(sentence).to_contain_text("2 parasitized and 0 uninfected")
    expect(page.get_by_role("button", name="Estimate the accuracy")).to_be_disabled()

    page.get_by_role("button", name="Clear all").click()
    expect(cells).to_have_count(0)
    expect(page.get_by_role("button", name="Take the reviewed cells")).to_be_focused()
