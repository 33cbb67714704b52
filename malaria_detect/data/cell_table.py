"""A CSV file that lists cells with label, patient and perhaps split, as spreadsheets write it.

Every error names the line.
"""

import csv
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError

PARTS = ("train", "valid", "test")
_PARTS = {
    "": "",
    **{part: part for part in PARTS},
    "training": "train",
    "val": "valid",
    "validation": "valid",
}
_REQUIRED = ("path", "label", "patient")
_COLUMNS = (*_REQUIRED, "split")
_EXPECTED = "Expected a CSV file with the columns path,label,patient and, if it splits the cells, split."


def is_part(name: str) -> bool:
    """Whether a name is that of a part of a split.

    Examples
    --------
    >>> is_part("Train"), is_part("validation"), is_part("P1")
    (True, True, False)
    """
    return bool(_PARTS.get(name.strip().casefold()))


class CellTableError(MalariaDetectError):
    """A CSV file of cells that cannot be used.

    ``reason`` is ``unreadable``, ``bad_columns``, ``bad_row``, ``no_patient``, ``listed_twice`` or ``two_sides``.
    """


@dataclass(frozen=True)
class CellRow:
    """A row: where it is (``cells.csv, line 7 (P1/a.png)``), its file, label, patient, and part of the split."""

    place: str
    path: Path
    label: str
    patient: str
    part: str


class Patients:
    """One spelling for names of a patient that differ in case, in spaces or in how accents are encoded.

    Examples
    --------
    >>> patients = Patients()
    >>> patients.known("P1"), patients.known(" p1")
    ('P1', 'P1')
    """

    def __init__(self) -> None:
        self._spellings: dict[str, str] = {}

    def known(self, name: str) -> str:
        """The first spelling of this name."""
        name = unicodedata.normalize("NFC", name.strip())
        return self._spellings.setdefault(name.casefold(), name)


def read_cell_table(table: Path, labels: Mapping[str, str]) -> tuple[list[CellRow], list[str]]:
    """Rows of a CSV file with the columns ``path,label,patient`` and perhaps ``split``, and what was left out.

    Columns may be in any order, separated by commas, semicolons or tabs; a byte order mark, spaces around values and
    empty rows are accepted, because Excel writes them, and so is a first line
    ``sep=;``. Paths are relative to the folder of the file, with slashes or
    backslashes. Rows with another label, without a patient or without a file are left out, with a sentence.

    Parameters
    ----------
    table : Path
    labels : dict of str to str
        Accepted labels, in lower case, and their classes.

    Raises
    ------
    CellTableError
        If the file cannot be read as UTF-8, a column or value is missing, no row has a patient, a split is given for
        some rows only, or rows contradict each other.
    """
    names, texts = _texts(table)
    if texts and not any(row["patient"] for _, row in texts):
        raise CellTableError(f"{table} names no patient: the column patient is empty.", reason="no_patient")
    ignored = [f"{table.name}: the column {name} is not used." for name in names if name not in _COLUMNS]
    rows, patients, is_split = [], Patients(), any(row.get("split") for _, row in texts)
    for place, row in texts:
        part = _PARTS.get(row.get("split", "").casefold())
        if part is None or (is_split and not part):
            raise CellTableError(
                f"{place} has the split {row['split']!r}. Use {', '.join(PARTS)}, in all rows or in none.",
                reason="bad_row",
            )
        path, label = _listed_file(table.parent, row["path"]), labels.get(row["label"].casefold())
        if label is None:
            ignored.append(f"{place}: the label is {row['label']!r}, not one of {', '.join(labels)}.")
        elif not row["patient"]:
            ignored.append(f"{place}: there is no patient.")
        elif path is None:
            ignored.append(f"{place}: there is no file {row['path']!r}.")
        else:
            rows.append(
                CellRow(f"{place} ({row['path']})", path, label, patients.known(row["patient"]), part)
            )
    return _once(rows, ignored), ignored


def _texts(table: Path) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Names of the columns, and of each row its place and its texts."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header, line = file.readline(), 1
            # Excel's first line that names the separator.
            named = re.fullmatch(r'"?sep=(.)"?[,;\t]*', header.rstrip("\r\n"), re.IGNORECASE)
            if named:
                header, line = file.readline(), 2
            separator = named[1] if named else max(",;\t", key=header.count)
            names = [name.strip().casefold() for name in next(csv.reader([header], delimiter=separator), [])]
            _check_columns(table, names, line)
            lines, rows, end = csv.reader(file, delimiter=separator, strict=True), [], line
            for values in lines:
                # A value between quotation marks may have several lines.
                place, end = f"{table.name}, line {end + 1}", line + lines.line_num
                if any(map(str.strip, values)):
                    rows.append((place, _texts_of(place, names, values)))
    except UnicodeDecodeError as error:
        raise CellTableError(
            f"{table} is not a text file in UTF-8. In Excel save it as “CSV UTF-8”.", reason="unreadable"
        ) from error
    except (OSError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CellTableError(f"{table} cannot be read ({why}). {_EXPECTED}", reason="unreadable") from error
    return [name for name in names if name], rows


def _check_columns(table: Path, names: Sequence[str], line: int) -> None:
    twice = [name for name in _COLUMNS if names.count(name) > 1]
    missing = [name for name in _REQUIRED if name not in names]
    if twice or missing:
        problem = f"has no column {', '.join(missing)}" if missing else f"has the column {twice[0]} twice"
        found = ", ".join(names)[:200]
        raise CellTableError(
            f"{table} {problem} in line {line} ({found!r}). {_EXPECTED}", reason="bad_columns"
        )


def _texts_of(place: str, names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    texts = [value.strip() for value in values]
    if len(texts) < len(names) or any(texts[len(names) :]):
        raise CellTableError(f"{place} has {len(texts)} values for {len(names)} columns.", reason="bad_row")
    row = dict(zip(names, texts, strict=False))
    if not row["path"]:
        raise CellTableError(f"{place} has no path.", reason="bad_row")
    return row


def _listed_file(folder: Path, text: str) -> Path | None:
    # Written on Windows, read elsewhere; and macOS encodes accents in names of files in another way than Excel.
    slashes = text.replace("\\", "/")
    for spelling in (text, slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))):
        path = folder / os.path.expanduser(spelling)  # noqa: PTH111 - Path's raises for a user that does not exist
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for names that are too long
            return path
    return None


def _once(rows: Sequence[CellRow], ignored: list[str]) -> list[CellRow]:
    """Rows without those that list a file again; contradictions are refused."""
    first: dict[str, CellRow] = {}
    first_of_patient: dict[str, CellRow] = {}
    for row in rows:
        before = first.setdefault(os.path.realpath(row.path), row)
        if (before.label, before.patient, before.part) != (row.label, row.patient, row.part):
            raise CellTableError(
                f"{row.place} contradicts {before.place}: the same image with another label, patient or split.",
                reason="listed_twice",
            )
        if before is not row:
            ignored.append(f"{row.place} repeats {before.place}.")
        of_patient = first_of_patient.setdefault(row.patient, row)
        if of_patient.part != row.part:
            raise CellTableError(
                f"Patient {row.patient} is in two parts of the split: {of_patient.part} in {of_patient.place}, and "
                f"{row.part} in {row.place}. Put all cells of a patient into one part.",
                reason="two_sides",
            )
    return list(first.values())
