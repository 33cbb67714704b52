"""The census in NLM's file names: how many cells a field has, and how many of them are parasitized.

NLM numbered the cells of a field from 1, uninfected ones first, and published every parasitized cell but only a sample
of the uninfected ones. So the highest number of a field with a parasitized cell is its number of cells. In a field
without one, the highest of ``k`` sampled numbers underestimates it: ``highest * (1 + 1 / k) - 1`` does not, on
average [1]_.

References
----------
.. [1] L. A. Goodman, Serial number analysis, J. Am. Stat. Assoc. 47 (1952) 622-634.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.nlm_cells import CLASSES, patient_group

# Two microscopes of one patient could have used one name for a field, so the whole prefix tells fields apart.
_NAME = re.compile(r"(.+_IMG_.+)_cell_(\d+)\.\w+")


class CensusError(MalariaDetectError):
    """File names that contain no census; ``reason`` is ``bad_name`` or ``incomplete``."""


@dataclass(frozen=True)
class FieldCensus:
    """The cells of one field.

    Attributes
    ----------
    group : str
        Patient group.
    field : str
        Name of the field, such as ``IMG_20150918_144104``.
    parasitized : int
        All parasitized cells of the field.
    sampled : int
        Uninfected cells in the data set.
    cells : int
        Cells of the field.
    exact : bool
        False if ``cells`` is an estimate, because no cell of the field is parasitized.
    """

    group: str
    field: str
    parasitized: int
    sampled: int
    cells: int
    exact: bool


@dataclass(frozen=True)
class PatientCensus:
    """The cells in all fields of one patient, as in :class:`FieldCensus`; exact if every field is."""

    group: str
    parasitized: int
    sampled: int
    cells: int
    exact: bool

    @property
    def parasitemia(self) -> float:
        """True share of parasitized cells, 0 to 1."""
        return self.parasitized / self.cells


def field_census(cells: Iterable[tuple[str, str]]) -> tuple[FieldCensus, ...]:
    """The census of every field, sorted by patient group and field.

    Parameters
    ----------
    cells : iterable of (str, str)
        Label and NLM file name of all cells in the data set: every parasitized cell is needed. With fewer uninfected
        ones, the fields without a parasitized cell are estimated less exactly.

    Raises
    ------
    CensusError
        If a name is not NLM's, or the numbers of a field show that cells are missing or labelled otherwise.

    Examples
    --------
    >>> named = [("Uninfected", 12), ("Uninfected", 40), ("Parasitized", 99), ("Parasitized", 100)]
    >>> field_census((label, f"C1P1_IMG_7_cell_{number}.png") for label, number in named)
    (FieldCensus(group='C1P1', field='IMG_7', parasitized=2, sampled=2, cells=100, exact=True),)
    """
    numbers: dict[str, dict[str, list[int]]] = defaultdict(lambda: {name: [] for name in CLASSES})
    for label, name in cells:
        found = _NAME.fullmatch(name)
        if not found:
            raise CensusError(
                f"{name} is not a file name of NLM's cells, such as C1P1_IMG_20150918_144104_cell_162.png, so the "
                "number of cells in its field is unknown.",
                "bad_name",
            )
        numbers[found[1]][label].append(int(found[2]))
    fields = (_of_field(prefix, *map(sorted, both.values())) for prefix, both in numbers.items())
    return tuple(sorted(fields, key=lambda one: (one.group, one.field)))


def patient_census(fields: Iterable[FieldCensus]) -> dict[str, PatientCensus]:
    """The census of every patient, by patient group.

    Examples
    --------
    >>> fields = [
    ...     FieldCensus("C1P1", "IMG_7", 3, 10, 150, True),
    ...     FieldCensus("C1P1", "IMG_8", 0, 12, 150, False),
    ... ]
    >>> patient_census(fields)["C1P1"].parasitemia
    0.01
    """
    by_group: dict[str, list[FieldCensus]] = defaultdict(list)
    for field in fields:
        by_group[field.group].append(field)
    return {
        group: PatientCensus(
            group,
            sum(one.parasitized for one in of_patient),
            sum(one.sampled for one in of_patient),
            sum(one.cells for one in of_patient),
            all(one.exact for one in of_patient),
        )
        for group, of_patient in by_group.items()
    }


def _of_field(prefix: str, parasitized: list[int], uninfected: list[int]) -> FieldCensus:
    group, field, sampled = patient_group(prefix), prefix[prefix.index("IMG_") :], len(uninfected)
    if not parasitized:
        cells = round(uninfected[-1] * (1 + 1 / sampled) - 1)
        return FieldCensus(group, field, 0, sampled, cells, exact=False)
    first, last = parasitized[0], parasitized[-1]
    if parasitized != list(range(first, last + 1)) or (uninfected and uninfected[-1] >= first):
        raise CensusError(
            f"The parasitized cells of {prefix} are not numbered {first} to {last} without a gap, after all "
            "uninfected ones. Use every parasitized cell of NLM's data set, with the published labels.",
            "incomplete",
        )
    return FieldCensus(group, field, len(parasitized), sampled, last, exact=True)
