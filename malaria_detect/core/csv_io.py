"""CSV files with known columns: errors name the line, and writing never loses an old file."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from malaria_detect.core.atomic import replaced
from malaria_detect.core.errors import MalariaDetectError


class CsvError(MalariaDetectError):
    """A CSV file cannot be read or written, or does not have the expected columns.

    ``reason`` is ``unreadable``, ``unwritable``, ``bad_columns``, ``bad_row`` or, for logits, ``no_cells``.
    """


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
        # utf-8-sig removes the byte order mark that Excel writes.
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
                    yield place, values
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CsvError(f"{path} cannot be read ({why}). {expected}", reason="unreadable") from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; an old file is replaced only when the new one is complete.

    Raises
    ------
    CsvError
        If the file cannot be written; an old file stays as it was.
    """
    try:
        # A file name that is not valid Unicode is written with escapes instead of failing.
        with (
            replaced(path) as new,
            new.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            # Line ends as in RFC 4180: otherwise a carriage return in a name would not be quoted.
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows(rows)
    except OSError as error:
        raise CsvError(f"{path} cannot be written ({error.strerror}).", reason="unwritable") from error
