"""A limit on the memory of a server and all its processes: a control group of Linux, as containers have."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Version:
    folder: Path
    limit: str
    kills: str


# By the file that shows the version: version 2 has all controllers in one tree.
_VERSIONS = {
    "cgroup.controllers": _Version(_MOUNT, "memory.max", "memory.events"),
    "memory/memory.oom_control": _Version(_MOUNT / "memory", "memory.limit_in_bytes", "memory.oom_control"),
}


@dataclass(frozen=True)
class MemoryGroup:
    """Processes that share a limit on their memory.

    The system takes back what it can read again from files, such as programs and mapped weights, before it kills.
    """

    folder: Path
    events: Path

    def within(self, command: Sequence[str]) -> list[str]:
        """A command line that joins the group and then runs the command."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh", *command]

    @property
    def kills(self) -> int:
        """Processes that the system killed for want of memory."""
        counts = dict(line.split() for line in self.events.read_text(encoding="ascii").splitlines())
        return int(counts["oom_kill"])


@contextlib.contextmanager
def memory_group(megabytes: int) -> Iterator[MemoryGroup | None]:
    """A group with a limit in units of 2**20 bytes; None where the system or the user's rights allow none."""
    found = [version for shown, version in _VERSIONS.items() if (_MOUNT / shown).exists()]
    if not found or not os.access(found[0].folder, os.W_OK):
        yield None
        return
    version = found[0]
    folder = Path(tempfile.mkdtemp(prefix="malaria_detect_", dir=version.folder))
    try:
        limit = folder / version.limit
        if limit.exists():  # else the memory of groups here is not counted
            limit.write_text(str(megabytes * 2**20), encoding="ascii")
        yield MemoryGroup(folder, folder / version.kills) if limit.exists() else None
    finally:
        folder.rmdir()
