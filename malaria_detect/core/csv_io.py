"""CSV files with known columns: read with the line that is wrong, written so that an old file is never lost."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError


class CsvError(MalariaDetectError):
    """A CSV file cannot be read or written, or has other columns than are wanted."""


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Rows of a CSV file with exactly these columns; empty lines are passed over.

    Yields
    ------
    place : str
        ``file, line n``, for what is said of the row.
    values : list of str
        One for each column.

    Raises
    ------
    CsvError
        Where the file is missing or unreadable, or the columns or the number of values differ.
    """
    wanted = f"wanted is a CSV file with the columns {','.join(columns)}"
    try:
        # Excel puts a byte order mark in front, which utf-8-sig takes away.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            if (found := next(lines, [])) != list(columns):
                raise CsvError(f"{path} has the columns {','.join(found)!r}; {wanted}.")
            for values in lines:
                place = f"{path}, line {lines.line_num}"
                if len(values) not in (0, len(columns)):
                    raise CsvError(f"{place} has {len(values)} values; {wanted}.")
                if values:
                    yield place, values
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CsvError(f"{path} cannot be read ({reason}); {wanted}.") from error


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file beside its place and move it there when it is complete.

    Raises
    ------
    CsvError
        Where it cannot be written; an old file stays as it was.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        # A file name that is no text is written with escapes: it must not cost the other rows.
        with part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            # Lines end as RFC 4180 wants it: with a bare line feed a carriage return in a name would not be quoted.
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise CsvError(f"{path} cannot be written ({error.strerror}).") from error
    finally:
        if part.is_file():
            part.unlink()
