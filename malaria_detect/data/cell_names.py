"""What the file name of a cell says about its patient or field."""

import re
from pathlib import Path

# One patient was photographed with two microscopes and has two ids.
_SAME_PATIENT = {"C47P8thin_Original_Motic": "C47P8thinOriginalOlympusCX21"}


def group_in_name(name: str) -> str:
    """Patient or field in the file name of a cell; empty if it tells none.

    Examples
    --------
    >>> group_in_name("C100P61ThinF_IMG_20150918_144104_cell_162.png"), group_in_name("FIELD.jpg__12.png")
    ('C100P61ThinF', 'FIELD.jpg')
    """
    field = re.fullmatch(r"(.+?)_(?:_|cell_)\d+", Path(name).stem)
    return patient_in_name(name) or (field[1] if field else "")


def patient_in_name(name: str) -> str:
    """Patient group in a file name of NLM, the part before ``_IMG_``; empty in others."""
    patient, separator, _ = name.partition("_IMG_")
    return _SAME_PATIENT.get(patient, patient) if separator else ""
