"""Results as a table: the same columns from the command line and from the page."""

import csv
from collections.abc import Iterable
from typing import Any, TextIO

from malaria_detect.inference.prediction import Prediction, Refusal

COLUMNS = (
    "path",
    "label",
    "probability_parasitized",
    "raw_probability_parasitized",
    "operating_point",
    "uncertain",
    "error",
)
# A spreadsheet takes a cell that starts so for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def row(name: str, answer: Prediction | Refusal) -> dict[str, Any]:
    """One picture's row.

    Returns
    -------
    dict
        ``path``: the name as given. ``label``: what the cell is called at the operating point, empty for a refused
        picture. ``probability_parasitized``: calibrated, 0 to 1 with six decimals, or None.
        ``raw_probability_parasitized``: what ``learn.predict`` gives. ``operating_point``: its name, or empty.
        ``uncertain``: whether a person should look, or None. ``error``: why it was refused, or empty.
    """
    values: tuple[str | float | bool | None, ...]
    if isinstance(answer, Refusal):
        values = (name, "", None, None, "", None, answer.reason)
    else:
        values = (
            name,
            answer.decision,
            round(answer.probability_parasitized, 6),
            round(answer.raw_probability_parasitized, 6),
            answer.operating_point,
            answer.uncertain,
            "",
        )
    return dict(zip(COLUMNS, values, strict=True))


def write_csv(rows: Iterable[dict[str, Any]], file: TextIO) -> None:
    """Write rows as CSV; a name that a spreadsheet would run as a formula gets an apostrophe in front.

    Parameters
    ----------
    rows : iterable of dict
        From :func:`row`; written one by one as they come.
    file : text file
        Opened with ``newline=""``.
    """
    table = csv.DictWriter(file, COLUMNS)
    table.writeheader()
    for one in rows:
        guarded = f"'{one['path']}" if one["path"].startswith(_FORMULA) else one["path"]
        table.writerow({**one, "path": guarded})
