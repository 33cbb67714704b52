"""Corrections: what reviewers decided about published labels, and what it changes.

A corrections file is a CSV with the columns ``file,label,verdict,corrected`` to which lines are only appended; the
last line about a cell counts. The verdict is about the published label: ``agree`` keeps it, ``disagree`` turns it into
the other class, ``unsure`` leaves the cell out of training and of the scores on corrected labels, and ``withdrawn``
takes an earlier verdict back.

Reviewers only see cells that networks doubt, so corrected labels favour these networks: report scores on them next to
the scores on published labels, never instead of them.
"""

import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from malaria_detect.core.csv_io import BYTE_ORDER_MARK, csv_line, read_rows
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CLASSES

AGREE, DISAGREE, UNSURE = LABEL_VERDICTS = ("agree", "disagree", "unsure")
WITHDRAWN = "withdrawn"
_COLUMNS = ("file", "label", "verdict", "corrected")

_OTHER = {CLASSES[0]: CLASSES[1], CLASSES[1]: CLASSES[0]}

# Stand in the fingerprint of the cells, before that of the corrections if labels were corrected, and before that of the
# targets if cross-validated probabilities were learnt, too.
CORRECTED, BELIEVED = " corrected ", " believed "


class LabelsError(MalariaDetectError):
    """Candidate label errors or corrections that are malformed or do not fit the cells.

    ``reason`` is ``unknown_verdict``, ``unknown_class``, ``wrong_corrected``, ``other_cells``, ``other_labels``,
    ``unwritable``, ``damaged``, ``twice``, ``leakage`` or ``top``; in the label review also ``page_size`` or
    ``no_images``.
    """


@dataclass(frozen=True)
class Correction:
    """One verdict, from `LABEL_VERDICTS` or `WITHDRAWN`, about the published label of the cell with a file name."""

    file: str
    label: str
    verdict: str

    def __post_init__(self) -> None:
        """Check verdict and class."""
        if self.verdict not in (*LABEL_VERDICTS, WITHDRAWN):
            raise LabelsError(
                f"The verdict on {self.file} is {self.verdict!r}. "
                f"Use one of {', '.join((*LABEL_VERDICTS, WITHDRAWN))}.",
                reason="unknown_verdict",
            )
        if self.label not in CLASSES:
            raise LabelsError(
                f"The label of {self.file} is {self.label!r}. Use {' or '.join(CLASSES)}.",
                reason="unknown_class",
            )

    @property
    def corrected(self) -> str | None:
        """The class of the cell according to this verdict; None if the cell is left out."""
        return {DISAGREE: _OTHER[self.label], UNSURE: None}.get(self.verdict, self.label)


@dataclass(frozen=True)
class Corrections:
    """The verdicts that count: the last one on each cell, unless it was withdrawn."""

    verdicts: tuple[Correction, ...] = ()

    @classmethod
    def of(cls, given: Iterable[Correction]) -> "Corrections":
        """Corrections from all verdicts in the order in which they were given."""
        last = {one.file: one for one in given}
        return cls(tuple(one for one in last.values() if one.verdict != WITHDRAWN))

    def by_file(self) -> dict[str, Correction]:
        """The verdicts by file name."""
        return {one.file: one for one in self.verdicts}


def read_corrections(path: str | os.PathLike[str]) -> Corrections:
    """Read a corrections file.

    Raises
    ------
    LabelsError, malaria_detect.core.csv_io.CsvError
        If the file is missing, has other columns, an unknown verdict or class, or a corrected label that does not
        follow from label and verdict. The message names the line.
    """
    given = []
    for place, (file, label, verdict, corrected) in read_rows(Path(path), _COLUMNS):
        # Two programs that start a file at the same time may both write the header.
        if (file, label, verdict, corrected) == _COLUMNS:
            continue
        try:
            one = Correction(file, label, verdict)
        except LabelsError as error:
            raise LabelsError(f"{place}: {error}", reason=error.reason) from error
        if corrected != (one.corrected or ""):
            raise LabelsError(
                f"{place}: {verdict!r} about {label} gives the corrected label {one.corrected or ''!r}, "
                f"not {corrected!r}.",
                reason="wrong_corrected",
            )
        given.append(one)
    return Corrections.of(given)


def append_corrections(path: str | os.PathLike[str], given: Sequence[Correction]) -> Corrections:
    """Append verdicts to a corrections file, which is created if missing; returns all that count in the file now.

    Several programs may append to the same file: each call writes its lines at once and waits until they are on the
    disk.

    Raises
    ------
    LabelsError, malaria_detect.core.csv_io.CsvError
        If an existing file is not a corrections file, or cannot be written. It stays as it was.
    """
    path = Path(path)
    if path.exists() and path.stat().st_size:
        read_corrections(path)
    lines = (csv_line((one.file, one.label, one.verdict, one.corrected or "")) for one in given)
    try:
        with path.open("ab+", buffering=0) as file:
            _append(file, "".join(lines).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise LabelsError(f"{path} cannot be written ({error.strerror}).", reason="unwritable") from error
    return read_corrections(path)


def _append(file: io.FileIO, lines: bytes) -> None:
    size = file.seek(0, os.SEEK_END)
    if not size:
        lines = (BYTE_ORDER_MARK + csv_line(_COLUMNS)).encode() + lines
    else:
        file.seek(-1, os.SEEK_END)
        # An editor may have left out the last line end.
        lines = lines if file.read() == b"\n" else b"\r\n" + lines
    try:
        if file.write(lines) != len(lines):
            raise OSError(28, "No space left on device")
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def corrected_labels(
    files: Sequence[str], labels: Sequence[str], corrections: Corrections
) -> tuple[str | None, ...]:
    """Published labels of cells after the corrections; None if the cell is left out.

    Verdicts on other cells are ignored; :func:`account` counts them.

    Raises
    ------
    LabelsError
        If no verdict is about any of these cells, or a verdict is about another label than the published one.
    """
    known, published = corrections.by_file(), dict(zip(files, labels, strict=True))
    if known and not known.keys() & published.keys():
        raise LabelsError(
            f"None of the {len(known)} verdicts is about any of these {len(published)} cells; the first one is about "
            f"{corrections.verdicts[0].file}. Choose the corrections file of these cells.",
            reason="other_cells",
        )
    for one in corrections.verdicts:
        if published.get(one.file, one.label) != one.label:
            raise LabelsError(
                f"The verdict on {one.file} is about the label {one.label}, but the published label is "
                f"{published[one.file]}. Choose the corrections file of these cells.",
                reason="other_labels",
            )
    return tuple(
        known[file].corrected if file in known else label for file, label in zip(files, labels, strict=True)
    )


def account(files: Iterable[str], corrections: Corrections) -> str:
    """One sentence on what the corrections change for these cells.

    Examples
    --------
    >>> account(["a"], Corrections((Correction("a", "Parasitized", "disagree"),)))
    '1 verdict: 0 kept, 1 changed, 0 left out as unsure.'
    """
    here = set(files)
    times = Counter(one.verdict for one in corrections.verdicts if one.file in here)
    elsewhere = len(corrections.verdicts) - times.total()
    return (
        f"{times.total()} verdict{'' if times.total() == 1 else 's'}: {times[AGREE]} kept, "
        f"{times[DISAGREE]} changed, {times[UNSURE]} left out as unsure."
        + (f" {elsewhere} more are about other cells." if elsewhere else "")
    )
