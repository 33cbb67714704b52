"""Write files so that a failure keeps the old one, and links, modes, owners, devices and pipes stay what they are."""

import errno
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from malaria_detect.core.errors import MalariaDetectError

_Path = str | os.PathLike[str]


class WriteError(MalariaDetectError):
    """A file that cannot be written; ``reason`` is ``not_writable``."""


@contextmanager
def replaced(path: _Path) -> Iterator[Path]:
    """Path of a new file, which becomes `path` when the block ends without an error.

    Links are followed. An existing file keeps its mode, its owner where the system allows it, and its other names (hard
    links). What is not a regular file (a device, a pipe, ``/dev/stdout``) gets the content when the block ends.

    Raises
    ------
    WriteError
        If the file cannot be written; an old file is unchanged. A file that nobody may write is refused even to root.

    Examples
    --------
    ::

        with replaced("scores.txt") as new:
            new.write_text("0.977")
    """
    given = Path(path)
    with _reported(given):
        _check(given)
        new = _neighbour(given)
        try:
            yield new
            _sync(new)
            _put(new, given)
        finally:
            new.unlink(missing_ok=True)


@contextmanager
def growing(path: _Path) -> Iterator[io.FileIO]:
    """Binary file in which everything that was written stays if the block is stopped.

    Each piece is written at once and completely, or not at all. A new file grows under its own name. If there is an old
    one, the new one grows next to it, such as ``results.partial.csv``, and replaces it when the block ends without an
    error; the ``name`` of the file says where it is. Otherwise as :func:`replaced`.
    """
    given = Path(path)
    with _reported(given):
        _check(given)
        target = Path(os.path.realpath(given))
        old = not streams(given) and target.exists() and target.stat().st_size > 0
        new = target if not old else target.with_name(f"{target.stem}.partial{target.suffix}")
        if old and not os.access(target.parent, os.W_OK):
            new = Path(tempfile.mkdtemp(), new.name)
        with _opened(given) if streams(given) else _Whole(new, "w") as file:
            if old:
                _copy_owner_and_mode(target, new)
            yield file
        if old:
            _sync(new)
            _put(new, given)
            new.unlink(missing_ok=True)


def write_text(path: _Path, text: str) -> None:
    r"""Write a UTF-8 text file through :func:`replaced`; line ends are written unchanged.

    A file name in the text that is not valid Unicode is written with escapes such as ``\udcff``, as in JSON.
    """
    with replaced(path) as new:
        new.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def check_writable(path: _Path) -> None:
    """Raise WriteError if a file could not be written, before long work for it."""
    with _reported(Path(path)):
        _check(Path(path))


def streams(path: _Path) -> bool:
    """Whether a path is a device, a pipe or an open file such as ``/dev/stdout``, which is written to as it is."""
    given = Path(path)
    return _descriptor(given) is not None or (given.exists() and not given.is_file())


class _Whole(io.FileIO):
    """A file that gets each piece completely or not at all."""

    def write(self, data: Any) -> int:
        begin = self.tell() if self.seekable() else None
        view = memoryview(data)
        try:
            while view:
                view = view[super().write(view) :]
        except BaseException:
            # Devices cannot be cut off.
            with suppress(OSError):
                if begin is not None:
                    self.seek(begin)
                    self.truncate()
            raise
        return len(data)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # The reader has had enough, which is not a fault: the command line ends quietly then.
        raise
    except OSError as error:
        ours = error.filename in (None, str(path)) and error.strerror
        raise WriteError(
            f"{path} cannot be written ({ours or error}). Choose another file.", "not_writable"
        ) from error


def _check(path: Path) -> None:
    target = Path(os.path.realpath(path))
    wrong = 0
    if target.is_dir():
        wrong = errno.EISDIR
    elif _descriptor(path) is not None:
        wrong = 0 if path.exists() else errno.EBADF
    elif target.exists():
        # Root may write to everything, but a file without any permission to write is meant to stay.
        wrong = 0 if os.access(target, os.W_OK) and target.stat().st_mode & 0o222 else errno.EACCES
    elif target.is_symlink():
        wrong = errno.ELOOP
    elif not target.parent.is_dir():
        wrong = errno.ENOTDIR if target.parent.exists() else errno.ENOENT
    elif not os.access(target.parent, os.W_OK):
        wrong = errno.EACCES
    if wrong:
        raise OSError(wrong, os.strerror(wrong))


def _neighbour(path: Path) -> Path:
    """A new empty file, in the same folder if it can be renamed there."""
    target = Path(os.path.realpath(path))
    if streams(path) or not os.access(target.parent, os.W_OK):
        descriptor, name = tempfile.mkstemp()
        os.close(descriptor)
        return Path(name)
    new = target.with_name(f".{secrets.token_hex(8)}.part")
    new.touch(exist_ok=False)
    if target.exists():
        _copy_owner_and_mode(target, new)
    return new


def _put(new: Path, path: Path) -> None:
    """Give a path the content of a finished file: by renaming it, or by copying where a name must stay what it is."""
    target = Path(os.path.realpath(path))
    if (
        new.parent == target.parent
        and not streams(path)
        and not (target.exists() and target.stat().st_nlink > 1)
    ):
        # Refused for a file that is mounted, or of somebody else in a folder such as /tmp.
        with suppress(OSError):
            new.replace(target)
            return
    with new.open("rb") as content, _opened(path) as file:
        shutil.copyfileobj(content, file)


def _opened(path: Path) -> _Whole:
    """An existing file, device, pipe or descriptor, open for writing."""
    number = _descriptor(path)
    if number is not None:
        # Opened by its name, it would be cut off and written from its beginning.
        return _Whole(os.dup(number), "w")
    return _Whole(path, "w", opener=lambda name, flags: os.open(name, flags & ~os.O_CREAT))


def _descriptor(path: Path) -> int | None:
    """Number of the open file that a path such as ``/dev/stdout`` or ``/dev/fd/63``, or a link to it, names."""
    for _ in range(40):  # links, as many as Linux follows
        folder = os.path.realpath(path.parent)
        if folder in ("/dev/fd", f"/proc/{os.getpid()}/fd") and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            break
        path = Path(folder, path.readlink())
    return None


def _sync(new: Path) -> None:
    with new.open("ab") as written:
        os.fsync(written.fileno())


def _copy_owner_and_mode(target: Path, new: Path) -> None:
    if hasattr(os, "chown"):
        # Only root may give a file away; otherwise the writer owns the new one.
        with suppress(PermissionError):
            os.chown(new, target.stat().st_uid, target.stat().st_gid)
    # The mode follows the owner, because a change of owner clears parts of it.
    shutil.copystat(target, new)
