"""Fetching the cells, from a real HTTP server on loopback that serves good, broken and hostile archives."""

import errno
import hashlib
import io
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
from malaria_detect.data.download import MAX_UNPACKED_BYTES, NLM_SHA256, NLM_URL, FetchError, fetch_cells
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, default_folder, find_cells

PROJECT = Path(__file__).resolve().parents[2]
THUMBS = b"\xd0\xcf\x11\xe0"
CELLS_PER_CLASS = 20
SECONDS = 60  # after which a test has failed rather than hangs

# More than all buffers between two sockets take: once it is sent, much of it has been received.
MUCH = 48 * 2**20

# Runs fetch_cells in a process of its own: url, sha256, folder.
FETCH = """
import sys
from malaria_detect.fetch import FetchError, fetch_cells
try:
    fetch_cells(sys.argv[3], sys.argv[1], sys.argv[2], progress=False)
except FetchError as error:
    print(error)
"""

# The system refuses to let any file of this process grow over 100 kB, as a full disk does.
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))" + FETCH

# The process dies without warning when it opens its fifth cell to write it.
DIES_UNPACKING = (
    """
import os, signal, sys
opened = []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".png"):
        opened.append(arguments[0])
        if len(opened) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""
    + FETCH
)


class ArchiveServer(ThreadingHTTPServer):
    """Serves one body on every path, in the way that `answer` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = b""
        self.answer: Callable[[Handler, bytes], None] = send_whole
        self.requests = 0
        self.much_is_sent = threading.Event()
        self.may_end = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/cell_images.zip"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    def fetch(self, to: Path | None, progress: bool = False) -> Path:
        return fetch_cells(to, self.url, self.sha256, progress)

    def start_process(self, script: str, to: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", script, self.url, self.sha256, str(to)]
        return subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )


class Handler(BaseHTTPRequestHandler):
    server: ArchiveServer

    def do_GET(self) -> None:
        self.server.requests += 1
        self.server.answer(self, self.server.body)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output quiet."""

    def head(self, length: int | None, status: int = 200) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def send_whole(handler: Handler, body: bytes) -> None:
    handler.head(len(body))
    handler.wfile.write(body)


def send_without_length(handler: Handler, body: bytes) -> None:
    handler.head(None)
    handler.wfile.write(body)


def send_half(handler: Handler, body: bytes) -> None:
    handler.head(len(body))
    handler.wfile.write(body[: len(body) // 2])


def send_nothing(handler: Handler, body: bytes) -> None:
    handler.head(len(body))


def hang_up(handler: Handler, _: bytes) -> None:
    handler.close_connection = True


def send_corrupted(handler: Handler, body: bytes) -> None:
    middle = len(body) // 2
    send_whole(handler, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])


def send_half_as_whole(handler: Handler, body: bytes) -> None:
    send_whole(handler, body[: len(body) // 2])


def send_404(handler: Handler, _: bytes) -> None:
    handler.head(0, status=404)


def send_500(handler: Handler, _: bytes) -> None:
    handler.head(0, status=500)


def promise_a_petabyte(handler: Handler, body: bytes) -> None:
    handler.head(10**15)


def send_much_then_stall(handler: Handler, body: bytes) -> None:
    handler.head(len(body))
    handler.wfile.write(body[:MUCH])
    handler.server.much_is_sent.set()
    handler.server.may_end.wait(SECONDS)


@pytest.fixture
def server(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(CELLS_VARIABLE, raising=False)
    with ArchiveServer() as running:
        running.body = archive
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.may_end.set()
        running.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def pictures(sample_cells: Path) -> dict[str, bytes]:
    """Cells by their name in the archive: real ones where the environment names some, else drawn ones."""
    cells = find_cells(sample_cells).cells
    return {
        f"cell_images/{label}/{cell.path.name}": cell.path.read_bytes()
        for label in CLASSES
        for cell in [cell for cell in cells if cell.label == label][:CELLS_PER_CLASS]
    }


@pytest.fixture(scope="session")
def archive(pictures: dict[str, bytes]) -> bytes:
    """An archive laid out like NLM's."""
    return packed({f"cell_images/{label}/Thumbs.db": THUMBS for label in CLASSES} | pictures)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """Where the cells shall go: neither it nor the folder above it is there yet."""
    return tmp_path / "new" / "cells"


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def with_absurd_size(archive: bytes) -> bytes:
    """The same archive, its directory claiming 3 GB for the last cell."""
    entry = archive.rindex(b"PK\x01\x02")
    return archive[: entry + 24] + (3_000_000_000).to_bytes(4, "little") + archive[entry + 28 :]


def all_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def check_fetched(to: Path, pictures: dict[str, bytes]) -> None:
    """All cells are there, byte for byte, and nothing else is."""
    folders = ["cell_images", *(f"cell_images/{label}" for label in CLASSES)]
    assert all_in(to) == sorted([*pictures, *folders])
    for name, content in pictures.items():
        assert (to / name).read_bytes() == content


def check_sentence(sentence: str, *words: str) -> None:
    for word in words:
        assert word in sentence
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence


def test_cells_are_fetched_whole_and_without_thumbs(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes]
) -> None:
    folder = server.fetch(to)
    assert folder == to / "cell_images"
    check_fetched(to, pictures)
    found = find_cells(folder)
    assert len(found.cells) == 2 * CELLS_PER_CLASS
    assert found.ignored == ()


def test_second_call_does_nothing_and_needs_no_network(server: ArchiveServer, to: Path) -> None:
    folder = server.fetch(to)
    before = [(path, path.stat().st_mtime_ns) for path in to.rglob("*")]
    assert server.fetch(to) == folder
    assert server.requests == 1
    server.server_close()
    assert server.fetch(to) == folder
    assert [(path, path.stat().st_mtime_ns) for path in to.rglob("*")] == before


def test_cells_that_lie_there_in_kaggles_layout_are_left_alone(server: ArchiveServer, tmp_path: Path) -> None:
    kaggle = server.fetch(tmp_path / "cell_images")
    assert kaggle == tmp_path / "cell_images" / "cell_images"
    assert server.fetch(tmp_path) == kaggle
    assert server.requests == 1


def test_cells_go_where_the_environment_says_or_to_the_users_folder(
    server: ArchiveServer, to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert server.fetch(None) == default_folder() / "cell_images"
    assert default_folder().is_relative_to(tmp_path)
    assert find_cells().root == default_folder() / "cell_images"
    monkeypatch.setenv(CELLS_VARIABLE, str(to))
    assert server.fetch(None) == to / "cell_images"
    assert find_cells().root == to / "cell_images"


def test_server_need_not_tell_the_length(server: ArchiveServer, to: Path, pictures: dict[str, bytes]) -> None:
    server.answer = send_without_length
    server.fetch(to)
    check_fetched(to, pictures)


def test_progress_is_shown_unless_unwanted(
    server: ArchiveServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.fetch(tmp_path / "quiet", progress=False)
    assert capfd.readouterr() == ("", "")
    server.fetch(tmp_path / "shown", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Downloading: 100%" in err
    assert "Unpacking: 100%" in err


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (send_half, ("The download from 127.0.0.1 broke off after", "check the network")),
        (send_nothing, ("broke off after 0.0 MB", "check the network")),
        (hang_up, ("The download from 127.0.0.1 did not start", "check the network")),
        (send_corrupted, ("is not the archive of the cells", "SHA-256")),
        (send_half_as_whole, ("is not the archive of the cells", "SHA-256")),
        (send_404, ("404 Not Found", "cell_images.zip")),
        (send_500, ("500 Internal Server Error", "try again later")),
        (promise_a_petabyte, ("The disk is too full", "the cells need 2300000000 MB")),
    ],
)
def test_failed_download_is_one_sentence_and_leaves_nothing(
    server: ArchiveServer,
    to: Path,
    tmp_path: Path,
    pictures: dict[str, bytes],
    answer: Callable[[Handler, bytes], None],
    words: tuple[str, ...],
) -> None:
    server.answer = answer
    with pytest.raises(FetchError) as failure:
        server.fetch(to)
    check_sentence(str(failure.value), *words)
    assert all_in(tmp_path) == []
    server.answer = send_whole
    server.fetch(to)
    check_fetched(to, pictures)


def test_closed_port_is_one_sentence_and_leaves_nothing(
    server: ArchiveServer, to: Path, tmp_path: Path
) -> None:
    with ArchiveServer() as closed:
        pass
    with pytest.raises(FetchError) as failure:
        fetch_cells(to, closed.url, server.sha256, progress=False)
    check_sentence(str(failure.value), "The download from 127.0.0.1 did not start (ConnectionError)")
    assert all_in(tmp_path) == []


def test_silent_server_is_given_up(
    server: ArchiveServer, to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SECONDS_OF_SILENCE", 0.2)
    server.answer = send_much_then_stall
    server.body = server.body.ljust(MUCH + 1)
    with pytest.raises(FetchError) as failure:
        server.fetch(to)
    check_sentence(str(failure.value), "broke off after 50.3 MB", "check the network")
    assert all_in(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda members: packed({**members, "../escaped.png": b"x"}), ("'../escaped.png'",)),
        (
            lambda members: packed({**members, "cell_images/Parasitized/../../../escaped.png": b"x"}),
            ("out of its folder",),
        ),
        (lambda members: packed({**members, "/tmp/escaped.png": b"x"}), ("'/tmp/escaped.png'",)),
        (lambda members: packed({**members, "..\\escaped.png": b"x"}), ("out of its folder",)),
        (lambda members: packed({**members, "C:escaped.png": b"x"}), ("'C:escaped.png'",)),
        (
            lambda members: with_absurd_size(packed(members)),
            ("would unpack to 3.0 GB", f"{MAX_UNPACKED_BYTES / 1e9:.1f} GB are expected"),
        ),
        (
            lambda members: packed({name: data for name, data in members.items() if CLASSES[0] in name}),
            ("no pictures in cell_images/Uninfected",),
        ),
        (lambda members: packed({"readme.txt": b"moved"}), ("no pictures in cell_images/Parasitized",)),
        (lambda members: b"<html>Moved</html>", ("cannot be unpacked",)),
        # A picture differs from its checksum inside of the archive.
        (lambda members: packed(members).replace(b"\x89PNG", b"\x89PNX", 1), ("cannot be unpacked",)),
    ],
    ids=[
        "outside",
        "outside by a detour",
        "absolute",
        "outside on Windows",
        "drive",
        "absurd size",
        "one class missing",
        "other content",
        "no archive",
        "damaged picture",
    ],
)
def test_unfit_archive_is_refused_and_leaves_nothing(
    server: ArchiveServer,
    to: Path,
    tmp_path: Path,
    pictures: dict[str, bytes],
    change: Callable[[dict[str, bytes]], bytes],
    words: tuple[str, ...],
) -> None:
    server.body = change(pictures)
    with pytest.raises(FetchError) as failure:
        server.fetch(to)
    check_sentence(str(failure.value), "archive", *words)
    assert all_in(tmp_path) == []
    assert not Path("/tmp/escaped.png").exists()


def test_encrypted_archive_is_refused_and_leaves_nothing(
    server: ArchiveServer, to: Path, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    # Bit 0 of the flags, 6 bytes into each local header and 8 into each directory entry.
    body = bytearray(packed(pictures))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.rindex(signature) + offset] |= 1
    server.body = bytes(body)
    with pytest.raises(FetchError, match="cannot be unpacked"):
        server.fetch(to)
    assert all_in(tmp_path) == []


def test_failed_call_leaves_what_else_lies_in_the_folder(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    server.answer = send_half
    with pytest.raises(FetchError):
        server.fetch(tmp_path)
    assert all_in(tmp_path) == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folder_that_stands_in_the_way_is_not_touched(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "cell_images" / "Parasitized").mkdir(parents=True)
    with pytest.raises(FetchError) as failure:
        server.fetch(tmp_path)
    check_sentence(str(failure.value), "does not hold the cells", "--to")
    assert server.requests == 0
    assert all_in(tmp_path) == ["cell_images", "cell_images/Parasitized"]


@pytest.mark.parametrize("name", ["file", "file/inside", "long" * 100, "new/" + "long" * 100])
def test_folder_that_cannot_be_made_is_one_sentence(server: ArchiveServer, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FetchError) as failure:
        server.fetch(tmp_path / name)
    check_sentence(str(failure.value), "cannot be written to", "--to")
    assert all_in(tmp_path) == ["file"]


@pytest.mark.parametrize("during", ["download", "unpacking"])
def test_full_disk_is_one_sentence_and_leaves_nothing(
    server: ArchiveServer, to: Path, tmp_path: Path, pictures: dict[str, bytes], during: str
) -> None:
    big = {f"cell_images/{label}/C1P1_IMG_1_cell_1.png": bytes(200_000) for label in CLASSES}
    method = zipfile.ZIP_STORED if during == "download" else zipfile.ZIP_DEFLATED
    server.body = packed(big, method)
    with server.start_process(FULL_DISK, to) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert err == ""
    check_sentence(out.strip(), "The disk is full: make room", "--to")
    assert all_in(tmp_path) == []


def test_write_error_of_a_full_device_is_told_as_a_full_disk(server: ArchiveServer, to: Path) -> None:
    # The kernel answers every write to this device with ENOSPC.
    (to / ".cell_images.fetching").mkdir(parents=True)
    (to / ".cell_images.fetching" / "archive.part").symlink_to("/dev/full")
    with pytest.raises(FetchError) as failure:
        server.fetch(to)
    check_sentence(str(failure.value), "The disk is full: make room")
    assert isinstance(failure.value.__cause__, OSError)
    assert failure.value.__cause__.errno == errno.ENOSPC
    assert all_in(to) == []


def test_killed_download_is_started_anew_by_the_next_call(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes]
) -> None:
    # Whatever stands before a ZIP archive is no part of it.
    server.body = bytes(MUCH) + server.body
    server.answer = send_much_then_stall
    with server.start_process(FETCH, to) as process:
        assert server.much_is_sent.wait(SECONDS)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert sum(path.stat().st_size for path in to.rglob("*")) > 0
    assert not (to / "cell_images").exists()
    server.answer = send_whole
    server.fetch(to)
    check_fetched(to, pictures)


def test_download_that_is_ended_by_hand_leaves_nothing(
    server: ArchiveServer, to: Path, tmp_path: Path
) -> None:
    server.body = bytes(MUCH) + server.body
    server.answer = send_much_then_stall
    with server.start_process(FETCH, to) as process:
        assert server.much_is_sent.wait(SECONDS)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
    assert "KeyboardInterrupt" in err
    assert all_in(tmp_path) == []


def test_killed_unpacking_is_taken_up_without_another_download(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes]
) -> None:
    with server.start_process(DIES_UNPACKING, to) as process:
        process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL
    assert len(list(to.rglob("*.png"))) == 4
    assert not (to / "cell_images").exists()
    server.fetch(to)
    assert server.requests == 1
    check_fetched(to, pictures)


def test_two_calls_at_once_do_not_disturb_each_other(
    server: ArchiveServer, to: Path, pictures: dict[str, bytes]
) -> None:
    server.body = bytes(MUCH) + server.body

    def send_much_then_the_rest(handler: Handler, body: bytes) -> None:
        send_much_then_stall(handler, body)
        handler.wfile.write(body[MUCH:])

    server.answer = send_much_then_the_rest
    with server.start_process(FETCH, to) as first:
        assert server.much_is_sent.wait(SECONDS)
        with pytest.raises(FetchError) as failure:
            server.fetch(to)
        check_sentence(str(failure.value), "Another process is fetching cells", "wait")
        server.may_end.set()
        out, err = first.communicate(timeout=SECONDS)
    assert (out, err) == ("", "")
    check_fetched(to, pictures)


def test_archive_of_nlm_is_what_is_fetched_by_default() -> None:
    assert NLM_URL.startswith("https://data.lhncbc.nlm.nih.gov/")
    assert len(bytes.fromhex(NLM_SHA256)) == hashlib.sha256().digest_size
