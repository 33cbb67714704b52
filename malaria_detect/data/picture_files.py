"""Picture files in folders and patterns: judged by content, links followed, and what is skipped is counted."""

import glob
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from malaria_detect.core.errors import MalariaDetectError

# A file with such a name is a picture for its owner: if it is none, it is refused and not skipped.
_SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"),
    *(".heic", ".heif", ".avif", ".jxl", ".jp2"),  # not read, but refused by name
)
_SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF and BigTIFF
    *(b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  "),
)
# The start of an ISO media file names its kind: videos are no pictures.
_PHOTO_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
# What macOS, Windows and network drives write into folders of pictures.
_SYSTEM = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin")

HIDDEN = "hidden or system files"
OTHER = "files that are not images"
REPEATED = "files listed already"
UNREADABLE = "files or folders that cannot be read"
_ONE = {
    HIDDEN: "hidden or system file",
    OTHER: "file that is not an image",
    REPEATED: "file listed already",
    UNREADABLE: "file or folder that cannot be read",
}
_EXAMPLES = 3

Skipped = tuple[tuple[str, Path], ...]


@dataclass(frozen=True)
class PictureFiles:
    """Picture files that were found, and what was skipped.

    Attributes
    ----------
    paths : tuple of Path
        Files as given, and files in folders in the order of their paths; none twice.
    skipped : tuple of (str, Path)
        Why (`HIDDEN`, `OTHER`, `REPEATED` or `UNREADABLE`), and the file or folder.
    """

    paths: tuple[Path, ...]
    skipped: Skipped = ()


def find_pictures(given: Iterable[str | os.PathLike[str]]) -> PictureFiles:
    """Picture files from paths, folders and patterns.

    A file that is given by its name is never skipped, whatever it is, and neither is a name without a file. Folders are
    searched with all folders in them, see :func:`pictures_in`. In a pattern ``*``, ``?``, ``[]`` and ``**`` have their
    usual meaning, unless a file or folder has exactly this name; ``~`` is the home folder.

    Raises
    ------
    MalariaDetectError
        If a path is an empty string; ``reason`` is ``empty_path``.

    Examples
    --------
    >>> [path.name for path in find_pictures(["no such file.png"]).paths]
    ['no such file.png']
    """
    paths: dict[Path, None] = {}
    real: set[str] = set()
    skipped: list[tuple[str, Path]] = []
    for one in given:
        refuse_empty(one)
        path = Path(one)
        if not os.path.lexists(path):
            path = Path(os.path.expanduser(one))  # noqa: PTH111 - Path's raises for a user that does not exist
        is_folder = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for names that are too long
        is_pattern = glob.has_magic(str(path)) and not os.path.lexists(path)
        if is_folder:
            found = pictures_in(path)
        elif is_pattern:
            found = _matching(path)
        else:
            found = PictureFiles((path,))
        skipped += found.skipped
        for picture in found.paths:
            target = os.path.realpath(picture)
            if target not in real or not (is_folder or is_pattern):
                paths[picture] = None
            elif picture not in paths:
                skipped.append((REPEATED, picture))
            real.add(target)
    return PictureFiles(tuple(paths), tuple(dict.fromkeys(skipped)))


def pictures_in(folder: Path) -> PictureFiles:
    """Picture files in a folder and all folders in it, in the order of their paths.

    A picture is a file whose first bytes are those of a picture, or whose suffix is. Links are followed; a file that
    several of them lead to is listed once. Hidden files and folders, and those of the system, are skipped.
    """
    entries = list(_walk(folder))
    pictures = [entry.path for entry in entries if not (entry.skipped or entry.is_folder)]
    skipped = [(entry.skipped, entry.path) for entry in entries if entry.skipped]
    if any(entry.is_link for entry in entries):
        return _once(pictures, skipped, folder)
    return PictureFiles(tuple(sorted(pictures)), tuple(sorted(skipped)))


def skipped_sentence(skipped: Skipped) -> str:
    """One line that counts what was skipped, with some examples; empty if nothing was.

    Examples
    --------
    >>> skipped_sentence(((OTHER, Path("a/notes.txt")), (OTHER, Path("a/scan.czi"))))
    "2 files that are not images ('a/notes.txt', 'a/scan.czi')"
    """
    counts = Counter(kind for kind, _ in skipped)
    parts = []
    for kind, number in counts.items():
        # repr() keeps a name with line breaks in one line.
        names = [repr("/".join(path.parts[-2:])) for reason, path in skipped if reason == kind]
        parts.append(f"{number} {_ONE[kind] if number == 1 else kind} ({first_of(names)})")
    return ", ".join(parts)


def first_of(names: Sequence[str]) -> str:
    """The first three of these names for a message, with dots if there are more.

    Examples
    --------
    >>> first_of(["a", "b"]), first_of(["a", "b", "c", "d"])
    ('a, b', 'a, b, c, …')
    """
    return ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")


def refuse_empty(path: str | os.PathLike[str]) -> None:
    """Raise MalariaDetectError if a path is an empty string, which would stand for the current folder."""
    if not os.fspath(path):
        raise MalariaDetectError(
            "A path is empty, perhaps from a variable that is not set. Name a file or folder, or . for this folder.",
            reason="empty_path",
        )


def path_text(path: str | os.PathLike[str]) -> str:
    """A path as text that can be written as UTF-8: what is not valid Unicode in it becomes escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or written by the system.

    Examples
    --------
    >>> is_hidden("._cell.png"), is_hidden("Thumbs.db"), is_hidden("cell.png")
    (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _SYSTEM


def why_skipped(path: Path) -> str:
    """Why a file is skipped; empty for a picture. Only files without a picture's suffix are opened."""
    if is_hidden(path.name):
        return HIDDEN
    if path.suffix.lower() in _SUFFIXES:
        return ""
    try:
        if not path.is_file():  # opening a pipe would wait forever
            return OTHER
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return UNREADABLE
    photo = start[4:8] == b"ftyp" and start[8:12] in _PHOTO_BRANDS
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    bmp = start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS
    return "" if photo or webp or bmp or start.startswith(_SIGNATURES) else OTHER


class _Entry(NamedTuple):
    """A file or folder in a folder, and why it is skipped; empty if it is not."""

    path: Path
    is_link: bool
    is_folder: bool
    skipped: str = ""


def _walk(start: Path) -> Iterator[_Entry]:
    """All files and folders below a folder; each folder is entered once."""
    real = Path(os.path.realpath(start))
    # A link to a folder above is a circle: followed, it would add what is next to the folder that was given.
    seen = {str(above) for above in real.parents}
    waiting = deque([start])
    while waiting:
        folder = waiting.popleft()
        target = os.path.realpath(folder)
        if target in seen:
            continue
        seen.add(target)
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError:
            yield _Entry(folder, False, True, UNREADABLE)
            continue
        for one in entries:
            path, is_link = Path(one.path), one.is_symlink()
            is_folder = path.is_dir() if is_link else one.is_dir(follow_symlinks=False)
            if is_hidden(one.name):
                yield _Entry(path, is_link, is_folder, HIDDEN)
            elif is_folder:
                # Links last: what they lead to should be listed where it is.
                waiting.append(path) if is_link else waiting.appendleft(path)
                yield _Entry(path, is_link, is_folder)
            else:
                yield _Entry(path, is_link, is_folder, why_skipped(path))


def _matching(pattern: Path) -> PictureFiles:
    """Pictures that match a pattern, or are in a folder that does; the pattern itself if nothing matches."""
    skipped: list[tuple[str, Path]] = []
    start = Path(pattern.anchor)
    found = [start]
    for part in pattern.relative_to(start).parts:
        found = [inner for folder in found for inner in _named_like(folder, part, skipped)]
    if not found:
        return PictureFiles((pattern,), tuple(skipped))
    pictures: list[Path] = []
    for path in found:
        if path.is_dir():
            inside = pictures_in(path)
            pictures += inside.paths
            skipped += inside.skipped
        elif kind := why_skipped(path):
            skipped.append((kind, path))
        else:
            pictures.append(path)
    return _once(pictures, skipped, start)


def _named_like(folder: Path, part: str, skipped: list[tuple[str, Path]]) -> list[Path]:
    """What one part of a pattern stands for in a folder: exactly this name if there is one."""
    if part == "**":
        folders = [entry for entry in _walk(folder) if entry.is_folder]
        skipped += [(entry.skipped, entry.path) for entry in folders if entry.skipped]
        return [folder, *(entry.path for entry in folders if not entry.skipped)]
    if os.path.lexists(folder / part):
        return [folder / part]
    for pattern in (part.replace("[", "[[]"), part):
        names = glob.glob(pattern, root_dir=folder)  # noqa: PTH207 - Path.glob knows no other start
        if names:
            skipped += [(HIDDEN, folder / name) for name in names if is_hidden(name)]
            return [folder / name for name in names if not is_hidden(name)]
    return []


def _once(pictures: Iterable[Path], skipped: Iterable[tuple[str, Path]], start: Path) -> PictureFiles:
    """Pictures in order, each file once: if possible by the path that has no links below `start`."""
    base = Path(os.path.realpath(start))
    found: dict[str, list[Path]] = {}
    for path in sorted(set(pictures)):
        found.setdefault(os.path.realpath(path), []).append(path)
    kept, repeated = [], []
    for target, paths in found.items():
        own = next((path for path in paths if str(base / path.relative_to(start)) == target), paths[0])
        kept.append(own)
        repeated += [(REPEATED, path) for path in paths if path != own]
    return PictureFiles(tuple(sorted(kept)), tuple(sorted({*skipped, *repeated})))
