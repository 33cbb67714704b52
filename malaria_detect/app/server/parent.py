"""The fork parent: one process with everything loaded, of which kernels and workers are copies.

A copy costs milliseconds instead of the seconds that importing torch takes, and shares its parent's memory until it
writes to it. The parent is :mod:`multiprocessing`'s fork server, which imports
:mod:`malaria_detect.app.server.preload` and never runs anything itself: a process that has run a parallel region of
OpenMP cannot be forked.
"""

import asyncio
import logging
import multiprocessing
import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Systems that cannot fork do not have it.
    from multiprocessing.context import ForkServerProcess

# The model that the parent opens; kernels and workers find it open.
MODEL_VARIABLE = "MALARIA_DETECT_PRELOAD"
PRELOAD = "malaria_detect.app.server.preload"

# s: a parent that ends earlier is not replaced before.
LEAST_SECONDS = 1
_LOG = logging.getLogger("malaria_detect.app.server")
# multiprocessing has one fork server a process, and starting its children is not safe in several threads at once.
_STARTING = threading.Lock()


def forks_here() -> bool:
    """Whether processes can be forked and watched on this system: Linux; elsewhere ordinary kernels are used."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        # An old kernel, or a container that forbids it.
        return False
    return True


class Forked:
    """A process forked off the parent, which outlives its parent; looks like a :class:`subprocess.Popen`.

    Attributes
    ----------
    pid : int
        Also that of its process group.
    """

    stdin = stdout = stderr = None

    def __init__(self, process: "ForkServerProcess") -> None:
        assert process.pid is not None
        self._descriptor = os.pidfd_open(process.pid)
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """Return None while it runs, its exit status afterwards; 0 where nobody is left who knows."""
        watch = select.poll()
        watch.register(self._descriptor, select.POLLIN)
        if not watch.poll(0):
            return None
        return self._process.exitcode or 0

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, at most so many seconds.

        Raises
        ------
        TimeoutError
            Where it still runs.
        """
        watch = select.poll()
        watch.register(self._descriptor, select.POLLIN)
        if not watch.poll(None if timeout is None else int(1000 * timeout)):
            raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
        return self._process.exitcode or 0

    async def ended(self) -> None:
        """Wait for its end in an event loop."""
        await _ended(os.dup(self._descriptor))

    def send_signal(self, number: int) -> None:
        """Send a signal to this process alone; one that has ended is left alone."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def start_parent(model: Path | None = None) -> None:
    """Start the fork parent, or anew where it has died, and let it load.

    Parameters
    ----------
    model : Path, optional
        The exported learner that it opens; as a rule set once, before the first fork.
    """
    from multiprocessing import forkserver  # not on every system

    if model is not None:
        os.environ[MODEL_VARIABLE] = str(model.resolve())
    with _STARTING:
        multiprocessing.get_context("forkserver").set_forkserver_preload([PRELOAD])
        forkserver.ensure_running()


def fork(target: str, *arguments: Any) -> Forked:
    """Run a function in a new copy of the parent; waits until the parent has loaded.

    Parameters
    ----------
    target : str
        The function, as ``module:name``, so that what it needs is not imported here. The process ends with it, and with
        the process that called this.
    arguments
        What can be pickled, pipes of multiprocessing included.

    Returns
    -------
    Forked

    Raises
    ------
    OSError, EOFError
        Where no process can be started, or the parent dies while it loads.
    """
    start_parent()
    try:
        return _fork(target, arguments)
    except (OSError, EOFError):
        # The parent died between the two lines above; the next one is asked.
        start_parent()
        return _fork(target, arguments)


async def keep_parent() -> None:
    """Have a fork parent ready, and start another one whenever it ends, until cancelled."""
    while True:
        try:
            pid = await asyncio.to_thread(_parent)
            _LOG.info("the fork parent is process %s", pid)
            await _ended(os.pidfd_open(pid))
        except (OSError, EOFError) as error:
            _LOG.error("the fork parent cannot be watched: %s", error)
            await asyncio.sleep(LEAST_SECONDS)
        _LOG.warning("the fork parent ended; another one is started")


def _parent() -> int:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with ours:
        with theirs:
            fork(f"{__name__}:tell_parent", theirs)
        return int(ours.recv())


def tell_parent(connection: Connection) -> None:
    """Tell, from a copy of the fork parent, which process that is."""
    connection.send(os.getppid())


async def _ended(descriptor: int) -> None:
    """Wait until a process ends, and close the descriptor that stands for it."""
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    loop.add_reader(descriptor, end.set)
    try:
        await end.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _fork(target: str, arguments: tuple[Any, ...]) -> Forked:
    with _STARTING:
        process = multiprocessing.get_context("forkserver").Process(
            target=_begin, args=(target, arguments), daemon=True
        )
        process.start()
    return Forked(process)


def _begin(target: str, arguments: tuple[Any, ...]) -> None:
    os.setsid()  # Ctrl-C in the server's terminal is the server's affair
    _die_with_the_server()
    resolve_name(target)(*arguments)


def _die_with_the_server() -> None:
    import fcntl  # not on every system

    # The server holds the other end of this pipe. The operating system itself ends this process when that is closed, so
    # that nothing is left behind by a killed server, not even a process that hangs.
    server = multiprocessing.parent_process()
    assert server is not None
    pipe = server.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | fcntl.FASYNC)
    # It may have been closed before.
    if select.select([pipe], [], [], 0)[0]:
        os.kill(os.getpid(), signal.SIGKILL)
