"""Scores of the classifier in other laboratories, as it is and adapted: the records of ``laboratories.json``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from malaria_detect.core.json_io import read_record
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.field_truth import FieldAnnotationError
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.calibrate import DEFAULT_POINT
from malaria_detect.metrics import Estimate, ReliabilityBin, Scores
from malaria_detect.metrics.formatting import format_count, format_percent

LABORATORIES = "laboratories.json"
OUTLINE, BOX = "outline", "box"


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over draws."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Gain:
    """What adapting to a number of a laboratory's cells changes on cells of fields from which none was drawn.

    Attributes
    ----------
    parasitized, uninfected : int
        Labelled cells.
    draws : int
    before, after : dict of str to Spread
        Of the model as it is and of the adapted one, on the same cells: ``roc_auc``; ``sensitivity`` and
        ``specificity`` at the default operating point; ``specificity_at``, the specificity where the sensitivity is
        at least 0.93, for which the threshold is read from the scored cells.
    gain : dict of str to Estimate
        After minus before of the first three: mean over the draws of each draw's difference and of the ends of its
        paired 95 % interval over fields.
    home : Spread
        Change of the ROC AUC on validation patients of the parent.
    """

    parasitized: int
    uninfected: int
    draws: int
    before: dict[str, Spread]
    after: dict[str, Spread]
    gain: dict[str, Estimate]
    home: Spread


@dataclass(frozen=True)
class LaboratoryScore:
    """Scores in one laboratory with cells cut out in one way.

    Attributes
    ----------
    name, cut : str
        The laboratory, and ``outline`` or ``box``.
    basis : str
        What the model has learnt of this laboratory, in words.
    fields, parasitized, uninfected : int
        Scored cells, and the fields they come from.
    lost : dict of str to int
        Annotated cells of each class that the finder did not find, or whose box is under 16 px; they are not scored.
    outcomes : dict of str to Estimate
        Shares of the scored cells: ``refused Parasitized`` and ``refused Uninfected`` of each class, ``site_warning``
        and ``poor_quality`` of both. All of them are scored, with the answer that they would have had.
    called : dict of str to dict of str to Estimate
        Sensitivity and specificity at each operating point, with 95 % intervals over fields; without parasitized cells
        only the specificity.
    scores : Scores or None
        At the default operating point; None if a class has no cells.
    reliability : tuple of ReliabilityBin
    gains : tuple of Gain
        From adapting to some of the cells; empty if there are too few.
    """

    name: str
    cut: str
    basis: str
    fields: int
    parasitized: int
    uninfected: int
    lost: dict[str, int]
    outcomes: dict[str, Estimate]
    called: dict[str, dict[str, Estimate]]
    scores: Scores | None
    reliability: tuple[ReliabilityBin, ...]
    gains: tuple[Gain, ...]


@dataclass(frozen=True)
class Laboratories:
    """Content of ``reports/laboratories.json``."""

    command: str
    model_sha256: str
    finder_sha256: str
    laboratories: tuple[LaboratoryScore, ...]
    versions: dict[str, str]
    created: str

    @classmethod
    def of(cls, scores: Sequence[LaboratoryScore], command: str, model: str, finder: str) -> "Laboratories":
        """Content with today's date and the versions of libraries."""
        return cls(command, model, finder, tuple(scores), library_versions(), today())


def read_laboratories(path: Path) -> Laboratories:
    """Scores that `malaria-detect evaluate --laboratories` wrote; errors as in `core.json_io.read_record`."""
    return read_record(
        Laboratories, path, FieldAnnotationError, "`malaria-detect evaluate --laboratories` writes it."
    )


def expectation(score: LaboratoryScore) -> str:
    """What to expect of the model in a laboratory, as a sentence; shares are those at the default operating point."""
    shares = score.called[DEFAULT_POINT]
    words = [
        f"{format_percent(shares[name].value)} of the {format_count(cells, f'{kind} cell')} are called {kind}"
        for name, cells, kind in (
            ("sensitivity", score.parasitized, "parasitized"),
            ("specificity", score.uninfected, "uninfected"),
        )
        if name in shares
    ]
    refused = [
        format_percent(share.value)
        for label in CLASSES
        if (share := score.outcomes[f"refused {label}"]).total
    ]
    return (
        f"{score.name}: {' and '.join(words)}; {' and '.join(refused)} of these are refused (cut out by {score.cut} in "
        f"{format_count(score.fields, 'field')}; {score.basis})."
    )
