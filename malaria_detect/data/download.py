"""Download of the NIH/NLM malaria cells.

Everything happens in a hidden folder next to the final one, which appears in one step: cells that are found are
complete.
"""

import errno
import os
import re
import shutil
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.extras import from_extra
from malaria_detect.data.nlm_cells import (
    CELLS_VARIABLE,
    CLASSES,
    CellFolder,
    CellsError,
    find_cells,
    own_folder,
)

with from_extra("train"):
    import pooch
    import requests

NLM_URL = "https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip"
NLM_SHA256 = "0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668"
MAX_UNPACKED_BYTES = 2 * 1024**3  # NLM's cells take 350 MB

_ARCHIVE = "cell_images.zip"
# Nothing else is unpacked: no Thumbs.db, and no file outside of the folder.
_CELL = re.compile(rf"cell_images/({'|'.join(CLASSES)})/[\w.-]+\.png", re.ASCII)
_CHUNK_BYTES = 256 * 1024
_SECONDS_OF_SILENCE = 60
_RETRIES = 1
# No space, over quota, over the process's limit.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FetchError(MalariaDetectError):
    """The cells could not be downloaded or unpacked.

    ``reason`` is ``network``, ``wrong_content``, ``disk_full``, ``unwritable`` or ``folder_in_use``.
    """


def fetch_cells(
    to: str | os.PathLike[str] | None = None,
    url: str = NLM_URL,
    sha256: str = NLM_SHA256,
    progress: bool = True,
) -> Path:
    """Download and unpack the cells (353 MB), unless they are already there; returns their folder.

    Parameters
    ----------
    to : path, optional
        Folder that gets the folder ``cell_images``; it is created if missing. Default: the
        one in ``MALARIA_DETECT_CELLS``, or the user's own.
    url, sha256 : str
        The ZIP archive and its SHA-256 in hexadecimal.
    progress : bool
        Show progress bars on stderr.

    Raises
    ------
    FetchError
        If the download fails, the archive is not the expected one, or the folder cannot be written. A failed call
        leaves no files. If a call is killed, the next one reuses a complete archive.
    """
    place = Path(to or os.environ.get(CELLS_VARIABLE) or own_folder())
    finished, work = place / "cell_images", place / ".cell_images.download"
    try:
        with suppress(CellsError):
            root = find_cells(place).root
            # Other cells in a folder of another name do not replace NLM's.
            if root == place or root.is_relative_to(finished):
                return root
        if finished.exists():
            raise FetchError(
                f"{finished} exists but does not hold the cells. Move it away or choose another folder with --to.",
                reason="folder_in_use",
            )
        work.mkdir(parents=True, exist_ok=True)
        try:
            _unpack(_download(url, sha256, work, progress), work / "unpacked", progress).rename(finished)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise FetchError(
            f"Cannot write to {place} ({error.strerror or error}). Make room or choose another folder with --to.",
            reason="disk_full" if error.errno in _FULL else "unwritable",
        ) from error
    return finished


def find_or_fetch_cells(root: str | os.PathLike[str] | None = None) -> CellFolder:
    """Cells as :func:`malaria_detect.data.nlm_cells.find_cells` finds them; NLM's are downloaded if there are none.

    Nothing is downloaded if `root` or ``MALARIA_DETECT_CELLS`` says where the cells are: they may be mistyped.

    Raises
    ------
    CellsError
        As in ``find_cells``.
    FetchError
        As in :func:`fetch_cells`.
    """
    if root is not None or os.environ.get(CELLS_VARIABLE):
        return find_cells(root)
    try:
        return find_cells()
    except CellsError as error:
        if error.reason != "no_cells":
            raise
    return find_cells(fetch_cells())


def _download(url: str, sha256: str, work: Path, progress: bool) -> Path:
    pooch.get_logger().setLevel("WARNING")
    shelf = pooch.create(
        work, base_url="", registry={_ARCHIVE: sha256}, urls={_ARCHIVE: url}, retry_if_failed=_RETRIES
    )
    http = pooch.HTTPDownloader(
        progressbar=progress,
        chunk_size=_CHUNK_BYTES,
        timeout=_SECONDS_OF_SILENCE,
        headers={"Accept-Encoding": "identity"},
    )
    host = urlsplit(url).hostname or url
    try:
        return Path(shelf.fetch(_ARCHIVE, downloader=http))
    except requests.RequestException as error:
        why = getattr(error.response, "reason", None) or type(error).__name__
        raise FetchError(
            f"The download from {host} failed ({why}). Check the network or try again later.",
            reason="network",
        ) from error
    except ValueError as error:  # pooch's error for another hash
        raise FetchError(
            f"{host} did not send the expected archive of the cells (its SHA-256 is not {sha256}). Try again later.",
            reason="wrong_content",
        ) from error


def _unpack(archive: Path, folder: Path, progress: bool) -> Path:
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was killed while it unpacked
    try:
        with zipfile.ZipFile(archive) as bundle:
            cells = [member for member in bundle.infolist() if _CELL.fullmatch(member.filename)]
            if sum(cell.file_size for cell in cells) > MAX_UNPACKED_BYTES:
                raise zipfile.BadZipFile("more than 2 GB of cells")
            if len({Path(cell.filename).parent for cell in cells}) < len(CLASSES):
                raise zipfile.BadZipFile(f"no cells in one of {', '.join(CLASSES)}")
            for cell in tqdm(cells, desc="Unpacking", disable=not progress):
                bundle.extract(cell, folder)
    # RuntimeError is what zipfile raises for encrypted files and unknown methods.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise FetchError(
            f"The archive cannot be unpacked ({error}). Try again later.", reason="wrong_content"
        ) from error
    return folder / "cell_images"
