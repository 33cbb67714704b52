"""What the metadata file ``export.json`` says about a model: its input, training, operating points and scores."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.corrections import BELIEVED, CORRECTED
from malaria_detect.metrics import PatientCounts, ReliabilityBin, Scores

if TYPE_CHECKING:
    from malaria_detect.inference.input import InputTransform

SCHEMA_VERSION = 3
RESEARCH_USE = "For Research Use Only. Not for use in diagnostic procedures."
EPOCH_SCORES = ("train_loss", "valid_loss", "accuracy", "precision", "recall", "f1", "roc_auc")


class MetadataError(MalariaDetectError):
    """A model or its metadata is missing, damaged or unknown, or the two do not belong together.

    ``reason`` is ``missing``, ``unreadable``, ``schema``, ``invalid``, ``wrong_sha256``, ``bad_pin``, ``wrong_pin``,
    ``unknown_operating_point``, ``other_classes``, ``other_logits``, ``adapted`` or ``replaced``.
    """


@dataclass(frozen=True)
class StartWeights:
    """Weights that training started from.

    Attributes
    ----------
    source : str
        ``imagenet``, ``file`` or ``none``.
    name, sha256 : str
        Of the weights file; empty without one.
    loaded, missing : int
        Number of tensors of the network with and without weights in the file.
    identity_blocks : tuple of str
        Residual blocks without weights, which started as the identity.
    """

    source: str
    name: str
    sha256: str
    loaded: int
    missing: int
    identity_blocks: tuple[str, ...]

    def __str__(self) -> str:
        """Description for readers."""
        if self.source == "none":
            return "random weights"
        return f"{self.name}, {self.loaded} of {self.loaded + self.missing} tensors"


@dataclass(frozen=True)
class Side:
    """One part of the split: numbers of cells, and their patient groups."""

    cells: int
    parasitized: int
    uninfected: int
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Epoch:
    """Scores of one epoch of training on validation patients; ``epoch`` counts from 1, ``size`` is in px."""

    epoch: int
    size: int
    train_loss: float
    valid_loss: float
    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float
    seconds: float


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold for a purpose, chosen on validation patients, with its scores.

    Attributes
    ----------
    name : str
        ``screening``, ``balanced`` or ``counting``.
    rule : str
        How the threshold was chosen, for readers.
    threshold : float
        Calibrated probability, 0 to 1, from which a cell is called parasitized.
    validation, test : Scores
    patients : tuple of PatientCounts
        Test patients.
    """

    name: str
    rule: str
    threshold: float
    validation: Scores
    test: Scores
    patients: tuple[PatientCounts, ...]

    def __post_init__(self) -> None:
        """Check the range of the threshold."""
        if not 0 <= self.threshold <= 1:
            raise ValueError("threshold must be between 0 and 1")


@dataclass(frozen=True)
class Uncertainty:
    """The limit below which a decision is uncertain, and how many errors it catches.

    A decision is uncertain if its calibrated probability is lower than ``below``, which is chosen so that a tenth of
    the validation cells is uncertain at the default operating point. Of all cells a ``share`` is uncertain; of the
    wrong decisions, a share is ``caught``.
    """

    below: float
    validation_share: float
    validation_caught: float
    test_share: float
    test_caught: float


@dataclass(frozen=True)
class Parent:
    """The model from which a model was adapted to a laboratory, and the laboratory's cells.

    Attributes
    ----------
    file_name, sha256 : str
        Of the parent.
    parasitized, uninfected, groups : int
        Labelled cells of the laboratory, and the patients or fields that they come from.
    roc_auc : tuple of float
        Before and after, on the laboratory's cells (cross-validated).
    home_roc_auc : tuple of float
        On validation patients, of the model that the first adaptation began with, and after this one.
    """

    file_name: str
    sha256: str
    parasitized: int
    uninfected: int
    groups: int
    roc_auc: tuple[float, float]
    home_roc_auc: tuple[float, float]

    def __str__(self) -> str:
        """Description for readers."""
        cells = self.parasitized + self.uninfected
        return (
            f"to a laboratory with {cells} cells ({self.parasitized} parasitized) from {self.file_name} "
            f"{self.sha256[:6]}…; the test cells are those of the laboratory, cross-validated"
        )


@dataclass(frozen=True)
class ModelMetadata:
    """Content of ``export.json``.

    Attributes
    ----------
    architecture : str
        The network's name in :mod:`malaria_detect.designs`.
    resize, input_size : int
        In px.
    mean, std, preprocess : tuple
        See :class:`malaria_detect.inference.input.InputTransform`.
    settings : dict
        Settings of the training run.
    logits_sha256 : str
        SHA-256 of the file with the logits of validation and test cells. Everything below is computed from it. Empty
        for an adapted model, which keeps temperature and thresholds.
    temperature : float
        Logits are divided by it to calibrate probabilities; fitted on validation patients, 1 if that failed.
    default_point : str
        Name of the operating point that is used if none is chosen.
    roc, ece_raw : tuple, float
        ROC curve and, before calibration, expected calibration error on test patients.
    reliability_raw, reliability : tuple of ReliabilityBin
        On test patients, before and after calibration.
    borrowed : dict of str to tuple of str
        Names of the fields of other laboratories whose uninfected cells were trained on, by laboratory. Every second
        one of its other fields, in the order of their names, is for choosing, the rest for scoring; see
        :func:`malaria_detect.training.borrowed.scored_fields`.
    screened : dict of str to int
        Number of further pictures to which the screen of foreign pictures was fitted, by folder; see
        :class:`malaria_detect.training.screen.FurtherPictures`.
    expectations : dict of str to str
        What to expect in other laboratories, a sentence for each.
    corrected_test : Scores or None
        At the default operating point on test patients with corrected labels; None if no label was corrected.
    references_sha256 : str or None
        SHA-256 of the :mod:`references <malaria_detect.inference.references>`; None for a model without them.
    graph_sha256 : str or None
        SHA-256 of the :mod:`runtime form <malaria_detect.inference.graph>`; None until it is made.
    parent : Parent or None
        For a model that was adapted to a laboratory: ``test`` and all scores on test patients are then those of the
        laboratory's cells, cross-validated.
    """

    schema_version: int
    file_name: str
    sha256: str
    size_bytes: int
    architecture: str
    classes: tuple[str, ...]
    resize: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: StartWeights
    data_fingerprint: str
    split: str
    seed: int
    train: Side
    valid: Side
    test: Side
    versions: dict[str, str]
    settings: dict[str, Any]
    history: tuple[Epoch, ...]
    logits_sha256: str
    temperature: float
    operating_points: tuple[OperatingPoint, ...]
    default_point: str
    uncertainty: Uncertainty
    roc: tuple[tuple[float, float], ...]
    reliability_raw: tuple[ReliabilityBin, ...]
    reliability: tuple[ReliabilityBin, ...]
    ece_raw: float
    corrected_test: Scores | None
    created: str
    licence: str
    intended_use: str
    preprocess: tuple[str, ...] = ()
    borrowed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    expectations: dict[str, str] = field(default_factory=dict)
    references_sha256: str | None = None
    graph_sha256: str | None = None
    screened: dict[str, int] = field(default_factory=dict)
    parent: Parent | None = None

    def __post_init__(self) -> None:
        """Check values that no model can have."""
        if len(self.sha256) != 64:
            raise ValueError("sha256 must have 64 hexadecimal digits")
        if not self.temperature > 0:
            raise ValueError("temperature must be above 0")
        if self.default_point not in [point.name for point in self.operating_points]:
            raise ValueError("default_point must be one of the operating points")

    @property
    def labels_learnt(self) -> str:
        """Labels of the training cells: ``published``, ``corrected``, or what was learnt instead of these."""
        labels = "corrected" if CORRECTED in self.data_fingerprint else "published"
        if BELIEVED in self.data_fingerprint:
            return f"mean of {labels} label and cross-validated probability"
        return labels

    @property
    def calibrated(self) -> bool:
        """Whether a temperature was fitted; a fitted one is never exactly 1."""
        return self.temperature != 1

    @property
    def input_transform(self) -> "InputTransform":
        """How an image becomes the network's input."""
        # SciPy takes memory, and reading metadata needs none of it.
        from malaria_detect.inference.input import InputTransform

        return InputTransform(self.resize, self.input_size, self.mean, self.std, self.preprocess)

    def point(self, name: str | None = None) -> OperatingPoint:
        """Operating point of a name; the default one without a name.

        Raises
        ------
        MetadataError
            ``unknown_operating_point``
        """
        for point in self.operating_points:
            if point.name == (self.default_point if name is None else name):
                return point
        known = ", ".join(point.name for point in self.operating_points)
        message = f"{self.file_name} has no operating point {name!r}. Choose one of {known}."
        raise MetadataError(message, reason="unknown_operating_point")


def field_point(metadata: ModelMetadata) -> str:
    """Name of the operating point for whole fields: ``counting``, or the default one of a model without it.

    Most cells of a slide are uninfected, so the specificity decides what a low parasitemia reads.
    """
    names = [point.name for point in metadata.operating_points]
    return "counting" if "counting" in names else metadata.default_point
