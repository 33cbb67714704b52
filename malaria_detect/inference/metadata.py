"""The metadata ``export.json``: what ``export.pkl`` is, what it was trained on, and how well it does.

``export.pkl`` is a pickle: opening it runs what is in it. So the metadata is read first, and the model is only opened
where its SHA-256 is the one that stands there; and, where :data:`PIN_VARIABLE` is set, the one that stands in it.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import RecordError, from_json
from malaria_detect.metrics import PatientCounts, ReliabilityBin, Scores

if TYPE_CHECKING:
    from malaria_detect.inference.input import InputTransform

# In the fingerprint of cells whose labels were corrected, before that of the corrections.
CORRECTED = " corrected "
SCHEMA_VERSION = 3
# Whoever can change both files on a server can still not change what is opened, where this holds the model's SHA-256.
PIN_VARIABLE = "MALARIA_DETECT_SHA256"
RESEARCH_USE = "For Research Use Only. Not for use in diagnostic procedures."
_MEND = "take both files from one release, or train anew with `malaria-detect train`"
EPOCH_SCORES = ("train_loss", "valid_loss", "accuracy", "precision", "recall", "f1", "roc_auc")


class MetadataError(MalariaDetectError):
    """A model and its metadata are missing, damaged, or do not belong together."""


@dataclass(frozen=True)
class StartWeights:
    """What the network started from.

    ``source`` is imagenet, file or none; ``sha256`` is that of a file; ``loaded`` and ``missing`` count tensors;
    ``identity_blocks`` names the residual blocks that got nothing and started as the identity.
    """

    source: str
    name: str
    sha256: str
    loaded: int
    missing: int
    identity_blocks: tuple[str, ...]

    def __str__(self) -> str:
        """What a reader is told of it."""
        if self.source == "none":
            return "random weights"
        return (
            f"{self.name}, which filled {self.loaded} of {self.loaded + self.missing} tensors of the network"
        )


@dataclass(frozen=True)
class Side:
    """One side of the split: its cells, and the patient groups that they come from."""

    cells: int
    parasitized: int
    uninfected: int
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Epoch:
    """One epoch of training; ``epoch`` counts from 1, ``size`` is in pixels, the metrics are on validation patients."""

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
    """A threshold for a purpose, chosen on validation patients, and what it gave on them and on test patients.

    Attributes
    ----------
    name : str
        screening, balanced or counting.
    rule : str
        How the threshold was chosen, as a sentence.
    threshold : float
        A cell is called parasitized where its calibrated probability is at least this.
    validation, test : Scores
        Of calibrated probabilities, on the patients that the threshold was chosen on, and on the others.
    patients : tuple of PatientCounts
        The test patients one by one.
    """

    name: str
    rule: str
    threshold: float
    validation: Scores
    test: Scores
    patients: tuple[PatientCounts, ...]

    def __post_init__(self) -> None:
        """Refuse what no threshold can be."""
        if not 0 <= self.threshold <= 1:
            raise ValueError("threshold is not between 0 and 1")


@dataclass(frozen=True)
class Uncertainty:
    """Below which calibrated probability of its own decision a call is uncertain, and what such calls are worth.

    Attributes
    ----------
    below : float
        Chosen on validation patients, so that a tenth of their cells is uncertain at the default operating point.
    validation_share, test_share : float
        Share of the cells that are uncertain.
    validation_caught, test_caught : float
        Share of the wrong calls that are uncertain.
    """

    below: float
    validation_share: float
    validation_caught: float
    test_share: float
    test_caught: float


@dataclass(frozen=True)
class ModelMetadata:
    """All that is known of an exported model; see the README for how to read it.

    Attributes
    ----------
    architecture : str
        The network's name in :mod:`malaria_detect.designs`.
    resize, input_size : int
        In px.
    mean, std : tuple of float
        Of RGB in 0 to 1.
    settings : dict
        Those of the training run.
    logits_sha256 : str
        SHA-256 of the file with the logits of validation and test cells, from which all that follows was computed.
    temperature : float
        The network's logits are divided by it, which makes its probabilities calibrated; fitted on validation patients;
        1 where none could be fitted.
    operating_points : tuple of OperatingPoint
    default_point : str
        Name of the one that is used where nobody chooses.
    roc : tuple of (float, float)
        ROC curve on test patients.
    reliability_raw, reliability : tuple of ReliabilityBin
        On test patients, before and after the temperature.
    ece_raw : float
        Expected calibration error on test patients before the temperature; the one after stands in the scores.
    corrected_test : Scores or None
        At the default operating point on test patients, with labels as corrected; None where none was.
    preprocess : tuple of str
        What is done to a picture first, see :mod:`malaria_detect.data.preprocessing`.
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

    def __post_init__(self) -> None:
        """Refuse what no model can be."""
        if len(self.sha256) != 64:
            raise ValueError("sha256 is not 64 hexadecimal digits")
        if not self.temperature > 0:
            raise ValueError("temperature is not above 0")
        if self.default_point not in [point.name for point in self.operating_points]:
            raise ValueError("default_point is none of the operating points")

    @property
    def labels_learnt(self) -> str:
        """``published`` or, with :mod:`malaria_detect.data.corrections`, ``corrected``: what the training cells had."""
        return "corrected" if CORRECTED in self.data_fingerprint else "published"

    @property
    def calibrated(self) -> bool:
        """Whether a temperature could be fitted; a fitted one is never exactly 1."""
        return self.temperature != 1

    @property
    def input_transform(self) -> "InputTransform":
        """How an image becomes the network's input."""
        # torch takes seconds to import, and reading metadata needs none of it.
        from malaria_detect.inference.input import InputTransform

        return InputTransform(self.resize, self.input_size, self.mean, self.std, self.preprocess)

    def point(self, name: str | None = None) -> OperatingPoint:
        """One of the operating points; without a name the default one.

        Raises
        ------
        MetadataError
            Where the model has no operating point of that name.
        """
        for point in self.operating_points:
            if point.name == (name or self.default_point):
                return point
        known = ", ".join(point.name for point in self.operating_points)
        raise MetadataError(f"{self.file_name} has no operating point {name!r}: choose one of {known}.")


def metadata_path(model_path: str | os.PathLike[str]) -> Path:
    """Where a model's metadata lies: beside it, ending in ``.json``."""
    return Path(model_path).with_suffix(".json")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_metadata(model_path: str | os.PathLike[str] = "export.pkl") -> ModelMetadata:
    """Read a model's metadata and check that the model is the one it was written for; nothing is unpickled.

    Parameters
    ----------
    model_path : path
        The exported learner; the metadata lies beside it.

    Raises
    ------
    MetadataError
        Where one of the two is missing, the metadata cannot be understood, the SHA-256 differs, or it is not the one
        that the environment's ``MALARIA_DETECT_SHA256`` asks for.
    """
    return read_model(model_path)[0]


def read_model(model_path: str | os.PathLike[str]) -> tuple[ModelMetadata, bytes]:
    """Read metadata and the bytes of its model, which are those that were checked.

    Parameters and errors are those of :func:`read_metadata`.
    """
    model, path = Path(model_path), metadata_path(model_path)
    for needed in (model, path):
        if not needed.is_file():
            raise MetadataError(
                f"{needed} is missing: a model is the pair {model.name} and {path.name}; {_MEND}."
            )
    try:
        data, text = model.read_bytes(), path.read_text(encoding="utf-8")
    except OSError as error:
        raise MetadataError(f"{model} and {path.name} cannot be read ({error.strerror}); {_MEND}.") from error
    try:
        content = json.loads(text)
        version = content["schema_version"]
        if version not in (2, SCHEMA_VERSION):
            raise MetadataError(
                f"{path} has schema version {version}; this program reads version {SCHEMA_VERSION}; {_MEND}."
            )
        metadata = from_json(ModelMetadata, _migrated(content))
    except (ValueError, KeyError, TypeError, RecordError) as error:
        raise MetadataError(f"{path} is no metadata of a model ({error!r}); {_MEND}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != metadata.sha256:
        raise MetadataError(
            f"{model} is not the file that {path.name} was written for (SHA-256 {found[:12]}… instead of "
            f"{metadata.sha256[:12]}…), so it is not opened; {_MEND}."
        )
    _check_pin(model, found)
    return metadata, data


def _migrated(content: dict[str, Any]) -> dict[str, Any]:
    """Metadata of schema version 2 (written before 2026-11-29) under the names of version 3."""
    if content["schema_version"] == 2:
        content = {**content, "schema_version": SCHEMA_VERSION, "uncertainty": content["doubt"]}
        del content["doubt"]
    return content


def _check_pin(model: Path, found: str) -> None:
    pin = os.environ.get(PIN_VARIABLE)
    if pin is None:
        return
    wanted = pin.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise MetadataError(
            f"{PIN_VARIABLE} is {pin!r}, so no model is opened: wanted are the 64 hexadecimal digits of a model's "
            "SHA-256; mend it, or unset it to open any model that has its metadata."
        )
    if found != wanted:
        raise MetadataError(
            f"{model} is not the model that {PIN_VARIABLE} asks for (SHA-256 {found[:12]}… instead of "
            f"{wanted[:12]}…), so it is not opened; take the files of that release, or change the variable."
        )
