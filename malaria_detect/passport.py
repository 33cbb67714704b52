"""The passport ``export.json``: what ``export.pkl`` is, what it was trained on, and how well it does.

``export.pkl`` is a pickle: opening it runs what is in it. So the passport is read first, and the model is only opened
where its SHA-256 is the one that stands there.
"""

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from malaria_detect.errors import MalariaDetectError
from malaria_detect.metrics import Estimate, Scores

SCHEMA_VERSION = 1
RESEARCH_USE = "For Research Use Only. Not for use in diagnostic procedures."
_MEND = "take both files from one release, or train anew with `malaria-detect train`"
EPOCH_SCORES = ("train_loss", "valid_loss", "accuracy", "precision", "recall", "f1", "roc_auc")


class PassportError(MalariaDetectError):
    """A model and its passport are missing, damaged, or do not belong together."""


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
class Passport:
    """All that is known of an exported model; see the README for how to read it.

    ``resize`` and ``input_size`` are in pixels, ``mean`` and ``std`` of RGB in 0 to 1. ``threshold`` is the least
    probability of parasitized that is called so. ``settings`` are those of the training run.
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
    validation_scores: Scores
    test_scores: Scores
    threshold: float
    created: str
    licence: str
    intended_use: str

    def __post_init__(self) -> None:
        """Refuse what no model can be."""
        if not isinstance(self.sha256, str) or len(self.sha256) != 64:
            raise ValueError("sha256 is not 64 hexadecimal digits")
        if not isinstance(self.threshold, float) or not 0 <= self.threshold <= 1:
            raise ValueError("threshold is not between 0 and 1")


def passport_path(model_path: str | os.PathLike[str]) -> Path:
    """Where a model's passport lies: beside it, ending in ``.json``."""
    return Path(model_path).with_suffix(".json")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_passport(model_path: str | os.PathLike[str] = "export.pkl") -> Passport:
    """Read a model's passport and check that the model is the one it was written for; nothing is unpickled.

    Parameters
    ----------
    model_path : path
        The exported learner; the passport lies beside it.

    Raises
    ------
    PassportError
        Where one of the two is missing, the passport cannot be understood, or the SHA-256 differs.
    """
    return read_model(model_path)[0]


def read_model(model_path: str | os.PathLike[str]) -> tuple[Passport, bytes]:
    """Read a passport and the bytes of its model, which are those that were checked.

    Parameters and errors are those of :func:`read_passport`.
    """
    model, path = Path(model_path), passport_path(model_path)
    for needed in (model, path):
        if not needed.is_file():
            raise PassportError(
                f"{needed} is missing: a model is the pair {model.name} and {path.name}; {_MEND}."
            )
    try:
        data, text = model.read_bytes(), path.read_text(encoding="utf-8")
    except OSError as error:
        raise PassportError(f"{model} and {path.name} cannot be read ({error.strerror}); {_MEND}.") from error
    try:
        content = json.loads(text)
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise PassportError(
                f"{path} has the schema version {version}, and this program reads version {SCHEMA_VERSION}; {_MEND}."
            )
        passport = _from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PassportError(f"{path} is no passport of a model ({error!r}); {_MEND}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != passport.sha256:
        raise PassportError(
            f"{model} is not the file that {path.name} was written for (SHA-256 {found[:12]}… instead of "
            f"{passport.sha256[:12]}…), so it is not opened; {_MEND}."
        )
    return passport, data


def to_json(passport: Passport) -> str:
    """A passport as the text of ``export.json``."""
    return json.dumps(_without_nan(asdict(passport)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: a score that is not defined stands as null."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(numbers: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: math.nan if value is None and key in names else value for key, value in numbers.items()}


def _from_json(content: dict[str, Any]) -> Passport:
    known = dict(content)
    for name in ("classes", "mean", "std"):
        known[name] = tuple(known[name])
    weights = known["weights"]
    known["weights"] = StartWeights(**{**weights, "identity_blocks": tuple(weights["identity_blocks"])})
    for name in ("train", "valid", "test"):
        known[name] = Side(**{**known[name], "groups": tuple(known[name]["groups"])})
    known["history"] = tuple(Epoch(**_with_nan(epoch, EPOCH_SCORES)) for epoch in known["history"])
    for name in ("validation_scores", "test_scores"):
        scores = known[name]
        known[name] = Scores(
            **{
                **scores,
                "estimates": {
                    key: Estimate(**_with_nan(estimate, ("value", "low", "high")))
                    for key, estimate in scores["estimates"].items()
                },
                "roc": tuple(tuple(point) for point in scores["roc"]),
            }
        )
    return Passport(**known)
