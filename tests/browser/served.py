"""The page as visitors get it: the server on a free port, and a headless Chromium that opens it."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil
from playwright.sync_api import BrowserContext, Locator, Page

from benchmarks.processes import free_port
from tests.waiting import SECONDS, until

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("malaria-detect")
READY_MILLISECONDS = 1000 * SECONDS
# Characters of a server's log that a failed test shows.
_LOG_TAIL = 8000
# What the server reads of its folder.
FILES = ("dashboard.ipynb", *(file.name for file in PROJECT.glob("export.*")), "voila.json")


@dataclass(frozen=True)
class Server:
    """A running server, whose process has the visitors' kernels as children."""

    port: int
    process: psutil.Process

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def page_folder(folder: Path, **settings: Mapping[str, object]) -> Path:
    """Fill a folder with links to what the server reads, and with voila.json, changed by some settings.

    Its empty folder ``temporary`` is for :func:`served_page`.
    """
    for name in FILES[:-1]:
        (folder / name).symlink_to(PROJECT / name)
    read = json.loads((PROJECT / FILES[-1]).read_text(encoding="utf-8"))
    for owner, values in settings.items():
        read.setdefault(owner, {}).update(values)
    (folder / FILES[-1]).write_text(json.dumps(read), encoding="utf-8")
    (folder / "temporary").mkdir()
    return folder


@contextmanager
def served_page(
    folder: Path,
    temporary: Path,
    *flags: str,
    end: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] = MappingProxyType({}),
    program: Path = PROGRAM,
) -> Iterator[Server]:
    """Serve the page with flags of ``malaria-detect serve`` in a folder until the block ends.

    The folder ``temporary`` must be empty: it is for the log, and the TMPDIR of the server and its kernels.
    """
    port = free_port()
    place = temporary / "tmp"
    place.mkdir()
    log = temporary / "log.txt"
    # ipykernel treats its output differently where it sees pytest.
    outside = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(program, "serve"),
                *("--host", "127.0.0.1", "--port", str(port), *flags),
            ],
            cwd=folder,
            env=outside | {"TMPDIR": str(place), **environment},
            stdout=output,
            stderr=output,
        )
        try:
            _wait_until_bound(process, port, log)
            yield Server(port, psutil.Process(process.pid))
        except Exception as error:
            said = log.read_text(encoding="utf-8", errors="replace")
            error.add_note(f"The end of the server's log:\n{said[-_LOG_TAIL:]}")
            raise
        finally:
            process.send_signal(end)
            process.wait(timeout=SECONDS)


def _wait_until_bound(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    def is_bound_or_has_ended() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0 or process.poll() is not None

    until(is_bound_or_has_ended, "the server's start")
    if process.poll() is not None:
        raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")


def open_page(context: BrowserContext, address: str) -> Page:
    """Open the page as a new visitor and wait until it can be used."""
    page = context.new_page()
    page.goto(address, timeout=READY_MILLISECONDS)
    wait_until_ready(page)
    return page


def wait_until_ready(page: Page) -> None:
    """Wait until the page's cover is gone, or until it says that the page could not be started."""
    page.locator("[data-md-ready], .md-failed").first.wait_for(timeout=READY_MILLISECONDS)
    if page.locator(".md-failed").count():
        raise RuntimeError("the page says that it could not be started; the server's log tells why")


def leave(page: Page) -> None:
    """Close a page as a visitor does: on the way out it tells the server to end its kernel."""
    page.goto("about:blank")
    page.close()


def upload(page: Page, *files: Path, button: str = "Upload images") -> None:
    """Choose files in the dialogue of a button."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(files)


def drop(target: Locator, *files: Path) -> None:
    """Drop files on an element, as a visitor does who drags them from a folder."""
    content = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
    held = target.page.evaluate_handle(
        """files => {
          const held = new DataTransfer();
          for (const [name, text] of files) {
            held.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name));
          }
          return held;
        }""",
        content,
    )
    for event in ("dragenter", "dragover", "drop"):
        target.dispatch_event(event, {"dataTransfer": held})


def cards(page: Page) -> Locator:
    """The cards of the view that is shown."""
    return page.get_by_role("tabpanel").get_by_role("list").locator("> li.md-card")


def probability(card: Locator) -> float:
    """Probability of parasitized as the card has it, unrounded."""
    return float(card.locator(".md-bar-parasitized data").get_attribute("value") or "nan")
