"""The NIH/NLM malaria cells on disk: find them, check them, group them by patient, split them.

A cell's file name names its patient: ``C100P61ThinF_IMG_20150918_144104_cell_162.png`` is slide C100, patient P61,
field 20150918_144104, cell 162. All cells of one patient look alike (same stain, same day, same blood), so that a
split is only honest where no patient stands on two sides; :func:`grouped_split` sees to that.
"""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs

from malaria_detect.errors import MalariaDetectError
from malaria_detect.images import ImageRefused, read_image

CLASSES = ("Parasitized", "Uninfected")
CELLS_VARIABLE = "MALARIA_DETECT_CELLS"

# One patient was photographed through two microscopes and stands under two ids.
_SAME_PATIENT = {"C47P8thin_Original_Motic": "C47P8thinOriginalOlympusCX21"}
_DRAWS = 1000
_EXCHANGES = 2000


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


@dataclass(frozen=True)
class Split:
    """Positions in a list of cells, as sorted tuples: every cell stands on exactly one side."""

    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]


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


def grouped_split(cells: Sequence[Cell], valid: float = 0.15, test: float = 0.15, seed: int = 0) -> Split:
    """Split so that no patient group stands on two sides, and the classes are even.

    Patient groups are drawn within two strata (with and without parasitized cells), so that each side gets its share
    of both; of 1,000 such draws the one is kept in which the cells of each class come nearest to the wished shares.
    Where a side's share of parasitized cells is still off by a percentage point, patients are exchanged. From about
    80 patients on all sides agree within two points.

    Parameters
    ----------
    cells : sequence of Cell
    valid, test : float
        Shares of the patient groups, each in [0, 1), together below 1.
    seed : int
        The same seed and the same cells give the same split, in whatever order the cells come.

    Raises
    ------
    CellsError
        Where the shares are impossible, or a side would stay empty.
    """
    _check_shares(valid, test)
    groups = sorted({cell.group for cell in cells})
    position = {group: index for index, group in enumerate(groups)}
    counts = np.zeros((len(groups), len(CLASSES)))
    for cell in cells:
        counts[position[cell.group], CLASSES.index(cell.label)] += 1
    strata = [np.flatnonzero(counts[:, 0] > 0), np.flatnonzero(counts[:, 0] == 0)]
    wished = np.array([[1 - valid - test], [valid], [test]])

    def unevenness(side: np.ndarray) -> float:
        shares = np.stack([counts[side == number].sum(axis=0) for number in range(3)])
        return float(np.abs(shares / np.maximum(counts.sum(axis=0), 1) - wished).max())

    random = np.random.default_rng(seed)
    draws = (_draw_sides(strata, len(groups), valid, test, random) for _ in range(_DRAWS))
    side = min(draws, key=unevenness)
    for _ in range(_EXCHANGES):
        if _within_a_point(counts, side):
            break
        stratum = strata[random.integers(2)]
        if len(stratum) > 1:
            exchanged = side.copy()
            pair = random.choice(stratum, 2, replace=False)
            exchanged[pair] = side[pair[::-1]]
            side = min(side, exchanged, key=unevenness)
    return _as_split([int(side[position[cell.group]]) for cell in cells], valid, test)


def random_split(cells: Sequence[Cell], valid: float = 0.15, test: float = 0.15, seed: int = 0) -> Split:
    """Split cell by cell, as most published projects do: **patients stand on both sides**, scores come out too high.

    Parameters and errors are those of :func:`grouped_split`; each class is cut in the wished shares exactly.
    """
    _check_shares(valid, test)
    order = sorted(range(len(cells)), key=lambda index: (cells[index].label, cells[index].path.name))
    random = np.random.default_rng(seed)
    side = [0] * len(cells)
    for label in CLASSES:
        drawn = random.permutation([index for index in order if cells[index].label == label])
        end_valid = round(valid * len(drawn))
        end_test = end_valid + round(test * len(drawn))
        for index in drawn[:end_valid]:
            side[index] = 1
        for index in drawn[end_valid:end_test]:
            side[index] = 2
    return _as_split(side, valid, test)


def fastai_splitter(
    how: Callable[..., Split], valid: float = 0.15, test: float = 0.15, seed: int = 0
) -> Callable[[Iterable[Path]], tuple[list[int], list[int]]]:
    """Turn :func:`grouped_split` or :func:`random_split` into a splitter for a fastai ``DataBlock`` of cell paths.

    Returns
    -------
    callable
        From paths in NLM's layout to the positions of the training and of the validation cells. Test cells are in
        neither.

    Examples
    --------
    >>> from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock, parent_label
    >>> block = DataBlock(
    ...     (ImageBlock, CategoryBlock), get_y=parent_label, splitter=fastai_splitter(grouped_split, seed=1)
    ... )
    """

    def splitter(paths: Iterable[Path]) -> tuple[list[int], list[int]]:
        cells = [Cell(Path(path), Path(path).parent.name, patient_group(Path(path).name)) for path in paths]
        split = how(cells, valid=valid, test=test, seed=seed)
        return list(split.train), list(split.valid)

    return splitter


def _draw_sides(
    strata: Sequence[np.ndarray], groups: int, valid: float, test: float, random: np.random.Generator
) -> np.ndarray:
    """One side for each group: 0 training, 1 validation, 2 test."""
    side = np.zeros(groups, dtype=int)
    for stratum in strata:
        drawn = random.permutation(stratum)
        end_valid = round(valid * len(drawn))
        end_test = end_valid + round(test * len(drawn))
        side[drawn[:end_valid]] = 1
        side[drawn[end_valid:end_test]] = 2
    return side


def _within_a_point(counts: np.ndarray, side: np.ndarray) -> bool:
    everywhere = counts[:, 0].sum() / counts.sum()
    cells = [counts[side == number].sum(axis=0) for number in range(3)]
    return all(abs(of_class[0] / of_class.sum() - everywhere) <= 0.01 for of_class in cells if of_class.any())


def _check_shares(valid: float, test: float) -> None:
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise CellsError(
            f"The shares of validation ({valid}) and test ({test}) must lie in [0, 1) and sum to less than 1."
        )


def _as_split(side: Sequence[int], valid: float, test: float) -> Split:
    train, valid_cells, test_cells = (
        tuple(index for index, number in enumerate(side) if number == wanted) for wanted in range(3)
    )
    if not train or (valid and not valid_cells) or (test and not test_cells):
        raise CellsError(
            f"{len(side)} cells are too few patients to split: a side of the split would stay empty."
        )
    return Split(train, valid_cells, test_cells)
