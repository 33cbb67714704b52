"""Cells on disk: the NIH/NLM malaria cells and cells of other laboratories, with their labels and patients.

Cells are in the folders ``Parasitized`` and ``Uninfected``, or in a CSV file with the columns ``path,label,patient``
and perhaps ``split``. The patient of a cell is, in this order: what the CSV file says; the folder around the class
folders, if there are several; the first folder inside the class folder; or what an NLM file name contains.
``C100P61ThinF_IMG_20150918_144104_cell_162.png`` is slide C100, patient P61, field 20150918_144104, cell 162.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.cell_names import group_in_name, patient_in_name
from malaria_detect.data.cell_table import CellTableError, Patients, is_part, read_cell_table
from malaria_detect.data.picture_files import (
    Skipped,
    first_of,
    is_hidden,
    pictures_in,
    refuse_empty,
    skipped_sentence,
    why_skipped,
)

CLASSES = ("Parasitized", "Uninfected")
CELLS_VARIABLE = "MALARIA_DETECT_CELLS"
# Where notebooks on Kaggle find the copy iarunava/cell-images-for-detecting-malaria, in newer and in older sessions.
KAGGLE_FOLDERS = tuple(
    Path("/kaggle/input", *owner, "cell-images-for-detecting-malaria")
    for owner in (("datasets", "iarunava"), ())
)

# Names of the classes in folders and CSV files, in any case; digits in CSV files only, as folders they may be patients.
_LABELS = {
    **dict.fromkeys(("parasitized", "parasitised", "infected", "positive", "1"), CLASSES[0]),
    **dict.fromkeys(("uninfected", "negative", "healthy", "normal", "0"), CLASSES[1]),
}
_FOLDER_NAMES = tuple(name for name in _LABELS if not name.isdigit())
# How many folders that hold nothing but one folder are opened, as archives leave them.
_MOST_LEVELS = 4
_NAME_PATIENTS = (
    "Put the images of each patient into a folder of their own (Parasitized/P1, Uninfected/P1, "
    "or P1/Parasitized, P1/Uninfected), or list all images "
    "in a CSV file with the columns path,label,patient and give it with --cells FILE.csv."
)


class CellsError(MalariaDetectError):
    """Cells that are missing, incomplete or contradictory, or that cannot be split.

    ``reason`` is ``no_cells``, ``no_patient``, ``bad_split``, ``too_few_patients``, ``too_few_cells``, ``two_sides``,
    or that of a :class:`malaria_detect.data.cell_table.CellTableError`.
    """


@dataclass(frozen=True)
class Cell:
    """One cell: its image, its published label and its patient.

    Attributes
    ----------
    path : Path
    label : str
        One of `CLASSES`.
    group : str
        Patient group.
    name : str
        What result files call it: the file name, or more of the path if another cell has the same file name.
    part : str
        One of :data:`malaria_detect.data.cell_table.PARTS` if the CSV file splits the cells, empty otherwise.
    place : str
        Where messages say that it is: in a folder, or in a line of a CSV file.
    pixels : str
        Digest of its pixels, the same for identical images; empty until
        :func:`malaria_detect.data.cell_check.check_cells` has read it.
    """

    path: Path
    label: str
    group: str
    name: str = ""
    part: str = ""
    place: str = ""
    pixels: str = ""

    def __post_init__(self) -> None:
        """Call it by its file name if nothing else is given."""
        object.__setattr__(self, "name", self.name or self.path.name)
        object.__setattr__(self, "place", self.place or f"{self.label}/{self.path.name}")


@dataclass(frozen=True)
class CellFolder:
    """Cells of a folder or a CSV file.

    Attributes
    ----------
    root : Path
        The folder that contains ``Parasitized`` and ``Uninfected``, or the CSV file.
    cells : tuple of Cell
        Sorted by class, then by path; those of a CSV file in its order.
    ignored : tuple of str
        Sentences about everything that was left out.
    identical : tuple of str
        Sentences about cells with identical pixels, from :func:`malaria_detect.data.cell_check.check_cells`.
    colourless : tuple of str
        A sentence about images without colour if there are some, from the same function.
    """

    root: Path
    cells: tuple[Cell, ...]
    ignored: tuple[str, ...]
    identical: tuple[str, ...] = ()
    colourless: tuple[str, ...] = ()


def own_folder() -> Path:
    """Folder that cells are downloaded to if no other is given."""
    return Path(platformdirs.user_data_dir("malaria_detect")) / "cells"


def default_folder() -> Path:
    """Folder of the cells if no other is given: Kaggle's copy in a notebook that has it, or the user's own."""
    return next((folder for folder in KAGGLE_FOLDERS if folder.is_dir()), own_folder())


def patient_group(name: str) -> str:
    """Patient group from an NLM file name: everything before ``_IMG_``.

    Examples
    --------
    >>> patient_group("C100P61ThinF_IMG_20150918_144104_cell_162.png")
    'C100P61ThinF'
    """
    if patient := patient_in_name(Path(name).name):
        return patient
    raise CellsError(
        f"{name!r} does not contain a patient, as C100P61ThinF_IMG_…_cell_162.png does. {_NAME_PATIENTS}",
        reason="no_patient",
    )


def find_cells(root: str | os.PathLike[str] | None = None, patients: bool = True) -> CellFolder:
    """Cells in a folder or a CSV file; their images are not opened.

    Parameters
    ----------
    root : path, optional
        A folder with the class folders (in any case); one with a folder per patient that has them; one with a single
        folder that is one of these; or a CSV file.
        Default: what the environment variable ``MALARIA_DETECT_CELLS`` names, or
        :func:`default_folder`.
    patients : bool
        Whether images without a patient are left out. Otherwise their field counts as their patient, if their name
        tells it as ``FIELD__12.png`` or ``FIELD_cell_12.png`` do, and each of the others is a patient of its own.

    Raises
    ------
    CellsError
        If there are no cells of one of the classes, no patients, or a CSV file is wrong; the message names its line.
    MalariaDetectError
        If ``root`` is an empty string; ``reason`` is ``empty_path``.
    """
    if root is not None:
        refuse_empty(root)
    given = os.fspath(root or os.environ.get(CELLS_VARIABLE) or default_folder())
    start = Path(os.path.expanduser(given))  # noqa: PTH111 - Path's raises for a user that does not exist
    if os.path.isfile(start):  # noqa: PTH113 - Path.is_file raises for names that are too long
        return _all_named(start, *_listed(start))
    folder, found = _cell_folder(start)
    if {label for label, _ in found} == set(CLASSES):
        return _all_named(folder, *_in_folders(folder, found, patients))
    names = first_of([repr(path.name) for path in _folders(folder)]) or "none"
    raise CellsError(
        f"No cells in {folder}: it must contain a folder for each class. Folders found: {names}; accepted names: "
        f"{', '.join(_FOLDER_NAMES)} (in upper or lower case). {_NAME_PATIENTS} Download NLM's cells with "
        f"`malaria-detect cells fetch`, or give others with --cells or {CELLS_VARIABLE}.",
        reason="no_cells",
    )


def _label_of(name: str) -> str | None:
    name = name.strip().casefold()
    return _LABELS[name] if name in _FOLDER_NAMES else None


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))
    except OSError:
        return []


def _class_folders(root: Path) -> list[tuple[str, Path]]:
    """Label and path of each class folder."""
    labels = ((_label_of(path.name), path) for path in _folders(root))
    return sorted((label, path) for label, path in labels if label)


def _cell_folder(start: Path) -> tuple[Path, list[tuple[str, Path]]]:
    """The folder that has the classes or the patients, and label and path of each class folder in it."""
    folder = start
    for _ in range(_MOST_LEVELS):
        # Kaggle's archive has the classes twice: the outer level is complete.
        if found := _class_folders(folder):
            return folder, found
        inside = _folders(folder)
        around = [path for path in inside if _class_folders(path)]
        if len(around) > 1:
            # Folders of a split are no patients.
            if any(is_part(path.name) for path in around):
                break
            return folder, sorted(one for path in around for one in _class_folders(path))
        inner = around or inside
        if len(inner) != 1:
            break
        folder = inner[0]
    return folder, []


def _in_folders(
    root: Path, folders: Sequence[tuple[str, Path]], need_patients: bool
) -> tuple[list[Cell], list[str]]:
    cells: list[Cell] = []
    without: list[str] = []
    contradictory: list[str] = []
    skipped: Skipped = ()
    patients = Patients()
    for label, folder in folders:
        found = pictures_in(folder)
        skipped += found.skipped
        for path in found.paths:
            inside = path.relative_to(folder)
            place = path.relative_to(root).as_posix()
            # A class folder that an archive has twice, one in the other, is no patient.
            inner = [name for name in inside.parts[:-1] if _label_of(name) != label]
            around = [folder.parent.name] if folder.parent != root else []
            group = next(iter(around + inner), "") or patient_in_name(path.name)
            if not need_patients:
                group = group or group_in_name(path.name) or place
            if any(map(_label_of, inner)):
                contradictory.append(place)
            elif group:
                cells.append(Cell(path, label, patients.known(group), place=place))
            else:
                without.append(place)
    classes = {path for _, path in folders}
    places = {root} | {path.parent for path in classes}
    ignored = [
        f"{path.relative_to(root).as_posix()} is not in the folder of a class ({' or '.join(CLASSES)})."
        for path in sorted(path for place in places for path in place.iterdir())
        if path not in classes | places
        and not is_hidden(path.name)
        and (path.is_dir() or not why_skipped(path))
    ]
    if skipped:
        ignored.append(f"{skipped_sentence(skipped)}.")
    if contradictory:
        ignored.append(
            f"images in folders of both classes: {len(contradictory)} ({first_of(contradictory)})."
        )
    if without:
        sentence = f"images without a patient: {len(without)} ({first_of(without)}). {_NAME_PATIENTS}"
        if len({cell.label for cell in cells}) < len(CLASSES):
            raise CellsError(f"{root} has {sentence}", reason="no_patient")
        ignored.append(sentence)
    return cells, ignored


def _listed(table: Path) -> tuple[list[Cell], list[str]]:
    try:
        rows, ignored = read_cell_table(table, _LABELS)
    except CellTableError as error:
        advice = f" {_NAME_PATIENTS}" if error.reason == "no_patient" else ""
        raise CellsError(f"{error}{advice}", reason=error.reason) from error
    return [Cell(row.path, row.label, row.patient, "", row.part, row.place) for row in rows], ignored


def _all_named(root: Path, cells: Sequence[Cell], ignored: Sequence[str]) -> CellFolder:
    """The cells, each with a name of its own; a class without cells raises CellsError."""
    for label in CLASSES:
        if label not in {cell.label for cell in cells}:
            why = f" {ignored[0]}" if ignored else ""
            raise CellsError(f"{root} has no cells of the class {label}.{why}", reason="no_cells")
    times = Counter(cell.name for cell in cells)
    start = root if root.is_dir() else root.parent
    named = (
        cell
        if times[cell.name] == 1
        else replace(cell, name=Path(os.path.relpath(cell.path, start)).as_posix())
        for cell in cells
    )
    return CellFolder(root, tuple(named), tuple(ignored))
