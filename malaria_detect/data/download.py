"""Get the NIH/NLM malaria cells from NLM: download, verify, unpack, move in place.

Everything happens in a hidden folder beside the finished one, which appears in one step at the end: cells that are
there are complete.
"""

import errno
import hashlib
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, CLASSES, CellsError, default_folder, find_cells

NLM_URL = "https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip"
NLM_SHA256 = "0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668"
MAX_UNPACKED_BYTES = 2 * 1024**3  # NLM's cells take 350 MB

_CELL = re.compile(rf"cell_images/({'|'.join(CLASSES)})/([\w.-]+\.png)", re.ASCII)
_CHUNK_BYTES = 256 * 1024
_SECONDS_OF_SILENCE = 60
# The archive and, beside it, its cells, which were packed without gain; each fills its last disk block up.
_ROOM_PER_ARCHIVE = 2.3
_BLOCK_BYTES = 4096
# No space, over quota, over the process's limit.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FetchError(MalariaDetectError):
    """The cells could not be fetched; nothing of the attempt is left."""


def fetch_cells(
    to: str | os.PathLike[str] | None = None,
    url: str = NLM_URL,
    sha256: str = NLM_SHA256,
    progress: bool = True,
) -> Path:
    """Download and unpack the cells, unless they are there already.

    Parameters
    ----------
    to : path, optional
        Folder to put ``cell_images`` in, made if need be. Without it the one that ``MALARIA_DETECT_CELLS`` names,
        else :func:`malaria_detect.data.nlm_cells.default_folder`.
    url, sha256 : str
        The archive, and the hexadecimal SHA-256 it must have.
    progress : bool
        Show progress bars on stderr, or in the notebook.

    Returns
    -------
    Path
        The folder that holds ``Parasitized`` and ``Uninfected``, for :func:`malaria_detect.data.nlm_cells.find_cells`.

    Raises
    ------
    FetchError
        Without network, on a refusing server, a broken download, a wrong checksum, an unfit archive, a full or
        read-only disk, or while another call fetches to the same folder.

    Notes
    -----
    A call that was killed leaves its hidden folder behind. The next call starts the download anew, or goes on with
    unpacking where the archive had come whole.

    References
    ----------
    Rajaraman et al. 2018, PeerJ 6:e4568.

    Examples
    --------
    ::

        folder = fetch_cells("cells")  # NLM's 353 MB
        len(find_cells(folder).cells)  # 27,558
    """
    place = Path(to or os.environ.get(CELLS_VARIABLE) or default_folder())
    new_folders: list[Path] = []
    try:
        new_folders += [folder for folder in (place, *place.parents) if not folder.exists()]
        with suppress(CellsError):
            return find_cells(place).root
        finished = place / "cell_images"
        if finished.exists():
            raise FetchError(
                f"{finished} is there and does not hold the cells: move it away, or name another folder with --to."
            )
        with _workplace(place) as work:
            archive = _download(url, sha256, work, progress)
            _unpack(archive, work / "cell_images", progress).rename(finished)
        return finished
    except OSError as error:
        if error.errno in _FULL:
            sentence = f"The disk is full: make room in {place}, or name another folder with --to."
        else:
            reason = error.strerror or error
            sentence = f"{place} cannot be written to ({reason}): name another folder with --to."
        raise FetchError(sentence) from error
    finally:
        for folder in new_folders:
            # Only empty folders can be removed this way: those of an attempt that failed.
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _workplace(place: Path) -> Iterator[Path]:
    """Hidden folder on the disk of the finished one, for one process at a time; it does not outlive the block."""
    work = place / ".cell_images.fetching"
    work.mkdir(parents=True, exist_ok=True)
    try:
        # The system frees the lock of a process that was killed.
        with FileLock(work / "lock", timeout=0):
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except Timeout as error:
        raise FetchError(
            f"Another process is fetching cells to {place} just now: wait for it to end."
        ) from error


def _download(url: str, sha256: str, work: Path, progress: bool) -> Path:
    """Download and verify the archive; its name in `work` means that it has been verified."""
    archive = work / f"{sha256}.zip"
    if archive.exists():
        return archive
    part = work / "archive.part"
    host = urlsplit(url).hostname or url
    digest = hashlib.sha256()
    received: int | None = None
    try:
        with requests.get(
            url, stream=True, timeout=_SECONDS_OF_SILENCE, headers={"Accept-Encoding": "identity"}
        ) as answer:
            if not answer.ok:
                raise FetchError(
                    f"{host} does not give the cells ({answer.status_code} {answer.reason} for {url}): try again later."
                )
            length = answer.headers.get("Content-Length", "")
            size = int(length) if length.isdecimal() else None
            _check_room(work, _ROOM_PER_ARCHIVE * (size or 0))
            received = 0
            with part.open("wb") as file, _progress_bar("Downloading", size, progress) as bar:
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    bar.update(len(chunk))
    except requests.RequestException as error:
        trouble = "did not start" if received is None else f"broke off after {received / 1e6:.1f} MB"
        raise FetchError(
            f"The download from {host} {trouble} ({type(error).__name__}): check the network and try again."
        ) from error
    if digest.hexdigest() != sha256.lower():
        raise FetchError(
            f"What {host} sent is not the archive of the cells (its SHA-256 is {digest.hexdigest()}, "
            f"wanted is {sha256}), or was damaged on its way: try again."
        )
    return part.rename(archive)


def _unpack(archive: Path, folder: Path, progress: bool) -> Path:
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed here
    try:
        with zipfile.ZipFile(archive) as bundle:
            cells = _cells_in(bundle)
            _check_room(folder.parent, sum(cell.file_size + _BLOCK_BYTES for cell in cells))
            for label in CLASSES:
                (folder / label).mkdir(parents=True)
            with _progress_bar("Unpacking", sum(cell.file_size for cell in cells), progress) as bar:
                for cell in cells:
                    path = folder.parent / cell.filename
                    with bundle.open(cell) as packed, path.open("xb") as file:
                        shutil.copyfileobj(packed, file)
                    bar.update(cell.file_size)
    # RuntimeError is what zipfile raises on encrypted files and unknown methods.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise FetchError(
            f"The archive of the cells cannot be unpacked ({error}): try again later."
        ) from error
    return folder


def _cells_in(bundle: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Members that are cells; Thumbs.db and the like are left out, and an archive that is up to mischief is refused."""
    for name in bundle.namelist():
        if (
            PurePosixPath(name).is_absolute()
            or ".." in PurePosixPath(name).parts
            or re.search(r"[\\:]", name)
        ):
            raise FetchError(
                f"The archive is not the one of the cells: it would write to {name!r}, out of its folder."
            )
    cells = [member for member in bundle.infolist() if _CELL.fullmatch(member.filename)]
    for label in CLASSES:
        if not any(cell.filename.startswith(f"cell_images/{label}/") for cell in cells):
            raise FetchError(
                f"The archive is not the one of the cells: it holds no pictures in cell_images/{label}."
            )
    size = sum(cell.file_size for cell in cells)
    if size > MAX_UNPACKED_BYTES:
        raise FetchError(
            f"The archive is not the one of the cells: it would unpack to {size / 1e9:.1f} GB, "
            f"and at most {MAX_UNPACKED_BYTES / 1e9:.1f} GB are expected."
        )
    return cells


def _check_room(folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise FetchError(
            f"The disk is too full: the cells need {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free in "
            f"{folder.parent}: make room, or name another folder with --to."
        )


def _progress_bar(doing: str, total: int | None, progress: bool) -> tqdm:
    return tqdm(desc=doing, total=total, unit="B", unit_scale=True, disable=not progress)
