"""The server's processes: really started, killed and counted."""

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from websockets.exceptions import InvalidStatus

from benchmarks.visitors import VisitError, Visitor
from malaria_detect.app.server.page import TALK_COOKIE
from malaria_detect.cli.serve import TOKEN_VARIABLE
from tests.app.server.attacker import Visitor as Guest
from tests.app.server.attacker import ask, ask_kernel, visit
from tests.browser.served import PROJECT, Server, page_folder, served_page
from tests.waiting import SECONDS, until

FEW = ("--pool", "1", "--workers", "1")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def picture(sample_cells: Path) -> dict[str, bytes]:
    path = next(iter(sorted(sample_cells.rglob("*.png"))))
    return {path.name: path.read_bytes()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served_page(PROJECT, tmp_path_factory.mktemp("server"), *FEW) as running:
        yield running


def children(server: Server) -> set[psutil.Process]:
    """Kernels and workers."""
    return set(server.process.children())


def listens(process: psutil.Process) -> bool:
    """Whether a child is a kernel, which listens on sockets of its own."""
    return any("kernel" in str(link.laddr) for link in process.net_connections("unix"))


def runs(process: psutil.Process, module: str) -> bool:
    return f"malaria_detect.app.{module}" in process.cmdline()


def runs_still(process: psutil.Process) -> bool:
    """Whether a process has not ended; one whose end nobody has noticed yet has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def only_worker(server: Server) -> psutil.Process:
    (worker,) = [process for process in children(server) if runs(process, "workers.worker")]
    return worker


def libraries(process: psutil.Process) -> str:
    return " ".join(mapped.path for mapped in process.memory_maps())


def test_only_workers_have_a_network_in_their_memory(server: Server, picture: dict[str, bytes]) -> None:
    with Visitor(server.address) as visitor:
        (card,) = visitor.upload(picture)
        assert card.probability is not None
        # One worker, this visitor's kernel, and one that waits for the next visitor.
        until(lambda: len(children(server)) == 3, "the pool's kernel")
        for process in (server.process, *filter(listens, children(server))):
            # Intervals of counts need scipy.special.
            heavy = r"libtorch|openvino|/scipy/(stats|optimize|sparse)|/matplotlib|/sklearn|/skimage"
            found = re.search(heavy, libraries(process))
            assert not found, (process, found)
        # Its weights are mapped from a file, so that the system can drop them from memory.
        assert ".blob" in libraries(only_worker(server))


def test_a_dead_worker_is_replaced_and_nobody_notices(server: Server, picture: dict[str, bytes]) -> None:
    with Visitor(server.address) as visitor:
        before = visitor.upload(picture)
        worker = only_worker(server)
        worker.kill()
        psutil.wait_procs([worker], timeout=SECONDS)
        assert visitor.upload(picture) == before
        assert only_worker(server) != worker


def test_no_visitor_gets_a_kernel_that_died_in_the_pool(server: Server, picture: dict[str, bytes]) -> None:
    def waiting() -> list[psutil.Process]:
        return [process for process in children(server) if listens(process)]

    kernel = until(lambda: waiting() if len(waiting()) == 1 else [], "the pool's kernel")[0]
    kernel.kill()
    # The server notices it when it hands the kernel out.
    until(lambda: not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE, "the kernel's end")
    with Visitor(server.address) as visitor:
        (card,) = visitor.upload(picture)
        assert card.probability is not None
    until(lambda: len(waiting()) == 1, "the pool's next kernel")


def test_kernels_that_wait_or_were_just_handed_out_are_not_culled(tmp_path: Path) -> None:
    folder = page_folder(
        tmp_path,
        MappingKernelManager={"cull_interval": 1, "cull_idle_timeout": 8},
        Server={"unclaimed_seconds": 100_000},
    )
    with served_page(folder, folder / "temporary", "--workers", "1") as server:

        def state(visitor: Guest) -> int:
            cookie = {"Cookie": visitor.cookie(TALK_COOKIE)}
            return ask(server.port, path=f"/api/kernels/{visitor.kernel_id}", headers=cookie).status

        def culled(visitor: Guest) -> bool:
            return state(visitor) == 404

        slow, connected = visit(server.port), visit(server.port)
        with contextlib.suppress(InvalidStatus), connected.socket():
            until(lambda: culled(connected), "the end of an idle kernel")
        # The culler has seen the kernel of the slow visitor, who now gets all scripts, and the next one in the pool.
        assert state(slow) == 200
        with slow.socket() as opened:
            ask_kernel(opened)
        later = visit(server.port)
        assert state(later) == 200
        with later.socket() as opened:
            ask_kernel(opened)


def test_kernels_of_silent_visitors_are_ended(tmp_path: Path) -> None:
    folder = page_folder(tmp_path, MappingKernelManager={"cull_interval": 1, "cull_idle_timeout": 5})
    with served_page(folder, folder / "temporary", "--pool", "0", "--workers", "1") as server:
        silent = visit(server.port)
        place = f"/api/kernels/{silent.kernel_id}"
        cookie = {"Cookie": silent.cookie(TALK_COOKIE)}
        with contextlib.ExitStack() as connected:
            # On a slow machine the kernel may be ended before.
            with contextlib.suppress(InvalidStatus):
                connected.enter_context(silent.socket())
            until(lambda: ask(silent.port, path=place, headers=cookie).status == 404, "the kernel's end")
        until(lambda: len(children(server)) == 1, "a worker alone")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_server_that_ends_and_only_it_knew_the_token(
    number: signal.Signals, tmp_path: Path, picture: dict[str, bytes]
) -> None:
    token = {TOKEN_VARIABLE: "s3cret"}
    with served_page(PROJECT, tmp_path, *FEW, end=number, environment=token) as server:
        Visitor(server.address).upload(picture)
        processes = server.process.children(recursive=True)
        assert len(processes) >= 3
        assert not any("s3cret" in process.environ().values() for process in children(server))
    until(lambda: not any(map(runs_still, processes)), "the end of all processes")
    left = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    assert number == signal.SIGKILL or left == []


def test_a_port_that_is_taken_is_told_and_ends_the_server(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"port {server.port} .Address already in use"):
        served_page(PROJECT, tmp_path, "--port", str(server.port)).__enter__()


def test_reference_cells_of_another_model_are_told_on_the_page_and_the_server_lives(tmp_path: Path) -> None:
    folder = page_folder(tmp_path)
    metadata = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    (folder / "export.json").unlink()
    (folder / "export.json").write_text(
        json.dumps(metadata | {"references_sha256": 64 * "0"}), encoding="utf-8"
    )
    with served_page(folder, folder / "temporary", *FEW) as server:
        with pytest.raises(VisitError, match="0 places"):
            Visitor(server.address)
        assert server.process.is_running()
        assert requests.get(server.address + "api/health", timeout=SECONDS).status_code == 404
    assert "export.npz" in (folder / "temporary" / "log.txt").read_text(encoding="utf-8")


def test_what_goes_wrong_in_a_session_is_told_in_the_servers_log_and_not_to_the_browser(
    tmp_path: Path, picture: dict[str, bytes]
) -> None:
    folder = page_folder(tmp_path)
    with (
        served_page(folder, folder / "temporary", *FEW) as server,
        Visitor(server.address) as visitor,
    ):
        metadata = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        (folder / "export.json").unlink()
        (folder / "export.json").write_text(json.dumps(metadata | {"sha256": 64 * "0"}), encoding="utf-8")
        with pytest.raises(VisitError):
            visitor.upload(picture)
        assert visitor.printed == ""
    assert "Traceback" in (folder / "temporary" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "token", "said"),
    [
        ("", None, "voila.json is not valid"),
        ((PROJECT / "voila.json").read_text(encoding="utf-8"), "", "token"),
    ],
    ids=["damaged settings", "an empty token, which is not none"],
)
def test_a_server_that_might_not_be_protected_is_not_started(
    settings: str, token: str | None, said: str, tmp_path: Path
) -> None:
    folder = page_folder(tmp_path)
    (folder / "voila.json").write_text(settings, encoding="utf-8")
    environment = {} if token is None else {TOKEN_VARIABLE: token}
    with pytest.raises(RuntimeError, match=said):
        served_page(folder, folder / "temporary", *FEW, environment=environment).__enter__()
