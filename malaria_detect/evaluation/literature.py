"""What others published on these cells: ``reports/published.json``, quoted with protocol and source."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import RecordError, from_json

PUBLISHED = "published.json"  # the file in reports/


class LiteratureError(MalariaDetectError):
    """The file of published results is missing or damaged."""


@dataclass(frozen=True)
class Work:
    """One published result on the NIH/NLM cells.

    ``patients_apart`` is False where cells of one patient stood on both sides of the split. ``scores`` are named as in
    :class:`malaria_detect.metrics.Scores` and lie in 0 to 1. ``also`` tells what fits no column, ``note`` how the
    figures reached us.
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
    """The accuracy above which printed results rest on something else than a better model, and on what."""

    accuracy: float
    rests_on: str


@dataclass(frozen=True)
class Finding:
    """What happened to a malaria model at another place, and who says so."""

    what: str
    where: str

    def __str__(self) -> str:
        """The finding with its source."""
        return f"{self.what} ({self.where})"


@dataclass(frozen=True)
class PublishedCells:
    """The whole of the published cells, of which a model may have seen a part; sides in pixels."""

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
    """How many of the published labels an expert review set aside."""

    labels: int
    of: int
    work: str
    where: str
    note: str

    def __str__(self) -> str:
        """How many, of how many, and who says so."""
        return f"{self.labels:,} of {self.of:,} ({self.work}, {self.where}; {self.note})"


@dataclass(frozen=True)
class Counting:
    """How many cells bodies want counted on a thin smear, and how much human counts differ (relative SD)."""

    cells: dict[str, int]
    where: str
    human_relative_sd: float
    human_where: str


@dataclass(frozen=True)
class Published:
    """All that the report quotes from others."""

    on_these_cells: tuple[Work, ...]
    beyond: Beyond
    elsewhere: tuple[Finding, ...]
    cells: PublishedCells
    doubted_labels: DoubtedLabels
    counting: Counting
    card: str


def read_published(path: str | os.PathLike[str] = "reports/published.json") -> Published:
    """Read what others published.

    Raises
    ------
    LiteratureError
        Where the file is missing or cannot be understood.
    """
    try:
        return from_json(Published, json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise LiteratureError(
            f"{path} cannot be read ({error.strerror}); take it from the repository."
        ) from error
    except (ValueError, RecordError) as error:
        raise LiteratureError(f"{path} does not hold published results as expected ({error}).") from error
