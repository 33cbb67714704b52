"""Write files so that readers never see half a file and a failure keeps the old one."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Path of a new file in the same folder, which replaces `path` when the block ends without an error.

    Links are followed. An existing file keeps its mode, and its owner where the system allows it. A path that is not a
    regular file (a device or a pipe) cannot be replaced: the block then writes to it directly.

    Raises
    ------
    OSError
        If the folder or an existing file cannot be written; the old file is unchanged.

    Examples
    --------
    ::

        with replaced("scores.txt") as new:
            new.write_text("0.977")
    """
    given = Path(path)
    # The links of /dev/stdout lead to a name that does not exist if it is a pipe.
    if given.exists() and not given.is_file():
        yield given
        return
    target = Path(os.path.realpath(given))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(13, "Permission denied", str(path))
    new = target.with_name(f".{secrets.token_hex(8)}.part")
    new.touch(exist_ok=False)
    try:
        if target.exists():
            _copy_owner_and_mode(target, new)
        yield new
        with new.open("rb+") as written:
            os.fsync(written.fileno())
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file through :func:`replaced`; line ends are written unchanged."""
    with replaced(path) as new:
        new.write_text(text, encoding="utf-8", newline="")


def _copy_owner_and_mode(target: Path, new: Path) -> None:
    if hasattr(os, "chown"):
        # Only root may give a file away; otherwise the writer owns the new one.
        with suppress(PermissionError):
            os.chown(new, target.stat().st_uid, target.stat().st_gid)
    # The mode follows the owner, because a change of owner clears parts of it.
    shutil.copymode(target, new)
