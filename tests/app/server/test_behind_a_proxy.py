"""The page below /malaria/, behind a reverse proxy that changes the header Host, in a real browser."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.processes import free_port
from malaria_detect.cli.serve import ORIGIN_VARIABLE
from tests.app.server.attacker import ask, process_of
from tests.browser.served import (
    READY_MILLISECONDS,
    Server,
    leave,
    page_folder,
    served_page,
    wait_until_ready,
)
from tests.waiting import SECONDS

pytestmark = pytest.mark.slow

BASE = "/malaria/"
HOST = b"backend.internal:1234"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one request with another Host, and all that follows; the server closes the connection after its answer."""
    while not (line := await reader.readline()).lower().startswith(b"connection:"):
        writer.write(b"Host: " + HOST + b"\r\n" if line.lower().startswith(b"host:") else line)
        if line in (b"\r\n", b""):
            break
    else:
        writer.write(line if b"upgrade" in line.lower() else b"Connection: close\r\n")
    await _copy(reader, writer)


@contextmanager
def proxy(port: int, behind: int) -> Iterator[None]:
    """Run a reverse proxy on a port until the block ends."""
    loop, started, end = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(_forward(reader, back), _copy(there, writer))

    async def run() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", port)
        started.set()
        await end.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert started.wait(SECONDS)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(SECONDS)
        loop.close()


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Ports of two proxies: the origin of one is allowed."""
    return {"allowed": free_port(), "other": free_port()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Server]:
    """The page below /malaria/, and both proxies; voila.json has the address without its last slash."""
    folder = page_folder(tmp_path_factory.mktemp("behind"), Voila={"base_url": BASE.rstrip("/")})
    origin = {ORIGIN_VARIABLE: f"https://lab.example, HTTP://127.0.0.1:{ports['allowed']}/"}
    with (
        served_page(folder, folder / "temporary", "--workers", "1", environment=origin) as running,
        proxy(ports["allowed"], running.port),
        proxy(ports["other"], running.port),
    ):
        yield running


def opened(browser: Browser, port: int, **options: Any) -> Page:
    context = browser.new_context(**options)
    context.set_default_timeout(READY_MILLISECONDS)
    page = context.new_page()
    # Without its last slash: the server adds it.
    page.goto(f"http://127.0.0.1:{port}{BASE.rstrip('/')}?from=a+link", timeout=READY_MILLISECONDS)
    return page


def test_a_page_of_an_allowed_origin_can_be_used_and_needs_no_cookie_that_stays(
    browser: Browser, server: Server, ports: dict[str, int]
) -> None:
    page = opened(browser, ports["allowed"])
    wait_until_ready(page)
    assert page.url.endswith(f"{BASE}?from=a+link")
    cookies = page.context.cookies()
    assert {cookie["expires"] for cookie in cookies} == {-1}
    assert {cookie["sameSite"] for cookie in cookies} == {"Strict"}
    assert len(cookies) == 2
    assert page.get_by_text("websocket").filter(visible=True).count() == 0
    config = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent)")
    kernel = process_of(server.process, config["kernelId"])
    leave(page)
    gone, _ = psutil.wait_procs([kernel], timeout=SECONDS)
    assert gone == [kernel]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_whose_websocket_is_refused_says_so_and_shows_no_repr(
    browser: Browser, server: Server, ports: dict[str, int], width: int
) -> None:
    page = opened(browser, ports["other"], viewport={"width": width, "height": 844})
    sentence = page.get_by_role("alert").filter(has_text="websocket")
    expect(sentence).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert " object at 0x" not in page.content()
    page.close()
    log = Path(server.process.cwd(), "temporary", "log.txt").read_text(encoding="utf-8")
    assert f'"origin": "http://127.0.0.1:{ports["other"]}", "host": "{HOST.decode()}"' in log


def test_a_server_is_not_started_with_an_origin_that_is_not_exact(tmp_path: Path) -> None:
    folder = page_folder(tmp_path)
    with pytest.raises(RuntimeError, match="is not an allowed origin"):
        served_page(folder, folder / "temporary", "--allow-origin", "*").__enter__()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("query", ["", "?a=1&b=%2F&a=2", "?//evil.example", "?"])
def test_the_address_without_its_last_slash_leads_to_the_page(
    server: Server, method: str, query: str
) -> None:
    answer = ask(server.port, method, f"/malaria{query}")
    assert answer.status in (302, 307)
    assert answer.headers["location"] == BASE + query.rstrip("?" if query == "?" else "")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/", "//malaria", "//evil.example/malaria", "/malaria//", "/malaria/x", "/malariax", "/api/health"],
)
def test_there_is_nothing_at_other_addresses(server: Server, path: str) -> None:
    answer = ask(server.port, path=path)
    assert answer.status == 404
    assert "location" not in answer.headers
