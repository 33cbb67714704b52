"""Result of a comparison of designs, as ``malaria-detect compare`` writes it; no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import read_record
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.metrics.formatting import MISSING, format_score
from malaria_detect.training.reported import Reported

PROTOCOL_GROUPED, PROTOCOL_AUTHOR = "grouped", "author"
# Files in reports/, one for each protocol.
COMPARISON_FILE, AUTHOR_COMPARISON_FILE = "compare.json", "compare-author.json"
# The shipped design, with which the others are compared.
OURS = "resnet34"
# Scores that authors publish, too.
COMPARED = ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc")
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

    ``reason`` is ``fixed``, ``output``, ``rows_lost``, ``other_cells``, ``other_settings``, ``missing`` or ``damaged``.
    """


@dataclass(frozen=True)
class Trained:
    """A design that was trained and scored.

    Attributes
    ----------
    scores : Scores
        On held-out cells. Protocol ``grouped``: cells of test patients, calibrated, at the threshold chosen on
        validation patients. Protocol ``author``: the held-out cells of the author's split, which also chose the epoch,
        not calibrated, at threshold 0.5.
    minus_ours : dict of str to Estimate
        Scores minus those of the shipped design on the same cells, in the same bootstrap samples; empty for the shipped
        design, and with the protocol ``author``.
    parameters, file_bytes, input_size : int
        Number of parameters, size of the exported learner, size of its input in px.
    training_seconds : float
        Time of all epochs, and of computing the features of a frozen trunk, but not of scaling the cells.
    pictures_per_second : float
        Images per second at prediction, from the padded image to the logit.
    created, settings, start : str, dict, StartWeights
        As in the metadata.
    changed : tuple of str
        How the training differs from the design's own, such as ``10 epochs instead of 30``.
    """

    scores: Scores
    minus_ours: dict[str, Estimate]
    parameters: int
    file_bytes: int
    training_seconds: float
    pictures_per_second: float
    input_size: int
    created: str
    settings: dict[str, Any]
    start: StartWeights
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
class DesignRow:
    """One design of a comparison.

    Attributes
    ----------
    network, title, where, chosen, reported
        As in :class:`malaria_detect.training.design.Design`.
    trained, not_run : Trained or None, str
        None if it was not run, and why, as a sentence.
    """

    network: str
    title: str
    where: str
    chosen: str
    reported: Reported | None
    trained: Trained | None
    not_run: str

    def __post_init__(self) -> None:
        """Check that there is either a result or a reason."""
        if (self.trained is None) != bool(self.not_run):
            raise ValueError("a row has either a result or a reason why it has none")


@dataclass(frozen=True)
class Comparison:
    """Designs on the same cells, in the order of the registry.

    Attributes
    ----------
    protocol : str
        ``grouped``: all on the same split by patient. ``author``: each on the split of its author, so that cells of one
        patient are in both parts.
    cells : str
        Fingerprint of the cells.
    machine : str
        Where the speed was measured: number of processor threads.
    """

    protocol: str
    cells: str
    rows: tuple[DesignRow, ...]
    machine: str
    versions: dict[str, str]
    created: str

    @property
    def trained(self) -> Mapping[str, Trained]:
        """Results by name of the design."""
        return {row.network: row.trained for row in self.rows if row.trained is not None}

    @property
    def ours(self) -> Trained | None:
        """Result of the shipped design; None if it was not run."""
        return self.trained.get(OURS)


def score_name(name: str) -> str:
    """Name of a score in a table, such as ``ROC AUC`` for ``roc_auc``."""
    return _SCORE_NAMES.get(name, name)


def printed(row: DesignRow) -> str:
    """Published scores of a network, and how its author split the cells."""
    if row.reported is None:
        return MISSING
    numbers = [f"{score_name(name)} {format_score(value)}" for name, value in row.reported.scores.items()]
    return f"{', '.join(numbers)} ({row.reported.protocol})" if numbers else MISSING


def read_comparison(path: str | os.PathLike[str] = "reports/compare.json") -> Comparison:
    """Read a comparison that ``malaria-detect compare`` wrote; a missing or damaged file raises ComparisonError."""
    return read_record(Comparison, path, ComparisonError, "`malaria-detect compare` writes it.")
