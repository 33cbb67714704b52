"""Returns memory that a process no longer needs to the operating system."""

import ctypes
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_MAPPING = re.compile(
    r"(?P<first>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<may>\S{4}) \S+ \S+ [1-9]\d* +(?P<file>/.*)"
)
_ANY_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


def give_back() -> None:
    """Return freed memory, and pages of libraries that were only read while the libraries were loaded.

    Only for a process with a single thread, because no other thread may load a library meanwhile. Works on Linux; does
    nothing on other systems. If a library's page is needed later, the system reads it again, usually from its cache.
    """
    mappings = Path("/proc/self/smaps")
    if not mappings.exists():
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(ctypes.c_size_t(0))
    for first, size in unchanged(mappings.read_text(encoding="utf-8", errors="replace").splitlines()):
        library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def unchanged(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Read-only mappings of files in which no page was ever changed.

    Parameters
    ----------
    lines : iterable of str
        Lines of ``/proc/self/smaps``.

    Yields
    ------
    tuple of int
        Address and size in bytes.

    Examples
    --------
    >>> text = ["7f00-7f10 r-xp 0 103:02 42 /lib/a.so", "Anonymous: 0 kB", "Swap: 0 kB"]
    >>> changed = ["8f00-8f10 r--p 0 103:02 42 /lib/a.so", "Anonymous: 4 kB", "Swap: 0 kB"]
    >>> list(unchanged(text + changed)) == [(0x7F00, 0x10)]
    True
    """
    found, own = None, {"Anonymous": 1, "Swap": 1}
    for line in lines:
        if _ANY_MAPPING.match(line):
            found, own = _MAPPING.match(line), {"Anonymous": 1, "Swap": 1}
            continue
        name, _, value = line.partition(":")
        if found is None or name not in own:
            continue
        # The linker changes some pages before it makes them read-only: these must be kept, in memory or swap.
        own[name] = int(value.split()[0])
        if not any(own.values()) and _is_private_file(found["may"], found["file"]):
            first = int(found["first"], 16)
            yield first, int(found["end"], 16) - first


def _is_private_file(may: str, file: str) -> bool:
    return "w" not in may and may.endswith("p") and not file.startswith("/dev/")
