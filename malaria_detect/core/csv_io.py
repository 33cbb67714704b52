"""CSV files that spreadsheets open correctly and safely, with known columns: errors name the line."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from malaria_detect.core.atomic import growing, replaced, streams
from malaria_detect.core.errors import MalariaDetectError

# Excel takes a file for UTF-8 only if it begins with this mark.
BYTE_ORDER_MARK = "\ufeff"
# A spreadsheet runs text that starts like this as a formula (OWASP, CSV injection). Apostrophes before it count, so
# that reading can take exactly one away.
_FORMULA = re.compile("'*[-=+@\t\r\n\uff0d\uff1d\uff0b\uff20]")


class CsvError(MalariaDetectError):
    """A CSV file cannot be read, or does not have the expected columns.

    ``reason`` is ``unreadable``, ``bad_columns``, ``bad_row`` or, for logits, ``no_cells``.
    """


class _Line:
    """For `csv.writer`, whose ``writerow`` returns what ``write`` returns."""

    def write(self, text: str) -> str:
        return text


def csv_line(values: Iterable[object]) -> str:
    r"""One line of a CSV file as in RFC 4180, with its line end.

    Text that a spreadsheet would run as a formula gets an apostrophe in front, which :func:`read_rows` takes away.
    Numbers stay as they are, so a negative number must not be given as text. Texts in a tuple are joined by a space.

    Examples
    --------
    >>> csv_line(["=1+1.png", "-1", -0.5, None])
    "'=1+1.png,'-1,-0.5,\r\n"
    """
    line: str = csv.writer(_Line()).writerow([_guarded(value) for value in values])
    return line


def _guarded(value: object) -> object:
    if isinstance(value, tuple):
        value = " ".join(value)
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _plain(text: str) -> str:
    """What :func:`csv_line` was given; a byte order mark can occur inside a file made by appending."""
    text = text.removeprefix(BYTE_ORDER_MARK)
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Rows of a CSV file with exactly these columns, without empty lines.

    Each row comes with its place, ``file, line n``, for error messages.

    Raises
    ------
    CsvError
        If the file is missing or unreadable, or has other columns or another number of values in a row.
    """
    expected = f"Expected a CSV file with the columns {','.join(columns)}."
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            if (found := next(lines, [])) != list(columns):
                raise CsvError(
                    f"{path} has the columns {','.join(found)!r}. {expected}", reason="bad_columns"
                )
            for values in lines:
                place = f"{path}, line {lines.line_num}"
                if len(values) not in (0, len(columns)):
                    raise CsvError(f"{place} has {len(values)} values. {expected}", reason="bad_row")
                if values:
                    yield place, [_plain(value) for value in values]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CsvError(f"{path} cannot be read ({why}). {expected}", reason="unreadable") from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; an old file is replaced only when the new one is complete.

    Raises
    ------
    malaria_detect.core.atomic.WriteError
        If the file cannot be written; an old file stays as it was.
    """
    # A file name that is not valid Unicode is written with escapes instead of failing.
    with (
        replaced(path) as new,
        new.open("w", newline="", encoding=_encoding(path), errors="backslashreplace") as file,
    ):
        file.writelines(map(csv_line, (columns, *rows)))


@contextmanager
def growing_csv(path: Path) -> Iterator[TextIO]:
    """Text file for the lines of a CSV file, each of which stays if the block is stopped.

    See :func:`malaria_detect.core.atomic.growing`; errors as there.
    """
    with growing(path) as file:
        options = {"encoding": _encoding(path), "errors": "backslashreplace", "newline": ""}
        yield TextIOWrapper(file, **options, write_through=True)  # type: ignore[arg-type]


def _encoding(path: Path) -> str:
    """UTF-8, with a byte order mark in files but not in pipes, which programs read."""
    return "utf-8" if streams(path) else "utf-8-sig"
