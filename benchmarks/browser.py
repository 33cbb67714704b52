"""Times of a page, measured inside a real browser."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

TIMER = Path(__file__).with_name("timer.js")
PATIENCE = 300_000  # ms
TIMES = ("usable", "chosen", "pressed", "answered")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True)
class Look:
    """CSS selectors of what is timed on a page.

    Attributes
    ----------
    button : str
        Opens the upload dialogue.
    answer : str
        Appears, or changes its text, with an answer.
    press : str, optional
        Must be pressed after the upload.
    """

    button: str
    answer: str
    press: str | None = None


OURS = Look(button="[data-md-ready] .md-upload button", answer="li.md-card")
PLAIN = Look(
    button="button.widget-upload",
    answer=".widget-label:last-child",
    press="button.widget-button:not(.widget-upload)",
)


@dataclass(frozen=True)
class Answer:
    """Milliseconds until an answer was visible."""

    from_file: float
    from_press: float | None


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the machine's own headless Chromium until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


class TimedPage:
    """A page opened by a visitor with an empty cache.

    Parameters
    ----------
    browser : Browser
    address : str
    look : Look

    Attributes
    ----------
    usable : float
        Milliseconds from navigation until a click on the button would hit it.
    """

    def __init__(self, browser: Browser, address: str, look: Look) -> None:
        self._context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 900})
        self._look = look
        set_up = json.dumps({"button": look.button, "answer": look.answer, "press": look.press})
        self._context.add_init_script(f"window.timerSetUp = {set_up};\n{TIMER.read_text(encoding='utf-8')}")
        self._page: Page = self._context.new_page()
        self._page.goto(address, timeout=PATIENCE)
        self.usable = self._times("usable")["usable"]

    def ask(self, picture: Path) -> Answer:
        """Upload an image with the dialogue of the page's button, and wait for its answer."""
        self._page.evaluate("startTimer()")
        with self._page.expect_file_chooser() as chooser:
            self._page.locator(self._look.button).first.click()
        chooser.value.set_files(picture)
        times = self._times("answered")
        pressed = times.get("pressed")
        return Answer(
            times["answered"] - times["chosen"], None if pressed is None else times["answered"] - pressed
        )

    def leave(self) -> None:
        """Leave the page for another one."""
        self._page.goto("about:blank")
        self._context.close()

    def _times(self, last: str) -> dict[str, float]:
        """The page's times, as soon as the last one is known."""
        self._page.locator(f"html[data-{last}]").wait_for(state="attached", timeout=PATIENCE)
        told: dict[str, str] = self._page.evaluate("({...document.documentElement.dataset})")
        return {name: float(told[name]) for name in TIMES if name in told}


@contextmanager
def open_pages(browser: Browser, address: str, look: Look, number: int) -> Iterator[Sequence[TimedPage]]:
    """Pages of several visitors, opened one after the other and left at the end of the block."""
    pages: list[TimedPage] = []
    try:
        pages.extend(TimedPage(browser, address, look) for _ in range(number))
        yield pages
    finally:
        for page in pages:
            page.leave()
