"""Download of the cells from a real HTTP server on loopback, which serves good, broken and hostile archives."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from malaria_detect.data import download
from malaria_detect.data.download import FetchError, fetch_cells, find_or_fetch_cells
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, CellsError, default_folder, find_cells
from tests.refused import refused

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 60  # after which a test fails instead of hanging
# Bytes, more than the buffers of a connection hold: once it is sent, some of it has arrived.
MUCH = 48 * 2**20

# Runs fetch_cells in its own process: url, sha256, folder.
FETCH = """
import sys
from malaria_detect.data.download import FetchError, fetch_cells
try:
    fetch_cells(sys.argv[3], sys.argv[1], sys.argv[2], progress=False)
except FetchError as error:
    print(error.reason)
"""
# The system refuses to let any file of this process grow over 100 kB, as a full disk does.
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))" + FETCH
# The process dies without warning when it opens its fifth cell to write it.
DIES_UNPACKING = f"""
import os, signal, sys
opened = []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".png"):
        opened.append(arguments[0])
        if len(opened) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
{FETCH}"""

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX resource limits and signals")


class ArchiveServer(ThreadingHTTPServer):
    """Serves the first `length` bytes of `body` on every path, and then stalls if it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.status, self.length, self.requests = b"", 200, MUCH * 2, 0
        self.stalls, self.sent, self.may_end = False, threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/cell_images.zip"

    def fetch(self, to: Path | None, progress: bool = False) -> Path:
        return fetch_cells(to, self.url, hashlib.sha256(self.body).hexdigest(), progress)

    def start(self, script: str, to: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", script, self.url, hashlib.sha256(self.body).hexdigest(), str(to)]
        return subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


class Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: self.server.length])
        self.server.sent.set()
        if self.server.stalls:
            self.server.may_end.wait(SECONDS)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output quiet."""


@pytest.fixture
def server(pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(CELLS_VARIABLE, raising=False)
    monkeypatch.setattr(download, "_RETRIES", 0)
    with ArchiveServer() as running:
        running.body = packed({"cell_images/Parasitized/Thumbs.db": b"\xd0\xcf"} | pictures)
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.may_end.set()
        running.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def pictures(drawn_cells: Path) -> dict[str, bytes]:
    cells = find_cells(drawn_cells).cells
    return {f"cell_images/{cell.label}/{cell.path.name}": cell.path.read_bytes() for cell in cells}


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "new" / "cells"


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_cells_arrive_whole_without_thumbs_and_only_once(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    assert server.fetch(to, progress=True) == to / "cell_images"
    out, err = capfd.readouterr()
    assert (out, "Unpacking: 100%" in err) == ("", True)
    assert files_in(to) == pictures
    server.server_close()
    assert server.fetch(to) == to / "cell_images"
    assert server.requests == 1


def test_cells_go_where_the_environment_says_or_to_the_users_folder(
    server: ArchiveServer, to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert server.fetch(None) == default_folder() / "cell_images" == find_cells().root
    assert default_folder().is_relative_to(tmp_path)
    monkeypatch.setenv(CELLS_VARIABLE, str(to))
    assert server.fetch(None) == to / "cell_images" == find_cells().root


def test_cells_are_fetched_only_if_there_are_none_and_no_others_are_named(
    server: ArchiveServer, to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv(CELLS_VARIABLE, raising=False)
    monkeypatch.setattr(download, "fetch_cells", lambda: server.fetch(None))
    with refused(CellsError, "no_cells"):
        find_or_fetch_cells(to)
    for _ in range(2):
        assert find_or_fetch_cells().root == default_folder() / "cell_images"
    assert server.requests == 1
    monkeypatch.setenv(CELLS_VARIABLE, str(to))
    with refused(CellsError, "no_cells"):
        find_or_fetch_cells()


@pytest.mark.parametrize(
    "change",
    [
        {"length": 1000},
        {"length": 0, "stalls": True},
        {"status": 404},
        {"url": "http://127.0.0.1:1/cells.zip"},
    ],
    ids=["half", "silent", "missing", "closed port"],
)
def test_a_failed_download_leaves_nothing(
    server: ArchiveServer, to: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    monkeypatch.setattr(download, "_SECONDS_OF_SILENCE", 0.5)
    for name, value in change.items():
        monkeypatch.setattr(server, name, value)
    with refused(FetchError, "network"):
        server.fetch(to)
    assert list(to.iterdir()) == []


def test_a_broken_download_is_tried_again(
    server: ArchiveServer, to: Path, monkeypatch: pytest.MonkeyPatch, pictures: dict[str, bytes]
) -> None:
    monkeypatch.setattr(download, "_RETRIES", 1)
    answer = Handler.send_response

    def fail_once(handler: Handler, code: int) -> None:
        answer(handler, 503 if handler.server.requests == 1 else code)

    monkeypatch.setattr(Handler, "send_response", fail_once)
    server.fetch(to)
    assert (server.requests, files_in(to)) == (2, pictures)


def with_absurd_size(members: dict[str, bytes]) -> bytes:
    """An archive whose directory claims 3 GB for the last cell."""
    body = packed(members)
    entry = body.rindex(b"PK\x01\x02")
    return body[: entry + 24] + (3_000_000_000).to_bytes(4, "little") + body[entry + 28 :]


def encrypted(members: dict[str, bytes]) -> bytes:
    """An archive whose last cell has bit 0 of its flags set, in both headers."""
    body = bytearray(packed(members))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.rindex(signature) + offset] |= 1
    return bytes(body)


@pytest.mark.parametrize(
    "change",
    [
        with_absurd_size,
        encrypted,
        lambda members: packed({name: data for name, data in members.items() if CLASSES[0] in name}),
        lambda members: packed({"readme.txt": b"moved"}),
        lambda members: b"<html>Moved</html>",
        lambda members: packed(members).replace(b"\x89PNG", b"\x89PNX", 1),
    ],
    ids=["absurd size", "encrypted", "one class", "other content", "no archive", "damaged cell"],
)
def test_an_unfit_archive_is_refused_and_leaves_nothing(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes], change: Callable[[dict[str, bytes]], bytes]
) -> None:
    # Another archive than NLM's.
    with refused(FetchError, "wrong_content"):
        fetch_cells(to, server.url, progress=False)
    server.body = change(pictures)
    with refused(FetchError, "wrong_content"):
        server.fetch(to)
    assert list(to.iterdir()) == []


@pytest.mark.parametrize(
    "folder", ["../", "cell_images/Parasitized/../../../", "/tmp/", "..\\", "C:", "cell_images/x/"]
)
def test_nothing_but_cells_is_unpacked(
    server: ArchiveServer, to: Path, tmp_path: Path, pictures: dict[str, bytes], folder: str
) -> None:
    server.body = packed({f"{folder}escaped.png": b"x"} | pictures)
    server.fetch(to)
    assert files_in(to) == pictures
    assert not list(tmp_path.rglob("*escaped*"))
    assert not Path("/tmp/escaped.png").exists()


def test_other_files_in_the_way_are_not_touched(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "cell_images" / "Parasitized").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    with refused(FetchError, "folder_in_use"):
        server.fetch(tmp_path)
    assert (server.requests, files_in(tmp_path)) == (0, {"notes.txt": b"mine"})


@pytest.mark.parametrize("name", ["file", "file/inside", "long" * 100])
def test_a_folder_that_cannot_be_made_is_refused(server: ArchiveServer, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with refused(FetchError, "unwritable"):
        server.fetch(tmp_path / name)
    assert files_in(tmp_path) == {"file": b"mine"}


@posix
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["download", "unpacking"])
def test_a_full_disk_is_reported_and_leaves_nothing(server: ArchiveServer, to: Path, method: int) -> None:
    server.body = packed({f"cell_images/{label}/big_IMG_.png": bytes(200_000) for label in CLASSES}, method)
    with server.start(FULL_DISK, to) as process:
        assert process.communicate(timeout=SECONDS) == ("disk_full\n", "")
    assert list(to.iterdir()) == []


def test_a_killed_download_is_not_taken_for_complete(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes]
) -> None:
    # Bytes in front of a ZIP archive are not part of it.
    server.body, server.length, server.stalls = bytes(MUCH) + server.body, MUCH, True
    with server.start(FETCH, to) as process:
        assert server.sent.wait(SECONDS)
        process.kill()
    assert list(to.iterdir()) == [to / ".cell_images.download"]
    server.length, server.stalls = 2 * MUCH, False
    server.fetch(to)
    assert files_in(to) == pictures


@posix
def test_killed_unpacking_continues_without_another_download(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes]
) -> None:
    with server.start(DIES_UNPACKING, to) as process:
        process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL
    assert not (to / "cell_images").exists()
    server.fetch(to)
    assert (server.requests, files_in(to)) == (1, pictures)
