"""Keys and buttons of the view "Teach it your lab", with a teacher that is known."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from playwright.sync_api import Browser, Page, expect

from malaria_detect.app.widgets.teach import TeachLab
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.data.nlm_cells import CLASSES
from tests.app.widgets.fakes import Messages
from tests.app.widgets.in_browser import render
from tests.app.widgets.known_teacher import ARCHIVE, KnownTeacher, cell_png

FILES = [
    UploadedFile(f"field {number % 4}__{label}_{number}.png", cell_png(number, label))
    for label in CLASSES
    for number in range(11)
]


@pytest.fixture
def use() -> Mock:
    return Mock()


@pytest.fixture
def page(browser: Browser, told: Messages, use: Mock, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setattr("malaria_detect.inference.judge._REPEATS", 1)  # for the time that it takes
    view = TeachLab(KnownTeacher(), list, use)

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


def test_cells_are_labelled_with_keys_and_buttons_and_teach_the_model(page: Page, use: Mock) -> None:
    cells = page.locator(".md-candidate")
    sentence, accept = page.locator(".md-sentence"), page.get_by_role("button", name="Accept the other")
    suggested = cells.first.locator("[data-guess]")
    expect(suggested).to_have_text("Uninfected")
    expect(suggested).to_have_attribute("aria-pressed", "false")

    cells.first.focus()
    for place, (key, label) in enumerate((("p", "Parasitized"), ("u", "Uninfected"), ("n", "Left out"))):
        page.keyboard.press(key)
        expect(cells.nth(place)).to_have_attribute("data-label", label)
        expect(cells.nth(place + 1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(cells.nth(2)).to_be_focused()
    for place in (1, 2):
        name = f"Your label for {FILES[place].name}"
        group = page.get_by_role("group", name=name, exact=True)
        group.get_by_role("button", name="Parasitized").click()
        expect(group.get_by_role("button", name="Parasitized")).to_have_attribute("aria-pressed", "true")
    estimate = page.get_by_role("button", name="Estimate the accuracy")
    expect(estimate).to_be_disabled()
    # The model takes every third cell for the other class.
    for number in [*range(3, 11, 3), *range(11, 22, 3)]:
        parasitized = number < 11
        cells.nth(number).get_by_role("button", name=CLASSES[not parasitized], exact=True).click()
    accept.press("Enter")
    expect(sentence).to_be_focused()
    expect(sentence).to_contain_text("11 parasitized and 11 uninfected")
    expect(accept).to_be_hidden()

    estimate.click()
    rows = page.get_by_role("table", name="Accuracy on your cells").get_by_role("row")
    expect(rows).to_have_count(6)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the adapted model").click()
    assert download.value.suggested_filename == "mylab.zip"
    assert Path(download.value.path()).read_bytes() == ARCHIVE
    page.get_by_role("radio", name="your adapted model").check()
    assert use.call_args.args[0] is not None
    page.get_by_role("radio", name="the shipped model").check()
    use.assert_called_with(None)

    page.get_by_role("button", name="Clear all").click()
    expect(cells).to_have_count(0)
    expect(page.get_by_role("button", name="Take the reviewed cells")).to_be_focused()
