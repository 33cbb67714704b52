"""The NIH/NLM malaria cells on disk: find them, check them, group them by patient, split them.

A cell's file name names its patient: ``C100P61ThinF_IMG_20150918_144104_cell_162.png`` is slide C100, patient P61,
field 20150918_144104, cell 162. All cells of one patient look alike (same stain, same day, same blood), so that a
split is only honest where no patient stands on two sides; :func:`grouped_split` sees to that.
"""

import hashlib
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import ImageRefused, read_image

CLASSES = ("Parasitized", "Uninfected")
CELLS_VARIABLE = "MALARIA_DETECT_CELLS"

# One patient was photographed through two microscopes and stands under two ids.
_SAME_PATIENT = {"C47P8thin_Original_Motic": "C47P8thinOriginalOlympusCX21"}


class CellsError(MalariaDetectError):
    """The folder of cells is missing, empty or not what it should be."""


@dataclass(frozen=True)
class Cell:
    """One cell picture: where it lies, its published label and its patient group."""

    path: Path
    label: str
    group: str


@dataclass(frozen=True)
class CellFolder:
    """What a folder in NLM's layout holds.

    Attributes
    ----------
    root : Path
        The folder with ``Parasitized`` and ``Uninfected`` in it.
    cells : tuple of Cell
        Sorted by class, then by file name.
    ignored : tuple of str
        One sentence for every file that is no readable cell.
    """

    root: Path
    cells: tuple[Cell, ...]
    ignored: tuple[str, ...]


def default_folder() -> Path:
    """Folder that ``malaria-detect cells fetch`` writes to when no other is named."""
    return Path(platformdirs.user_data_dir("malaria_detect")) / "cells"


def patient_group(name: str) -> str:
    """Patient group of a cell's file name: all that stands before ``_IMG_``.

    Examples
    --------
    >>> patient_group("C100P61ThinF_IMG_20150918_144104_cell_162.png")
    'C100P61ThinF'
    """
    patient, separator, _ = Path(name).name.partition("_IMG_")
    if not separator or not patient:
        raise CellsError(
            f"{name!r} names no patient: a cell's file name looks like C100P61ThinF_IMG_…_cell_162.png."
        )
    return _SAME_PATIENT.get(patient, patient)


def find_cells(root: str | os.PathLike[str] | None = None) -> CellFolder:
    """List the cells below a folder; NLM's layout and Kaggle's doubly nested one are both found.

    Parameters
    ----------
    root : path, optional
        Without it the folder that ``MALARIA_DETECT_CELLS`` names, else :func:`default_folder`.

    Returns
    -------
    CellFolder
        File names only; :func:`check_cells` also opens every picture.

    Raises
    ------
    CellsError
        Where the folder is missing or holds no cell of one of the classes.
    """
    start = Path(root or os.environ.get(CELLS_VARIABLE) or default_folder())
    for folder in (start, start / "cell_images", start / "cell_images" / "cell_images"):
        # Kaggle's archive has the classes on the outer and on the inner level: the outer one is complete.
        if all((folder / label).is_dir() for label in CLASSES):
            break
    else:
        raise CellsError(
            f"No cells in {start}: it should hold the folders {CLASSES[0]} and {CLASSES[1]} "
            f"(get them with `malaria-detect cells fetch`, or name another folder with --cells or {CELLS_VARIABLE})."
        )
    cells: list[Cell] = []
    ignored: list[str] = []
    for label in CLASSES:
        before = len(cells)
        for path in sorted((folder / label).iterdir()):
            if path.suffix.lower() != ".png":
                ignored.append(f"{label}/{path.name}: not a PNG picture.")
            elif "_IMG_" not in path.name:
                ignored.append(f"{label}/{path.name}: the name tells no patient.")
            else:
                cells.append(Cell(path, label, patient_group(path.name)))
        if len(cells) == before:
            raise CellsError(
                f"No cells in {folder / label}: PNG pictures like C100P61ThinF_IMG_…_cell_162.png belong there."
            )
    return CellFolder(folder, tuple(cells), tuple(ignored))


def check_cells(folder: CellFolder) -> tuple[CellFolder, str]:
    """Open every cell; leave out those that cannot be read, and fingerprint the rest.

    Returns
    -------
    folder : CellFolder
        Without the unreadable files, which are added to ``ignored`` with the reason.
    fingerprint : str
        SHA-256 (hexadecimal) over every cell's class, file name, size and CRC-32 of its RGB pixels: the same for
        NLM's files and any lossless copy of them.
    """

    def inspect(cell: Cell) -> str | ImageRefused:
        try:
            image = read_image(cell.path)
        except ImageRefused as refusal:
            return refusal
        return f"{cell.label}/{cell.path.name} {image.width} {image.height} {zlib.crc32(image.tobytes())}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = list(pool.map(inspect, folder.cells))
    good = tuple(cell for cell, found in zip(folder.cells, findings, strict=True) if isinstance(found, str))
    bad = tuple(
        f"{cell.label}/{cell.path.name}: {found}"
        for cell, found in zip(folder.cells, findings, strict=True)
        if isinstance(found, ImageRefused)
    )
    lines = "\n".join(sorted(found for found in findings if isinstance(found, str)))
    return replace(folder, cells=good, ignored=folder.ignored + bad), hashlib.sha256(
        lines.encode()
    ).hexdigest()
