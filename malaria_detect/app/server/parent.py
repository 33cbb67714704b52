"""The fork parent: one process with everything loaded, which kernels and workers are copies of.

A copy takes milliseconds, whereas importing torch takes seconds, and it shares its parent's memory until it writes to
it. The parent is the fork server of :mod:`multiprocessing`. It imports :mod:`malaria_detect.app.server.preload_hook`
and computes nothing: a process that has run a parallel region of OpenMP cannot be forked.
"""

import asyncio
import contextlib
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
    # Not available on systems that cannot fork.
    from multiprocessing.context import ForkServerProcess

HOOK = "malaria_detect.app.server.preload_hook"

# s: pause before another attempt if the parent cannot be watched.
_RETRY_SECONDS = 1
_LOG = logging.getLogger("malaria_detect.app.server")
# multiprocessing has one fork server per process, and its children must not be started in several threads at once.
_STARTING = threading.Lock()


def forks_here() -> bool:
    """Whether this system can fork and watch processes (Linux); other systems use ordinary kernels."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        # An old kernel, or a container that forbids it.
        return False
    return True


class Forked:
    """A process forked from the parent, with the interface of :class:`subprocess.Popen`; it outlives its parent.

    Attributes
    ----------
    pid : int
        Also the id of its process group.
    """

    stdin = stdout = stderr = None

    def __init__(self, process: "ForkServerProcess") -> None:
        assert process.pid is not None
        self._descriptor = os.pidfd_open(process.pid)
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """Exit status, or None while the process runs; 0 if the status is unknown because the parent died."""
        watch = select.poll()
        watch.register(self._descriptor, select.POLLIN)
        if not watch.poll(0):
            return None
        return self._process.exitcode or 0

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, at most `timeout` seconds.

        Raises
        ------
        TimeoutError
            If it still runs.
        """
        watch = select.poll()
        watch.register(self._descriptor, select.POLLIN)
        if not watch.poll(None if timeout is None else int(1000 * timeout)):
            raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
        return self._process.exitcode or 0

    async def ended(self) -> None:
        """Wait for the end of the process in an event loop."""
        await _ended(os.dup(self._descriptor))

    def send_signal(self, number: int) -> None:
        """Send a signal to this process, not to its children; nothing happens if it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process."""
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def start_parent() -> None:
    """Start the fork parent if none runs; it opens the model that the environment names, for all its copies."""
    from multiprocessing import forkserver  # not on every system

    with _STARTING:
        multiprocessing.get_context("forkserver").set_forkserver_preload([HOOK])
        forkserver.ensure_running()


def fork(target: str, *arguments: Any) -> Forked:
    """Run a function in a new copy of the parent, after the parent has loaded everything.

    Parameters
    ----------
    target : str
        The function, as ``module:name``, so that its module is not imported here. The process ends when the function
        returns, or when the calling process ends.
    arguments
        Picklable arguments, including pipes of multiprocessing.

    Returns
    -------
    Forked

    Raises
    ------
    OSError, EOFError
        If no process can be started, or the parent dies while it loads.
    """
    start_parent()
    try:
        return _fork(target, arguments)
    except ProcessLookupError:
        # The copy has ended already: a second copy would repeat what the first one did.
        raise
    except (OSError, EOFError):
        # The parent died between the two lines above. A new parent is asked.
        start_parent()
        return _fork(target, arguments)


async def keep_parent() -> None:
    """Keep a fork parent ready, starting another one whenever it ends, until cancelled."""
    while True:
        try:
            pid = await asyncio.to_thread(_parent)
            _LOG.info("The fork parent is process %s.", pid)
            await _ended(os.pidfd_open(pid))
        except (OSError, EOFError) as error:
            _LOG.error("Cannot watch the fork parent: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        _LOG.warning("The fork parent ended. Starting another one.")


def _parent() -> int:
    """Process id of the fork parent: the parent of a copy that waits while its parent is looked up."""
    ours, theirs = multiprocessing.Pipe()
    with ours:
        with theirs:
            copy = fork(f"{__name__}:wait_until_closed", theirs)
        stat = Path(f"/proc/{copy.pid}/stat").read_text(encoding="utf-8", errors="replace")
    # The process's name, in parentheses, may contain blanks; state and parent follow.
    return int(stat.rpartition(")")[2].split()[1])


def wait_until_closed(connection: Connection) -> None:
    """Wait, in a copy of the fork parent, until the other end of a pipe is closed."""
    with contextlib.suppress(EOFError):
        connection.recv_bytes()


async def _ended(descriptor: int) -> None:
    """Wait until a process ends, then close its descriptor."""
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
    os.setsid()  # Ctrl-C in the server's terminal must reach the server only
    _die_with_the_server()
    resolve_name(target)(*arguments)


def _die_with_the_server() -> None:
    import fcntl  # not on every system

    # The server holds the other end of this pipe. The operating system kills this process when that end is closed, so
    # that a killed server leaves nothing behind, not even a process that hangs.
    server = multiprocessing.parent_process()
    assert server is not None
    pipe = server.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | fcntl.FASYNC)
    # It may have been closed already.
    if select.select([pipe], [], [], 0)[0]:
        os.kill(os.getpid(), signal.SIGKILL)
