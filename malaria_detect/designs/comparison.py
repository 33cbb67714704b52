"""What a comparison of networks found: one row for each, as ``malaria-detect compare`` writes them; no torch."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import RecordError, from_json
from malaria_detect.inference.metadata import StartWeights
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.training.reported import Reported

GROUPED, AUTHOR = "grouped", "author"
# The files in reports/, by protocol.
DESIGNS, BY_AUTHOR = "compare.json", "compare-author.json"
# The network that the others are held against.
OURS = "resnet34"
# Those that authors print, too, and that hold at the threshold of each network.
COMPARED = ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc")

# How a change that cuts epochs is written: "8 epochs instead of 30".
_OF_EPOCHS = (["epoch", "instead"], ["epochs", "instead"])


class ComparisonError(MalariaDetectError):
    """A comparison cannot be made or read."""


@dataclass(frozen=True)
class Trained:
    """A network that was trained and scored.

    Attributes
    ----------
    scores : Scores
        On cells that were not trained on. With the grouped protocol those of the test patients, at the threshold chosen
        on validation patients, of calibrated probabilities; with the author's protocol those of the held-out cells,
        on which the author's training also chose its epoch, at the network's own .5.
    minus_ours : dict of str to Estimate
        Scores minus those of the shipped resnet34 on the same cells, resampled together; empty for itself, and with the
        author's protocol.
    parameters : int
        Numbers that the network consists of.
    file_bytes : int
        Size of the exported learner.
    training_seconds : float
        All epochs, and computing the features of a frozen trunk; scaling cells, once for each size, is not counted.
    pictures_per_second : float
        Predicting, from the scaled square to the logit.
    input_size : int
        In px.
    created : str
        The day of its export.
    settings : dict
        Those of the training run, see :class:`malaria_detect.training.settings.TrainSettings`.
    start : StartWeights
    changed : tuple of str
        How the run differs from the design's own training, each a sentence's part: ``10 epochs instead of 30``.
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
        """Refuse scores of which a table would lack one."""
        if missing := [name for name in COMPARED if name not in self.scores.estimates]:
            raise ValueError(f"scores lack {', '.join(missing)}")

    @property
    def cut_short(self) -> str:
        """How many epochs it had instead of its design's, which belongs beside its scores; empty where it had all."""
        return next((part for part in self.changed if part.split()[1:3] in _OF_EPOCHS), "")


@dataclass(frozen=True)
class Row:
    """One network of a comparison.

    Attributes
    ----------
    network, title, where : str
        Its name in :mod:`malaria_detect.designs`, what it is, and where the design comes from.
    chosen : str
        What its design leaves open and was chosen here; empty for nothing.
    reported : Reported or None
    trained : Trained or None
        None where it was not run.
    not_run : str
        Why it was not run, as a sentence; empty where it was.
    """

    network: str
    title: str
    where: str
    chosen: str
    reported: Reported | None
    trained: Trained | None
    not_run: str

    def __post_init__(self) -> None:
        """Refuse a row that says neither what came out nor why nothing did."""
        if (self.trained is None) != bool(self.not_run):
            raise ValueError("a row either was trained or says why not")


@dataclass(frozen=True)
class Comparison:
    """Networks on the same cells.

    Attributes
    ----------
    protocol : str
        ``grouped``: all on the same split, with every patient on one side. ``author``: each as its author split,
        which puts patients on both sides.
    cells : str
        Fingerprint of the cells.
    rows : tuple of Row
        In the order of the registry.
    machine : str
        On which pictures per second were counted: processor threads.
    versions : dict of str to str
    created : str
        The date.
    """

    protocol: str
    cells: str
    rows: tuple[Row, ...]
    machine: str
    versions: dict[str, str]
    created: str

    @property
    def trained(self) -> Mapping[str, Trained]:
        """What came out, by network, of those that were run."""
        return {row.network: row.trained for row in self.rows if row.trained is not None}

    @property
    def ours(self) -> Trained | None:
        """What came out for the network that the others are held against; None where it was not run."""
        return self.trained.get(OURS)


def read_comparison(path: str | os.PathLike[str] = "reports/compare.json") -> Comparison:
    """Read what ``malaria-detect compare`` wrote.

    Raises
    ------
    ComparisonError
        Where the file is missing or holds something else.
    """
    try:
        return from_json(Comparison, json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise ComparisonError(
            f"{path} cannot be read ({error.strerror}): `malaria-detect compare` writes it."
        ) from error
    except (ValueError, RecordError) as error:
        raise ComparisonError(f"{path} is no comparison of networks ({error}).") from error
