"""Write files so that a reader never sees half of one and an old file is never lost."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Path of a new file in the same folder, which replaces `path` if the block ends without an error.

    Links are followed; an existing file keeps its mode and owner. What is no regular file (a device, a pipe) cannot
    be replaced: the block then writes to it directly.

    Parameters
    ----------
    path : path
        The file to write. Its folder must exist.

    Yields
    ------
    Path
        Write the complete content there and close it before the block ends.

    Raises
    ------
    OSError
        If the folder or an existing file cannot be written; the old file is unchanged.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "scores.txt"
    >>> with replaced(target) as new:
    ...     _ = new.write_text("0.977")
    >>> target.read_text()
    '0.977'
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        yield Path(path)
        return
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(13, "Permission denied", str(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(descriptor)
    new = Path(name)
    try:
        _take_mode_and_owner(new, target)
        yield new
        _flush(new)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write a UTF-8 text file through :func:`replaced`; line ends are written as they are.

    Raises
    ------
    OSError
        As :func:`replaced`.
    """
    with replaced(path) as new:
        new.write_text(text, encoding="utf-8", newline="")


def _take_mode_and_owner(new: Path, target: Path) -> None:
    if target.exists():
        shutil.copymode(target, new)
        if hasattr(os, "chown") and (new.stat().st_uid, new.stat().st_gid) != (
            target.stat().st_uid,
            target.stat().st_gid,
        ):
            os.chown(new, target.stat().st_uid, target.stat().st_gid)
    else:
        # mkstemp makes files private; others follow the process's umask.
        mask = os.umask(0)
        os.umask(mask)
        new.chmod(0o666 & ~mask)


def _flush(file: Path) -> None:
    with file.open("rb+") as written:
        os.fsync(written.fileno())
