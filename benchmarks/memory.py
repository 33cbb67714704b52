"""A limit on the memory of a server and all its processes: a control group of Linux, as containers have."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_END_SECONDS = 10
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class _Version:
    folder: Path
    limit: str
    swap: str
    swap_is_included: bool
    kills: str


# By the file that shows the version: version 2 has all controllers in one tree.
_VERSIONS = {
    "cgroup.controllers": _Version(_MOUNT, "memory.max", "memory.swap.max", False, "memory.events"),
    "memory/memory.oom_control": _Version(
        _MOUNT / "memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", True, "memory.oom_control"
    ),
}


@dataclass(frozen=True)
class MemoryGroup:
    """Processes that share a limit on their memory, without swap.

    The system takes back what it can read again from files, such as programs and mapped weights, before it kills. Files
    that other processes had read before are not counted.
    """

    folder: Path
    events: Path

    def within(self, command: Sequence[str]) -> list[str]:
        """A command line that joins the group and then runs the command."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh", *command]

    @property
    def kills(self) -> int:
        """Processes that the system killed because memory ran out."""
        counts = dict(line.split() for line in self.events.read_text(encoding="ascii").splitlines())
        return int(counts["oom_kill"])

    def end(self) -> None:
        """Kill the processes that are left, and remove the group."""
        deadline = time.monotonic() + _END_SECONDS
        while left := (self.folder / "cgroup.procs").read_text(encoding="ascii").split():
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {left} in {self.folder} do not end")
            time.sleep(_POLL_SECONDS)
        self.folder.rmdir()


@contextlib.contextmanager
def memory_group(mebibytes: int) -> Iterator[MemoryGroup | None]:
    """A group with limited memory; None where the system or the user's rights allow none."""
    group = _limited(mebibytes * 2**20)
    try:
        yield group
    finally:
        if group:
            group.end()


def _limited(limit: int) -> MemoryGroup | None:
    version = next((version for shown, version in _VERSIONS.items() if (_MOUNT / shown).exists()), None)
    if version is None:
        return None
    try:
        folder = Path(tempfile.mkdtemp(prefix="malaria_detect_", dir=version.folder))
    except OSError:
        return None
    group = MemoryGroup(folder, folder / version.kills)
    try:
        # Opened only if it exists: without it, the memory of groups is not counted here.
        with (folder / version.limit).open("r+", encoding="ascii") as file:
            file.write(str(limit))
        with (
            contextlib.suppress(FileNotFoundError),
            (folder / version.swap).open("r+", encoding="ascii") as file,
        ):
            file.write(str(limit if version.swap_is_included else 0))
        return group
    except OSError:
        group.end()
        return None
