"""Scores of found cells on whole fields: records of a field and of a laboratory, and how they are summarised."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from malaria_detect.core.json_io import read_record
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.field_truth import FieldAnnotationError, FieldSet
from malaria_detect.metrics.intervals import draw_groups, interval_of_share, leave_one_out, plain_interval
from malaria_detect.metrics.types import Estimate, Floats, Integers

FIELDS = "fields.json"
_RESAMPLES, _SEED = 2000, 0
_NAN = float("nan")
_NUMBERS = (
    *("annotated", "infected", "matched", "infected_matched", "uninfected_matched"),
    *("counted", "surplus", "others", "others_matched"),
)


@dataclass(frozen=True)
class Called:
    """How many cells of a field are found and called parasitized at an operating point, by what they are."""

    infected: int
    uninfected: int
    counted: int


@dataclass(frozen=True)
class FieldScore:
    """What was found on one field; numbers of red cells unless something else is said.

    Attributes
    ----------
    name, group : str
        As in :class:`malaria_detect.data.field_annotations.AnnotatedField`.
    annotated, infected, uninfected : int
        Annotated in all, and those labelled parasitized and uninfected.
    matched, infected_matched, uninfected_matched : int
        How many of these were found.
    missed : tuple of str
        Names of the infected cells that were not found.
    counted, on_edge : int
        Found within the field, and found on its edge.
    surplus : int
        Counted although nothing is annotated there; wrong only if the annotations are exhaustive.
    others, others_matched : int
        Annotated boxes and outlines of anything but red cells, and how many of them were taken for a red cell.
    red_cells, parasitized : int
        True numbers of the whole field.
    called : dict of str to Called
        By operating point; empty if the cells were not classified.
    cell_diameter : float
        Median of the found red cells in px, NaN without.
    seconds : float
        For finding cells.
    refusal : str
        Code of the reason for which the field was refused, or empty.
    """

    name: str
    group: str
    annotated: int
    infected: int
    uninfected: int
    matched: int
    infected_matched: int
    uninfected_matched: int
    missed: tuple[str, ...]
    counted: int
    on_edge: int
    surplus: int
    others: int
    others_matched: int
    red_cells: int
    parasitized: int
    called: dict[str, Called]
    cell_diameter: float
    seconds: float
    refusal: str = ""


@dataclass(frozen=True)
class SetScore:
    """Scores of all fields of one laboratory.

    Attributes
    ----------
    name : str
    annotation : str
        What is annotated: ``outline``, ``box`` or ``centre``, or several of them.
    exhaustive, counts_edge : bool
        As in :class:`malaria_detect.data.field_annotations.FieldSet`.
    refused : dict of str to int
        Number of refused fields by reason. Their cells count as missed, but they have no count.
    estimates : dict of str to Estimate
        recall, infected_recall, others_taken; precision and f1 if the annotations are exhaustive; count_error (mean of
        |found - true| / true over the fields) and count_bias (without the absolute value).
    called : dict of str to dict of str to Estimate
        Shares called parasitized by operating point: infected (of all infected cells, found or not), uninfected (of
        those found), counted (of all that were counted: the apparent parasitemia).
    parasitemia : float
        True parasitemia of the fields that were not refused, as far as it is annotated.
    fields : tuple of FieldScore
    """

    name: str
    annotation: str
    exhaustive: bool
    counts_edge: bool
    refused: dict[str, int]
    estimates: dict[str, Estimate]
    called: dict[str, dict[str, Estimate]]
    parasitemia: float
    fields: tuple[FieldScore, ...]


@dataclass(frozen=True)
class FieldBenchmark:
    """Content of ``reports/fields.json``.

    Attributes
    ----------
    command : str
        What was run.
    finder, model : str
        SHA-256 of the weights of the finder and of the classifier, or empty.
    created : str
    versions : dict of str to str
    sets : tuple of SetScore
    """

    command: str
    finder: str
    model: str
    created: str
    versions: dict[str, str]
    sets: tuple[SetScore, ...]

    @classmethod
    def of(cls, sets: Sequence[SetScore], command: str, finder: str, model: str) -> "FieldBenchmark":
        """Content with today's date and the versions of libraries."""
        return cls(command, finder, model, today(), library_versions(), tuple(sets))


def read_field_benchmark(path: Path) -> FieldBenchmark:
    """Content of a file that ``malaria-detect evaluate --fields`` wrote; a FieldAnnotationError if it is damaged."""
    return read_record(
        FieldBenchmark, path, FieldAnnotationError, "Write it again with `malaria-detect evaluate --fields`."
    )


def summarise(annotated: FieldSet, fields: Sequence[FieldScore]) -> SetScore:
    """Scores of one laboratory from those of its fields, with 95 % intervals over patients or, if not known, fields."""
    groups = [field.group for field in fields]
    total = {name: _column(fields, name) for name in _NUMBERS}
    right, surplus = total["matched"], total["surplus"]
    shares = {
        "recall": (right, total["annotated"]),
        "infected_recall": (total["infected_matched"], total["infected"]),
        "others_taken": (total["others_matched"], total["others"]),
    }
    if annotated.exhaustive:
        shares["precision"] = (right, right + surplus)
        shares["f1"] = (2 * right, right + surplus + total["annotated"])
    used = [field for field in fields if not field.refusal and field.red_cells]
    error = _count_errors(used, annotated.counts_edge)
    called = {}
    for point in next((field.called for field in used if field.called), {}):
        calls = [field.called.get(point, Called(0, 0, 0)) for field in fields]
        hits = {name: _column(calls, name) for name in ("infected", "uninfected", "counted")}
        of = {"infected": "infected", "uninfected": "uninfected_matched", "counted": "counted"}
        called[point] = {name: share_by_group(groups, hits[name], total[of[name]]) for name in hits}
    return SetScore(
        name=annotated.name,
        annotation=", ".join(sorted({cell.shape for field in annotated.fields for cell in field.cells})),
        exhaustive=annotated.exhaustive,
        counts_edge=annotated.counts_edge,
        refused=dict(Counter(field.refusal for field in fields if field.refusal)),
        estimates={name: share_by_group(groups, *pair) for name, pair in shares.items()}
        | {
            "count_error": _mean([field.group for field in used], np.abs(error)),
            "count_bias": _mean([field.group for field in used], error),
        },
        called=called,
        parasitemia=_ratio(_column(used, "parasitized").sum(), _column(used, "red_cells").sum()),
        fields=tuple(fields),
    )


def _column(records: Sequence[object], name: str) -> Integers:
    return np.array([getattr(record, name) for record in records], np.int64)


def _ratio(hits: float, total: float) -> float:
    return float(hits / total) if total else _NAN


def _count_errors(fields: Sequence[FieldScore], counts_edge: bool) -> Floats:
    """Relative error of the number of red cells of each field."""
    found = _column(fields, "counted") + counts_edge * _column(fields, "on_edge")
    true = _column(fields, "red_cells")
    return (found - true) / true


def _by_group(groups: Sequence[str], *columns: np.ndarray) -> tuple[list[np.ndarray], list[Floats]]:
    """Sums over each patient or field, and weights for its bootstrap."""
    names, group = np.unique(groups, return_inverse=True)
    sums = [np.bincount(group, column, len(names)) for column in columns]
    return sums, [draw_groups(len(names), _RESAMPLES, _SEED), leave_one_out(len(names))]


def share_by_group(groups: Sequence[str], hits: Integers, total: Integers) -> Estimate:
    """Share of hits in a total, with a 95 % interval over patients or fields; all arguments have the same length."""
    if not total.sum():
        return Estimate(_NAN, _NAN, _NAN, 0, 0)
    (right, cells), weights = _by_group(groups, hits, total)
    ends = interval_of_share(right.astype(np.int64), cells.astype(np.int64), weights)
    return Estimate(_ratio(hits.sum(), total.sum()), *ends, int(hits.sum()), int(total.sum()))


def _mean(groups: Sequence[str], values: Floats) -> Estimate:
    if not len(values):
        return Estimate(_NAN, _NAN, _NAN)
    mean = float(values.mean())
    (sums, fields), weights = _by_group(groups, values, np.ones(len(values)))
    if len(sums) < 2:
        return Estimate(mean, _NAN, _NAN)
    resampled, without = (rows @ sums / (rows @ fields) for rows in weights)
    low, high = plain_interval(mean, resampled, without, len(sums), reach=float("inf"))
    return Estimate(mean, max(low, 0.0) if (values >= 0).all() else low, high)
