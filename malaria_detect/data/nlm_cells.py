"""The NIH/NLM malaria cells on disk: find them, check them and group them by patient.

The file name of a cell contains its patient: ``C100P61ThinF_IMG_20150918_144104_cell_162.png`` is slide C100, patient
P61, field 20150918_144104, cell 162.
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

# One patient was photographed with two microscopes and has two ids.
_SAME_PATIENT = {"C47P8thin_Original_Motic": "C47P8thinOriginalOlympusCX21"}


class CellsError(MalariaDetectError):
    """A folder of cells that is missing or incomplete, or cells that cannot be split.

    ``reason`` is ``no_cells``, ``no_patient``, ``bad_split`` or ``too_few_patients``.
    """


@dataclass(frozen=True)
class Cell:
    """One cell: the path of its image, its published label and its patient group."""

    path: Path
    label: str
    group: str


@dataclass(frozen=True)
class CellFolder:
    """Cells in a folder with NLM's layout.

    Attributes
    ----------
    root : Path
        The folder that contains ``Parasitized`` and ``Uninfected``.
    cells : tuple of Cell
        Sorted by class, then by file name.
    ignored : tuple of str
        One sentence for every file that is not a readable cell.
    """

    root: Path
    cells: tuple[Cell, ...]
    ignored: tuple[str, ...]


def default_folder() -> Path:
    """Folder of the cells if no other is given."""
    return Path(platformdirs.user_data_dir("malaria_detect")) / "cells"


def patient_group(name: str) -> str:
    """Patient group from the file name of a cell: everything before ``_IMG_``.

    Examples
    --------
    >>> patient_group("C100P61ThinF_IMG_20150918_144104_cell_162.png")
    'C100P61ThinF'
    """
    patient, separator, _ = Path(name).name.partition("_IMG_")
    if not separator or not patient:
        raise CellsError(
            f"{name!r} does not contain a patient. A cell's file name looks like C100P61ThinF_IMG_…_cell_162.png.",
            reason="no_patient",
        )
    return _SAME_PATIENT.get(patient, patient)


def find_cells(root: str | os.PathLike[str] | None = None) -> CellFolder:
    """Cells in a folder with NLM's layout or the doubly nested one of the Kaggle copy, from the file names only.

    Parameters
    ----------
    root : path, optional
        Default: the folder in the environment variable ``MALARIA_DETECT_CELLS``, or :func:`default_folder`.

    Raises
    ------
    CellsError
        If the folder is missing or has no cells of one of the classes.
    """
    start = Path(root or os.environ.get(CELLS_VARIABLE) or default_folder())
    for folder in (start, start / "cell_images", start / "cell_images" / "cell_images"):
        # Kaggle's archive has the classes twice: the outer level is complete.
        if all((folder / label).is_dir() for label in CLASSES):
            break
    else:
        raise CellsError(
            f"No cells in {start}: the folders {CLASSES[0]} and {CLASSES[1]} are missing. Download the cells with "
            f"`malaria-detect cells fetch`, or give their folder with --cells or {CELLS_VARIABLE}.",
            reason="no_cells",
        )
    cells: list[Cell] = []
    ignored: list[str] = []
    for label in CLASSES:
        before = len(cells)
        for path in sorted((folder / label).iterdir()):
            if path.suffix.lower() != ".png":
                ignored.append(f"{label}/{path.name}: not a PNG image.")
                continue
            try:
                cells.append(Cell(path, label, patient_group(path.name)))
            except CellsError:
                ignored.append(f"{label}/{path.name}: the name does not contain a patient.")
        if len(cells) == before:
            raise CellsError(
                f"No cells in {folder / label}. It should contain images like C100P61ThinF_IMG_…_cell_162.png.",
                reason="no_cells",
            )
    return CellFolder(folder, tuple(cells), tuple(ignored))


def check_cells(folder: CellFolder) -> tuple[CellFolder, str]:
    """Readable cells of a folder, and a fingerprint of them; unreadable files are added to ``ignored``.

    The fingerprint is a SHA-256 (hexadecimal) over class, file name, size and CRC-32 of the RGB pixels of every cell. A
    lossless copy of the files has the same one.
    """

    def inspect(cell: Cell) -> str | ImageRefused:
        try:
            image = read_image(cell.path)
        except ImageRefused as refusal:
            return refusal
        return f"{cell.label}/{cell.path.name} {image.width} {image.height} {zlib.crc32(image.tobytes())}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = list(pool.map(inspect, folder.cells))
    good, bad, lines = [], list(folder.ignored), []
    for cell, found in zip(folder.cells, findings, strict=True):
        if isinstance(found, ImageRefused):
            bad.append(f"{cell.label}/{cell.path.name}: {found}")
        else:
            good.append(cell)
            lines.append(found)
    fingerprint = hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()
    return replace(folder, cells=tuple(good), ignored=tuple(bad)), fingerprint
