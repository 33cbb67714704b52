"""Memory of tensors: the C library keeps what was freed for the next training step."""

import ctypes
import platform

# Of glibc's malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> None:
    """Tell glibc, in this process, not to return freed memory to the system; does nothing with other C libraries.

    A training step frees the outputs of all layers, and the next one needs as much again. By default, each large tensor
    is new memory, which the system has to clear page by page; ``python -m benchmarks.training_step`` shows what that
    costs. It cannot be undone: a process that has trained keeps its largest size until it ends.

    Call :func:`return_gaps` now and then. glibc does not always fit a tensor into the gap that one of the same size has
    left (its memory has to be aligned), and takes new memory instead: without it, a training with two threads grew from
    1 GB to 18 GB in ten epochs.
    """
    if _is_glibc():
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def return_gaps() -> None:
    """Return all freed memory to the system, also that of gaps between tensors; see malloc_trim(3)."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
