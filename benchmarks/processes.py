"""The processes of a measured server: their memory, and whether they are at rest."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

MEGABYTE = 1e6
START_SECONDS = 120
QUIET_SECONDS = 180
# Longer than the two seconds (fill_delay in voila.json) that the server waits before it fills its pool.
REST_SECONDS = 2.5
REST_SHARE = 0.06
POLL_SECONDS = 0.25
START_POLL_SECONDS = 0.02
# Below the ports that Linux assigns to outgoing connections.
_OWN_PORTS = (20_000, 32_000)
# Share of one core that the sampler may use.
SAMPLER_SHARE = 0.1


@dataclass(frozen=True)
class Load:
    """State of a process tree: its processes, and the processor seconds that they have used."""

    at: float
    processes: frozenset[int]
    used: float


def at_rest(loads: Sequence[Load]) -> bool:
    """Whether a process tree has been at rest for the last :data:`REST_SECONDS`.

    Parameters
    ----------
    loads : sequence of Load
        In the order of time.

    Examples
    --------
    >>> busy, calm = Load(0, frozenset({1}), 0.0), Load(3, frozenset({1}), 0.01)
    >>> at_rest([busy, calm]), at_rest([busy, Load(3, frozenset({1, 2}), 0.01)])
    (True, False)
    """
    now = loads[-1]
    before = [load for load in loads if load.at <= now.at - REST_SECONDS]
    if not before:
        return False
    since = loads[loads.index(before[-1]) :]
    rested = now.used - before[-1].used <= REST_SHARE * (now.at - before[-1].at)
    return rested and all(load.processes == now.processes for load in since)


@dataclass(frozen=True)
class Server:
    """A running server: address of its page, and its main process."""

    address: str
    process: psutil.Process

    def tree(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        return [self.process, *self.process.children(recursive=True)]

    def private(self) -> float:
        """Megabytes that are not shared between the processes (sum of USS)."""
        return self._sum(lambda process: process.memory_full_info().uss) / MEGABYTE

    def proportional(self) -> float:
        """Megabytes of all processes, shared memory counted once (sum of PSS)."""
        return self._sum(lambda process: process.memory_full_info().pss) / MEGABYTE

    def descriptors(self) -> int:
        """Open files, sockets and pipes of the main process."""
        return int(self.process.num_fds())

    def load(self) -> Load:
        """The current state of the process tree."""
        tree = self.tree()
        used = self._sum(lambda process: sum(process.cpu_times()[:2]), tree)
        return Load(time.monotonic(), frozenset(process.pid for process in tree), used)

    def wait_until_quiet(self) -> None:
        """Wait until no kernel is starting, ending or working.

        Raises
        ------
        TimeoutError
            After :data:`QUIET_SECONDS`.
        """
        loads = [self.load()]
        while not at_rest(loads):
            if loads[-1].at - loads[0].at > QUIET_SECONDS:
                raise TimeoutError(f"{self.address} did not come to rest in {QUIET_SECONDS} s")
            time.sleep(POLL_SECONDS)
            loads.append(self.load())

    def _sum(
        self, measure: Callable[[psutil.Process], float], tree: Sequence[psutil.Process] | None = None
    ) -> float:
        total = 0.0
        for process in self.tree() if tree is None else tree:
            # It has ended meanwhile.
            with contextlib.suppress(psutil.NoSuchProcess):
                total += measure(process)
        return total


class PeakMemory:
    """Samples a server's memory within a ``with`` block.

    Attributes
    ----------
    megabytes : float
        Largest sample.
    """

    def __init__(self, server: Server) -> None:
        self.megabytes = 0.0
        self._server = server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            began = time.thread_time()
            self.megabytes = max(self.megabytes, self._server.proportional())
            if self._end.wait((time.thread_time() - began) / SAMPLER_SHARE):
                return


def free_port() -> int:
    """A free port of this machine that the system does not assign to outgoing connections."""
    for port in random.sample(range(*_OWN_PORTS), len(range(*_OWN_PORTS))):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@contextlib.contextmanager
def running(command: Callable[[int], Sequence[str]], folder: Path) -> Iterator[Server]:
    """Run a server until the block ends, and check that no process remains.

    Parameters
    ----------
    command : callable
        Returns the command line for a port.
    folder : Path
        Working directory.

    Raises
    ------
    RuntimeError
        If the server does not start in time, with its output, or leaves processes behind.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log.txt"
        with log.open("wb") as output:
            started = subprocess.Popen(
                command(port), cwd=folder, env={**os.environ, "TMPDIR": place}, stdout=output, stderr=output
            )
        server = Server(f"http://127.0.0.1:{port}/", psutil.Process(started.pid))
        try:
            _wait_until_bound(started, port, log)
            yield server
        finally:
            descendants = []
            with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by itself
                descendants = server.process.children(recursive=True)
            started.send_signal(signal.SIGTERM)
            started.wait(timeout=60)
            _, left = psutil.wait_procs(descendants, timeout=60)
            for process in left:
                process.kill()
        if left:
            raise RuntimeError(f"{command(port)} left {left} behind")


def _wait_until_bound(started: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while started.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(START_POLL_SECONDS)
    raise RuntimeError(f"the server did not come up:\n{log.read_text(encoding='utf-8')}")
