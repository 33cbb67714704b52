"""One server for all tests of the page, and one browser and visitor for a module: every visitor costs a kernel."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES
from tests.browser.served import PROJECT, READY_MILLISECONDS, Server, leave, open_page, served_page

expect.set_options(timeout=READY_MILLISECONDS)
# What the widget manager says on a very busy machine, before the page begins a new session by itself.
MENDED = ("widget model not found", "Canceled future for")


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's log and its temporary files are."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_folder: Path, sample_cells: Path) -> Iterator[Server]:
    """The served page; the sample cells are its cells folder."""
    with served_page(PROJECT, server_folder, environment={CELLS_VARIABLE: str(sample_cells)}) as running:
        yield running


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """Every address that any page asked for."""
    return []


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """Every error that any page's console showed."""
    return []


@pytest.fixture(scope="module")
def visit(
    browser: Browser, server: Server, asked: list[str], complaints: list[str]
) -> Iterator[Callable[[], Page]]:
    """Comes as a further visitor, with nothing shared with the others but the server."""
    contexts = []

    def come() -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        context.set_default_timeout(READY_MILLISECONDS)
        context.on("request", lambda request: asked.append(request.url))
        context.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("page", lambda page: page.on("websocket", lambda socket: asked.append(socket.url)))
        contexts.append(context)
        return open_page(context, server.address)

    yield come
    for context in contexts:
        for page in context.pages:
            leave(page)
        context.close()


@pytest.fixture(autouse=True)
def asks_no_other_host_and_complains_of_nothing(
    visitor: Page, server: Server, asked: list[str], complaints: list[str]
) -> Iterator[None]:
    yield
    addresses = [urlsplit(one) for one in asked]
    hosts = {one.netloc for one in addresses if one.scheme not in ("data", "blob", "about")}
    assert hosts == {urlsplit(server.address).netloc}
    assert [one for one in complaints if not any(words in one for words in MENDED)] == []


@pytest.fixture(scope="module")
def visitor(visit: Callable[[], Page]) -> Page:
    """The visitor who does most of the tests."""
    return visit()


@pytest.fixture
def page(visitor: Page) -> Page:
    """The first visitor's page, back at the start: first view, no cards, a wide window."""
    visitor.bring_to_front()
    visitor.set_viewport_size({"width": 1280, "height": 900})
    visitor.get_by_role("tab", name="Check cells").click()
    visitor.get_by_role("tabpanel").get_by_role("radio", name="Balanced").check()
    clear = visitor.get_by_role("button", name="Clear all")
    if clear.is_visible():
        clear.click()
    visitor.get_by_text("No images yet").wait_for()
    return visitor


@pytest.fixture(scope="module")
def cells(sample_cells: Path) -> list[Path]:
    """Two cells of each class."""
    return [path for label in CLASSES for path in sorted(sample_cells.rglob(f"{label}/*.png"))[:2]]


@pytest.fixture
def copy_as(tmp_path: Path, cells: list[Path]) -> Callable[[str], Path]:
    """Copies the first cell under another name."""

    def copy(name: str) -> Path:
        return Path(shutil.copy(cells[0], tmp_path / name))

    return copy
