"""The server's processes: really started, killed and counted."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from benchmarks.visitors import VisitError, Visitor
from malaria_detect.cli import parser
from malaria_detect.cli.serve import TOKEN_VARIABLE
from tests.browser.served import PROJECT, Server, served_page

SECONDS = 60
FEW = ("--pool", "1", "--workers", "1")


@pytest.fixture(scope="module")
def picture(sample_cells: Path) -> dict[str, bytes]:
    path = next(iter(sorted(sample_cells.rglob("*.png"))))
    return {path.name: path.read_bytes()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served_page(PROJECT, tmp_path_factory.mktemp("server"), *FEW) as running:
        yield running


def fork_parent(server: Server) -> psutil.Process:
    """The process that kernels and workers are copies of: the only one of the server's that has torch loaded."""
    (parent,) = [
        child
        for child in server.process.children()
        if any("libtorch" in mapped.path for mapped in child.memory_maps())
    ]
    return parent


def copies(server: Server) -> set[psutil.Process]:
    """Kernels and workers."""
    return set(fork_parent(server).children())


def is_kernel(process: psutil.Process) -> bool:
    """Whether somebody can talk to it through the files that a kernel listens at."""
    return any("kernel" in str(link.laddr) for link in process.net_connections("unix"))


def test_a_visitors_kernel_and_the_workers_are_copies_of_one_process(
    server: Server, picture: dict[str, bytes]
) -> None:
    with Visitor(server.address) as visitor:
        (card,) = visitor.upload(picture)
        assert card.probability is not None
        # One worker, this visitor's kernel, and at most one that waits for the next.
        assert 2 <= len(copies(server)) <= 3
        # Who serves strangers' requests has neither torch nor the model in its memory.
        assert not any("libtorch" in mapped.path for mapped in server.process.memory_maps())


def test_a_visitor_who_leaves_takes_the_kernel_along(server: Server, picture: dict[str, bytes]) -> None:
    with Visitor(server.address) as visitor:
        visitor.upload(picture)
        during = copies(server)
    _, alive = psutil.wait_procs(during, timeout=2)
    # All but that visitor's own: the worker, and the one for the next visitor.
    assert len(alive) < len(during)


def test_a_dead_worker_is_replaced_and_nobody_notices(server: Server, picture: dict[str, bytes]) -> None:
    with Visitor(server.address) as visitor:
        before = visitor.upload(picture)
        parent = fork_parent(server)
        (worker,) = [copy for copy in copies(server) if not is_kernel(copy)]
        worker.kill()
        psutil.wait_procs([worker], timeout=SECONDS)
        assert visitor.upload(picture) == before
        assert parent.is_running()


def test_a_dead_fork_parent_is_replaced_and_visitors_stay_and_come(
    server: Server, picture: dict[str, bytes]
) -> None:
    with Visitor(server.address) as visitor:
        before = visitor.upload(picture)
        parent = fork_parent(server)
        parent.kill()
        psutil.wait_procs([parent], timeout=SECONDS)
        assert visitor.upload(picture) == before
        with Visitor(server.address) as next_one, Visitor(server.address) as after_the_pool:
            assert next_one.upload(picture) == before
            assert after_the_pool.upload(picture) == before
        assert fork_parent(server) != parent


def test_kernels_of_visitors_who_fell_silent_are_ended(tmp_path: Path, picture: dict[str, bytes]) -> None:
    for name in ("dashboard.ipynb", "export.pkl", "export.json"):
        (tmp_path / name).symlink_to(PROJECT / name)
    settings = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))
    settings["MappingKernelManager"] |= {"cull_interval": 1, "cull_idle_timeout": 2}
    (tmp_path / "voila.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "place").mkdir()
    with served_page(tmp_path, tmp_path / "place", "--pool", "0", "--workers", "1") as server:
        visitor = Visitor(server.address)
        visitor.upload(picture)
        (worker, kernel) = sorted(copies(server), key=lambda process: process.pid)
        assert psutil.wait_procs([kernel], timeout=SECONDS)[1] == []
        assert worker.is_running()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_server_that_ends(
    number: signal.Signals, tmp_path: Path, picture: dict[str, bytes]
) -> None:
    with served_page(PROJECT, tmp_path, *FEW, end=number) as server:
        visitor = Visitor(server.address)
        visitor.upload(picture)
        processes = server.process.children(recursive=True)
        assert len(processes) >= 4
    assert psutil.wait_procs(processes, timeout=SECONDS)[1] == []
    left = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    assert number == signal.SIGKILL or left == []


def test_a_port_that_is_taken_is_told_and_ends_the_server(server: Server, tmp_path: Path) -> None:
    port = server.address.rstrip("/").rpartition(":")[2]
    with pytest.raises(RuntimeError, match=f"port {port} .Address already in use.: choose another"):
        served_page(PROJECT, tmp_path, "--port", port).__enter__()


def test_a_model_that_is_not_its_metadata_is_told_on_the_page_and_the_server_lives(tmp_path: Path) -> None:
    for name in ("dashboard.ipynb", "export.json", "voila.json"):
        (tmp_path / name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "export.json", tmp_path / "export.pkl")
    (tmp_path / "place").mkdir()
    with served_page(tmp_path, tmp_path / "place", *FEW) as server:
        with pytest.raises(VisitError, match="0 places to upload"):
            Visitor(server.address)
        assert server.process.is_running()
        assert requests.get(server.address + "api/health", timeout=SECONDS).status_code == 404
    log = (tmp_path / "place" / "log.txt").read_text(encoding="utf-8")
    assert "is not the file that export.json was written for" in log


def test_what_goes_wrong_in_a_session_is_told_in_the_servers_log_and_not_to_the_browser(
    tmp_path: Path, picture: dict[str, bytes]
) -> None:
    for name in ("dashboard.ipynb", "export.pkl", "voila.json"):
        (tmp_path / name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "export.json", tmp_path)
    (tmp_path / "place").mkdir()
    with (
        served_page(tmp_path, tmp_path / "place", *FEW) as server,
        Visitor(server.address) as visitor,
    ):
        metadata = json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))
        (tmp_path / "export.json").write_text(json.dumps(metadata | {"sha256": 64 * "0"}), encoding="utf-8")
        with pytest.raises(VisitError, match="could not all be checked"):
            visitor.upload(picture)
        assert visitor.printed == ""
    log = (tmp_path / "place" / "log.txt").read_text(encoding="utf-8")
    assert "Checking pictures failed" in log
    assert "Traceback" in log


@pytest.mark.parametrize(
    ("settings", "said"),
    [(None, "There is no voila.json"), ("{", "voila.json cannot be understood")],
)
def test_missing_or_damaged_settings_are_told_and_nothing_is_served(
    settings: str | None, said: str, tmp_path: Path
) -> None:
    for name in ("dashboard.ipynb", "export.json", "export.pkl"):
        (tmp_path / name).symlink_to(PROJECT / name)
    if settings is not None:
        (tmp_path / "voila.json").write_text(settings, encoding="utf-8")
    (tmp_path / "place").mkdir()
    with pytest.raises(RuntimeError, match=said):
        served_page(tmp_path, tmp_path / "place", *FEW).__enter__()


@pytest.mark.parametrize("flags", [("--workers", "0"), ("--pool", "-1"), ("--port", "99999")])
def test_numbers_that_no_server_can_have_are_told(
    flags: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["serve", *flags])
    assert "is no whole number from" in capsys.readouterr().err


def test_an_empty_token_is_refused_and_not_taken_for_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="token"):
        served_page(PROJECT, tmp_path, *FEW, environment={TOKEN_VARIABLE: ""}).__enter__()


def test_neither_sessions_nor_workers_know_the_token(tmp_path: Path) -> None:
    with (
        served_page(PROJECT, tmp_path, *FEW, environment={TOKEN_VARIABLE: "s3cret"}) as server,
        Visitor(server.address),
    ):
        environments = [process.environ() for process in copies(server)]
        assert environments
        assert all("s3cret" not in environment.values() for environment in environments)
