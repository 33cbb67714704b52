"""Results as a CSV table or as JSON, the same from the command line and from the page."""

import dataclasses
import json
from collections.abc import Iterable
from typing import TextIO

from malaria_detect.core.csv_io import csv_line
from malaria_detect.core.json_io import to_json
from malaria_detect.inference.prediction import Record

COLUMNS = tuple(field.name for field in dataclasses.fields(Record))


def write_csv(records: Iterable[Record], file: TextIO) -> None:
    """Write records as CSV, each as soon as it is known; see :func:`malaria_detect.core.csv_io.csv_line`.

    An empty cell stands for None.

    Parameters
    ----------
    records : iterable of Record
    file : text file
        Opened with ``newline=""``.
    """
    file.write(csv_line(COLUMNS))
    for record in records:
        file.write(csv_line(dataclasses.astuple(record)))
        file.flush()


def write_json(records: Iterable[Record], file: TextIO) -> None:
    """Write records as a JSON list, one record a line, each as soon as it is known.

    The list is closed also if `records` ends with an error or with Ctrl-C. It is ASCII, which any terminal shows.
    """
    file.write("[")
    before = "\n"
    try:
        for record in records:
            file.write(before + json.dumps(json.loads(to_json(record))))
            file.flush()
            before = ",\n"
    finally:
        file.write("\n]\n")
        file.flush()
