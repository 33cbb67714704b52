"""Cells that a model knows, as the network sees them: ``export.npz``, the third file of a model."""

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from malaria_detect.inference.foreign import KnownCells, Screen, normalised
from malaria_detect.inference.metadata import MetadataError, ModelMetadata
from malaria_detect.inference.model_files import read_metadata, references_content, references_path

TRAINING, VALIDATION, TAUGHT = "training", "validation", "taught"
_NAMES = ("files", "groups", "part")


@dataclass(frozen=True)
class References:
    """Cells of a model's own training and validation patients; all columns have the same length.

    Attributes
    ----------
    features : numpy.ndarray
        float32, (N, 1024): pooled features, see :class:`malaria_detect.inference.classifier.Seen`.
    parasitized : numpy.ndarray
        bool, (N,): published labels.
    files, groups : tuple of str
        Name of the cell's file, and its patient group.
    part : tuple of str
        ``training`` or ``validation``, or ``taught`` for cells of a laboratory to which the model was adapted.
    screen : Screen or None
        What is refused as foreign, and what comes from another site.
    """

    features: NDArray[np.float32]
    parasitized: NDArray[np.bool_]
    files: tuple[str, ...]
    groups: tuple[str, ...]
    part: tuple[str, ...]
    screen: Screen | None = None

    @property
    def known(self) -> KnownCells | None:
        """Training cells and taught cells, with which pictures are compared; None without a screen."""
        if self.screen is None:
            return None
        own, taught = (normalised(self.features[np.array(self.part) == part]) for part in (TRAINING, TAUGHT))
        return KnownCells(own, self.screen, taught)


def write_references(references: References, path: Path) -> None:
    """Write references, each feature as the square root of its place between its least and greatest value.

    Pooled activations are mostly small with a few large ones, so the root spends the 256 steps where the cells are.
    """
    lowest = references.features.min(axis=0)
    span = np.maximum(references.features.max(axis=0) - lowest, np.finfo(np.float32).tiny)
    screen = references.screen
    fitted = (
        {}
        if screen is None
        else {name: np.asarray(value, np.float32) for name, value in vars(screen).items()}
    )
    steps = np.rint(255 * np.sqrt((references.features - lowest) / span)).astype(np.uint8)
    with path.open("wb") as file:
        columns = {name: np.array(getattr(references, name)) for name in ("parasitized", *_NAMES)}
        np.savez_compressed(
            file, allow_pickle=False, steps=steps, lowest=lowest, span=span, **columns, **fitted
        )


def read_references(
    model_path: str | os.PathLike[str], metadata: ModelMetadata | None = None
) -> References | None:
    """References of a model, after checking that they belong to it; None for a model without them.

    Parameters
    ----------
    model_path : path
        The exported learner.
    metadata : ModelMetadata, optional
        Its metadata; without it, they are read and checked.

    Raises
    ------
    MetadataError
        With the ``reason`` ``missing``, ``unreadable``, ``wrong_sha256`` or ``invalid``, or those of
        :func:`malaria_detect.inference.model_files.read_metadata`.

    Examples
    --------
    >>> references = read_references("export.pkl")
    >>> references is None or references.features.dtype == np.float32
    True
    """
    data = references_content(model_path, metadata or read_metadata(model_path))
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data)) as stored:
            place = stored["steps"].astype(np.float32) / 255
            screen = None
            if "weights" in stored:
                names = [name for name in ("offset", "distance", "tolerance") if name in stored]
                screen = Screen(stored["weights"], **{name: float(stored[name]) for name in names})
            return References(
                features=stored["lowest"] + stored["span"] * place**2,
                parasitized=stored["parasitized"],
                **{name: tuple(stored[name].tolist()) for name in _NAMES},
                screen=screen,
            )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MetadataError(
            f"{references_path(model_path)} does not hold references ({error}). Use the files of one release.",
            "invalid",
        ) from error
