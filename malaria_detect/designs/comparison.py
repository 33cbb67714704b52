"""Result of a comparison of designs, as ``malaria-detect compare`` writes it; no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import read_record
from malaria_detect.inference.metadata import Epoch, StartWeights
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.metrics.formatting import MISSING, format_score
from malaria_detect.training.described import REPORTED_SCORES, Reported

PROTOCOL_GROUPED, PROTOCOL_AUTHOR = "grouped", "author"
COMPARISON_FILE = "compare.json"  # in reports/
# The shipped design, with which the others are compared.
OURS = "resnet34"
COMPARED = REPORTED_SCORES
_SCORE_NAMES = {
    "f1": "F1",
    "mcc": "MCC",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
    "ece": "expected calibration error",
}

# A changed number of epochs is written like "8 epochs instead of 30".
_OF_EPOCHS = (["epoch", "instead"], ["epochs", "instead"])


class ComparisonError(MalariaDetectError):
    """A comparison cannot be made or read.

    ``reason`` is ``fixed``, ``laboratories``, ``output``, ``no_split``, ``other_cells``, ``other_settings``,
    ``missing`` or ``damaged``.
    """


@dataclass(frozen=True)
class LaboratoryShares:
    """What a design does with cells of another laboratory, of fields from which no design learnt.

    Attributes
    ----------
    name, cut : str
        The laboratory, and how its cells are cut out: ``outline`` or ``box``.
    basis : str
        What the design has learnt of this laboratory, in words.
    fields, parasitized, uninfected : int
        Numbers of fields and of their scored cells.
    called : dict of str to Estimate
        Sensitivity and specificity, with intervals over fields; without parasitized cells only the specificity.
    """

    name: str
    cut: str
    basis: str
    fields: int
    parasitized: int
    uninfected: int
    called: dict[str, Estimate]


@dataclass(frozen=True)
class Trained:
    """A design that was trained, and scored on cells of test patients.

    Attributes
    ----------
    scores : Scores
        Calibrated, at the threshold chosen on validation patients.
    minus_ours : dict of str to Estimate
        Scores minus those of the shipped design on the same cells, in the same bootstrap samples; empty for the shipped
        design.
    laboratories : tuple of LaboratoryShares
        At the same threshold; empty if none were given.
    parameters : int
        Number of parameters of the network; of another classifier, what its design counts as such.
    input_size : int or None
        Image size (side in px) of the network; None without one.
    training_seconds : float
        Time of all epochs, and of computing the features of a frozen trunk, but not of scaling the cells.
    cells_per_second : float
        At prediction, from the image to the log-odds.
    machine : str
        Where `cells_per_second` was measured, and when.
    rounding : float or None
        Largest difference of a calibrated probability to that of the network in float32, on 96 test cells; 0 on
        processors that do not compute in bfloat16, None without a network.
    sha256 : str or None
        Of the exported learner; None without a network.
    created, settings, start, history : str, dict, StartWeights, tuple of Epoch
        As in the metadata; empty, or None, without a network.
    changed : tuple of str
        How the training differs from the design's own, such as ``10 epochs instead of 30``.
    """

    scores: Scores
    minus_ours: dict[str, Estimate]
    laboratories: tuple[LaboratoryShares, ...]
    parameters: int
    input_size: int | None
    training_seconds: float
    cells_per_second: float
    machine: str
    rounding: float | None
    sha256: str | None
    created: str
    settings: dict[str, Any]
    start: StartWeights | None
    history: tuple[Epoch, ...]
    changed: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that no score is missing."""
        if missing := [name for name in COMPARED if name not in self.scores.estimates]:
            raise ValueError(f"scores lack {', '.join(missing)}")

    @property
    def cut_short(self) -> str:
        """The number of epochs, if it differs from the design's; empty if not. Tables show it next to the scores."""
        return next((part for part in self.changed if part.split()[1:3] in _OF_EPOCHS), "")


@dataclass(frozen=True)
class OnAuthorsSplit:
    """A design that was trained and scored on the split of its author.

    Attributes
    ----------
    split : str
        The split, in words.
    scores : Scores
        On the held-out cells, not calibrated, at threshold 0.5.
    created, changed
        As in :class:`Trained`.
    """

    split: str
    scores: Scores
    created: str
    changed: tuple[str, ...]


@dataclass(frozen=True)
class DesignRow:
    """One design of a comparison.

    Attributes
    ----------
    network, title, where, chosen, reported
        As in :class:`malaria_detect.training.described.DescribedDesign`.
    trained : Trained or None
        On the split by patient that all designs share; None if it was not run.
    author : OnAuthorsSplit or None
        None if it was not run, or the author's split is not known or by patient.
    not_run : str
        Why there is neither, as a sentence.
    """

    network: str
    title: str
    where: str
    chosen: str
    reported: Reported | None
    trained: Trained | None
    author: OnAuthorsSplit | None
    not_run: str

    def __post_init__(self) -> None:
        """Check that there is either a result or a reason."""
        if (self.trained is None and self.author is None) != bool(self.not_run):
            raise ValueError("a row has either a result or a reason why it has none")


@dataclass(frozen=True)
class Comparison:
    """Designs on the same cells, in the order in which they were added.

    `cells` is the fingerprint of the cells.
    """

    cells: str
    rows: tuple[DesignRow, ...]
    versions: dict[str, str]
    created: str

    @property
    def trained(self) -> Mapping[str, Trained]:
        """Results on the shared split by name of the design."""
        return {row.network: row.trained for row in self.rows if row.trained is not None}

    @property
    def ours(self) -> Trained | None:
        """Result of the shipped design; None if it was not run."""
        return self.trained.get(OURS)

    @property
    def ranked(self) -> tuple[tuple[DesignRow, Trained], ...]:
        """Designs that were run on the shared split, the most accurate first; of equal ones, the higher ROC AUC."""
        found = [(row, row.trained) for row in self.rows if row.trained is not None]

        def accuracy(pair: tuple[DesignRow, Trained]) -> tuple[float, float]:
            estimates = pair[1].scores.estimates
            return estimates["accuracy"].value, estimates["roc_auc"].value

        return tuple(sorted(found, key=accuracy, reverse=True))


def score_name(name: str) -> str:
    """Name of a score in a table, such as ``ROC AUC`` for ``roc_auc``."""
    return _SCORE_NAMES.get(name, name)


def printed(row: DesignRow) -> str:
    """Published scores of a design, and how its author split the cells."""
    if row.reported is None or not row.reported.scores:
        return MISSING
    return f"{_listed(row.reported.scores)} ({row.reported.protocol})"


def on_authors_split(row: DesignRow) -> str:
    """Our scores on the split of a design's author: those that the author published, or the accuracy.

    A dash if the design was not trained on that split.
    """
    if row.author is None:
        return MISSING
    names = row.reported.scores if row.reported else ("accuracy",)
    estimates = row.author.scores.estimates
    return _listed({name: estimates[name].value for name in names})


def _listed(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{score_name(name)} {format_score(value)}" for name, value in scores.items())


def read_comparison(path: str | os.PathLike[str] = "reports/compare.json") -> Comparison:
    """Read a comparison that ``malaria-detect compare`` wrote; a missing or damaged file raises ComparisonError."""
    return read_record(Comparison, path, ComparisonError, "`malaria-detect compare` writes it.")
