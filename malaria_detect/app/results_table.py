"""Results as a CSV table, the same from the command line and from the page."""

import csv
import dataclasses
from collections.abc import Iterable
from typing import TextIO

from malaria_detect.inference.prediction import Record

COLUMNS = tuple(field.name for field in dataclasses.fields(Record))
# A spreadsheet runs a cell that starts like this as a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_csv(records: Iterable[Record], file: TextIO) -> None:
    """Write records as CSV, row by row.

    An empty cell stands for None, and warnings are joined by a space. A name that a spreadsheet would run as a formula
    gets an apostrophe in front.

    Parameters
    ----------
    records : iterable of Record
    file : text file
        Opened with ``newline=""``.
    """
    table = csv.writer(file)
    table.writerow(COLUMNS)
    for record in records:
        path = f"'{record.path}" if record.path.startswith(_FORMULA) else record.path
        row = dataclasses.asdict(record) | {"path": path, "warnings": " ".join(record.warnings)}
        table.writerow(row.values())
