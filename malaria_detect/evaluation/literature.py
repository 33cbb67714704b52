"""Published results on these cells, quoted with protocol and source in ``reports/published.json``."""

import os
from dataclasses import dataclass

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import read_record

PUBLISHED = "published.json"  # the file in reports/


class LiteratureError(MalariaDetectError):
    """The file of published results is missing or damaged; ``reason`` is ``missing`` or ``damaged``."""


@dataclass(frozen=True)
class Work:
    """One published result on the NIH/NLM cells.

    ``patients_apart`` is False if cells of one patient are in training and held-out cells. ``scores`` are named as in
    :class:`malaria_detect.metrics.Scores`, 0 to 1. ``also`` is a result that fits no column, ``note`` says how we know
    the numbers.
    """

    work: str
    where: str
    patients_apart: bool
    protocol: str
    scores: dict[str, float]
    also: str
    note: str


@dataclass(frozen=True)
class Beyond:
    """The accuracy above which published results have another reason than a better model, and that reason."""

    accuracy: float
    rests_on: str


@dataclass(frozen=True)
class ElsewhereResult:
    """How a malaria model performed at another laboratory, with the source."""

    what: str
    where: str

    def __str__(self) -> str:
        """The finding with its source."""
        return f"{self.what} ({self.where})"


@dataclass(frozen=True)
class PublishedCells:
    """The published data set, of which a model may have seen a part; sides in px."""

    pictures: int
    parasitized: int
    uninfected: int
    patients: int
    infected: int
    healthy: int
    sides: tuple[int, int]
    median_side: int
    hospital: str
    paper: str
    where: str
    address: str


@dataclass(frozen=True)
class DoubtedLabels:
    """Number of published labels that an expert review rejected."""

    labels: int
    of: int
    work: str
    where: str
    note: str

    def __str__(self) -> str:
        """The number, the total and the source."""
        return f"{self.labels:,} of {self.of:,} ({self.work}, {self.where}; {self.note})"


@dataclass(frozen=True)
class Counting:
    """Number of cells to count on a thin smear by organization, and the relative SD of human counts."""

    cells: dict[str, int]
    where: str
    human_relative_sd: float
    human_where: str


@dataclass(frozen=True)
class Published:
    """Everything that page and reports quote."""

    on_these_cells: tuple[Work, ...]
    beyond: Beyond
    elsewhere: tuple[ElsewhereResult, ...]
    cells: PublishedCells
    doubted_labels: DoubtedLabels
    counting: Counting
    card: str


def read_published(path: str | os.PathLike[str] = "reports/published.json") -> Published:
    """Read the published results; a missing or damaged file raises LiteratureError."""
    return read_record(Published, path, LiteratureError, "It is part of the repository.")
