"""What people decided about published labels: the corrections file, and what it does to cells and scores.

A CSV with the columns ``file,label,verdict,corrected``, one line a cell. The verdict is about the published label:
``agree`` keeps it, ``disagree`` turns it into the other class, ``unsure`` leaves the cell out of training and out of
the scores on corrected labels.

Only what networks doubted is ever looked at, so that corrected labels flatter these networks: scores on them belong
beside the scores on published labels, never in their place.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from malaria_detect.core.csv_io import read_rows, write_rows
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CLASSES

AGREE, DISAGREE, UNSURE = VERDICTS = ("agree", "disagree", "unsure")
COLUMNS = ("file", "label", "verdict", "corrected")

_LOCK_SECONDS = 10
_OTHER = {CLASSES[0]: CLASSES[1], CLASSES[1]: CLASSES[0]}


class LabelsError(MalariaDetectError):
    """Candidates or corrections are not what they should be, or do not fit the cells."""


@dataclass(frozen=True)
class Correction:
    """One verdict of `VERDICTS` about the published label of the cell with this file name."""

    file: str
    label: str
    verdict: str

    def __post_init__(self) -> None:
        """Refuse what no verdict can be."""
        if self.verdict not in VERDICTS:
            raise LabelsError(
                f"The verdict on {self.file} is {self.verdict!r}; wanted is {any_of(VERDICTS)}."
            )
        if self.label not in CLASSES:
            raise LabelsError(f"The label of {self.file} is {self.label!r}; wanted is {any_of(CLASSES)}.")

    @property
    def corrected(self) -> str | None:
        """The class that the cell has by this verdict; None where it is left out."""
        return {AGREE: self.label, DISAGREE: _OTHER[self.label], UNSURE: None}[self.verdict]


@dataclass(frozen=True)
class Corrections:
    """Verdicts on cells, at most one on each, in the order in which they were first given."""

    verdicts: tuple[Correction, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two verdicts on one cell."""
        for file, times in Counter(one.file for one in self.verdicts).items():
            if times > 1:
                raise LabelsError(f"{file} has {times} verdicts; wanted is one: take out the others.")

    def by_file(self) -> dict[str, Correction]:
        """The verdicts by file name."""
        return {one.file: one for one in self.verdicts}


def read_corrections(path: str | os.PathLike[str]) -> Corrections:
    """Read a corrections file.

    Raises
    ------
    MalariaDetectError
        Where the file is missing, has other columns, an unknown verdict or class, two verdicts on one cell, or a
        corrected label that does not follow from label and verdict. The message names the line.
    """
    verdicts = []
    for place, (file, label, verdict, corrected) in read_rows(Path(path), COLUMNS):
        try:
            correction = Correction(file, label, verdict)
        except LabelsError as error:
            raise LabelsError(f"{place}: {error}") from error
        if corrected != (correction.corrected or ""):
            raise LabelsError(
                f"{place}: {verdict} about {label} makes it {correction.corrected or 'no label at all'}, "
                f"and not {corrected!r}."
            )
        verdicts.append(correction)
    try:
        return Corrections(tuple(verdicts))
    except LabelsError as error:
        raise LabelsError(f"{path}: {error}") from error


def write_corrections(corrections: Corrections, path: str | os.PathLike[str]) -> Corrections:
    """Put verdicts into a corrections file, beside those that are there; on the same cell the new one stands.

    The file is read again, changed and replaced while it is locked, so that several programs may write to it. One that
    cannot be read is left as it is.

    Returns
    -------
    Corrections
        All that the file holds now.
    """
    with _locked(Path(path)):
        known = _on_disk(Path(path)).by_file() | corrections.by_file()
        return _replace_file(Path(path), known.values())


def change_verdict(
    path: str | os.PathLike[str], file: str, new: Correction | None, old: Correction | None
) -> Corrections:
    """Give, change or take back the verdict on one cell, unless somebody else has changed it meanwhile.

    Parameters
    ----------
    path : path
        The corrections file; it need not be there yet.
    file : str
        The cell's file name.
    new : Correction or None
        None takes the verdict back.
    old : Correction or None
        The verdict that is known to the caller, None for none.

    Returns
    -------
    Corrections
        All that the file holds now.

    Raises
    ------
    MalariaDetectError
        Where the file has another verdict on the cell than `old`, or cannot be read or written; it stays as it was.
    """
    with _locked(Path(path)):
        known = _on_disk(Path(path)).by_file()
        if (found := known.get(file)) != old:
            raise LabelsError(
                f"{Path(path).name} was changed by somebody else: {file} has "
                f"{f'the verdict {found.verdict} there' if found else 'no verdict there any more'}. "
                "Nothing was written: look again."
            )
        known.pop(file, None) if new is None else known.update({file: new})
        return _replace_file(Path(path), known.values())


def corrected_labels(
    files: Sequence[str], labels: Sequence[str], corrections: Corrections
) -> tuple[str | None, ...]:
    """The label that each cell has by the verdicts: the published one, the other one, or None where it is left out.

    Parameters
    ----------
    files, labels : sequence of str
        File names and published labels, one for one.
    corrections : Corrections
        Verdicts on cells that are not among `files` are passed over; :func:`account` counts them.

    Raises
    ------
    LabelsError
        Where no verdict is on any of these cells, or a verdict's label is not the published one.
    """
    known = corrections.by_file()
    published = dict(zip(files, labels, strict=True))
    if known and not known.keys() & published.keys():
        raise LabelsError(
            f"None of the {len(known)} verdicts is on any of these {len(published)} cells; the first one is on "
            f"{corrections.verdicts[0].file}: do the corrections belong to other cells?"
        )
    for one in corrections.verdicts:
        if published.get(one.file, one.label) != one.label:
            raise LabelsError(
                f"The verdict on {one.file} is about the label {one.label}, but it is published as "
                f"{published[one.file]}: does the corrections file belong to these cells?"
            )
    return tuple(
        known[file].corrected if file in known else label for file, label in zip(files, labels, strict=True)
    )


def account(files: Iterable[str], corrections: Corrections) -> str:
    """What corrections do to these cells, in a sentence.

    Examples
    --------
    >>> account(["a"], Corrections((Correction("a", "Parasitized", "disagree"),)))
    '1 verdict: 0 kept, 1 turned over, 0 left out as unsure.'
    """
    here = set(files)
    times = Counter(one.verdict for one in corrections.verdicts if one.file in here)
    elsewhere = len(corrections.verdicts) - times.total()
    return (
        f"{times.total()} verdict{'' if times.total() == 1 else 's'}: {times[AGREE]} kept, "
        f"{times[DISAGREE]} turned over, {times[UNSURE]} left out as unsure."
        + (f" There are {elsewhere} more, on cells that are not here." if elsewhere else "")
    )


def _on_disk(path: Path) -> Corrections:
    return read_corrections(path) if path.exists() else Corrections()


def _replace_file(path: Path, verdicts: Iterable[Correction]) -> Corrections:
    corrections = Corrections(tuple(verdicts))
    rows = ((one.file, one.label, one.verdict, one.corrected or "") for one in corrections.verdicts)
    write_rows(path, COLUMNS, rows)
    return corrections


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other programs from writing the file inside the block."""
    if not path.parent.is_dir():  # else the lock would make the folder
        raise LabelsError(f"{path} cannot be written: there is no folder {path.parent}.")
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise LabelsError(f"{path} is being written by another program: try again.") from error
    except OSError as error:
        raise LabelsError(f"{path} cannot be written ({error.strerror}).") from error


def any_of(words: Sequence[str]) -> str:
    """Words as a choice.

    Examples
    --------
    >>> any_of(("agree", "disagree", "unsure"))
    'agree, disagree or unsure'
    """
    return f"{', '.join(words[:-1])} or {words[-1]}"
