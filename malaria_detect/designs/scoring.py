"""The networks of a comparison: trained, gone on with, or taken up as they lie there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logit

from malaria_detect.data.nlm_cells import Cell
from malaria_detect.data.splits import Split, grouped_split, random_split
from malaria_detect.designs.comparison import GROUPED, OURS, ComparisonError
from malaria_detect.inference.calibrate import Logits
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.metrics import scaled
from malaria_detect.training.design import Design
from malaria_detect.training.export import BY_PATIENT, export, logits_of
from malaria_detect.training.fit import fit
from malaria_detect.training.settings import TrainSettings, recorded

# Those that cut the cells, which must be cut alike for all.
_OF_THE_SPLIT = ("seed", "valid", "test")


@dataclass(frozen=True)
class Entry:
    """A network that was trained: its file, its metadata, and its logits on the cells that it is scored on."""

    design: Design
    model: Path
    metadata: ModelMetadata
    held_out: Logits

    @property
    def threshold(self) -> float:
        """Of its calibrated probability, chosen on validation patients."""
        return self.metadata.point().threshold

    @property
    def probability(self) -> np.ndarray:
        """Calibrated, of each cell that it is scored on."""
        return self.held_out.probability(self.metadata.temperature)

    @property
    def shifted(self) -> np.ndarray:
        """Probabilities moved so that the threshold lies at .5, where two networks can be scored together."""
        logits = np.array(self.held_out.values) / self.metadata.temperature - logit(self.threshold)
        return scaled(logits, 1.0)


def entry_of(
    design: Design,
    settings: TrainSettings,
    cells: Sequence[Cell],
    fingerprint: str,
    work: Path,
    protocol: str,
    shipped: Path | None,
    progress: bool,
) -> Entry:
    """Train a network, go on with it, or take up its finished model; parameters as in ``compare``.

    Raises
    ------
    MalariaDetectError
        Where settings or weights do not serve, or a model in ``work`` is of another run.
    """
    if protocol == GROUPED:
        how = BY_PATIENT
        split = grouped_split(cells, settings.valid, settings.test, settings.seed)
    else:
        how, split = _authors_split(design, cells, settings.seed)
    run = work / (design.name if protocol == GROUPED else f"{design.name}-{protocol}")
    model = run.with_name(f"{run.name}.pkl")
    if protocol == GROUPED and design.name == OURS and shipped is not None:
        metadata = read_metadata(shipped)
        if stands_in(metadata, settings, fingerprint, how):
            return Entry(design, shipped, metadata, logits_of(shipped, metadata)[1])
    if model.is_file():
        metadata = read_metadata(model)
        _check_finished(model, metadata, design, settings, fingerprint)
    else:
        fitted = fit(
            cells,
            split,
            settings,
            run,
            fingerprint=fingerprint if protocol == GROUPED else f"{fingerprint} {how}",
            resume=(run / "checkpoint.pt").is_file(),
            progress=progress,
        )
        export(fitted, cells, split, settings, fingerprint, model, how=how, progress=progress)
        metadata = read_metadata(model)  # as it is read the next time
    return Entry(design, model, metadata, logits_of(model, metadata)[1])


def _authors_split(design: Design, cells: Sequence[Cell], seed: int) -> tuple[str, Split]:
    """An author's split; the held-out cells choose the epoch and are scored, as authors do it."""
    assert design.split is not None
    seed = seed if design.split.seed is None else design.split.seed
    cut = random_split(cells, valid=design.split.held_out, test=0.0, seed=seed)
    held_out = round(100 * design.split.held_out)
    how = (
        f"random {100 - held_out}/{held_out}, seed {seed}, patients on both sides; "
        "the test cells also chose epoch, temperature and thresholds"
    )
    return how, Split(cut.train, cut.valid, cut.valid)


def as_in_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as metadata has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def stands_in(metadata: ModelMetadata, settings: TrainSettings, fingerprint: str, how: str) -> bool:
    """Whether a model of ours was trained on the same cells, cut alike."""
    shares = [metadata.settings.get(name) for name in _OF_THE_SPLIT]
    return (
        metadata.architecture,
        metadata.data_fingerprint,
        metadata.split,
        metadata.preprocess,
        shares,
    ) == (
        OURS,
        fingerprint,
        how,
        (),
        [getattr(settings, name) for name in _OF_THE_SPLIT],
    )


def _check_finished(
    model: Path, metadata: ModelMetadata, design: Design, settings: TrainSettings, fingerprint: str
) -> None:
    """Refuse a finished model that is of another run than the one that is wanted."""
    before = {**metadata.settings, "cells": metadata.data_fingerprint}
    now = {**as_in_json(recorded(settings)), "cells": fingerprint}
    # Of weights it is the bytes that count.
    differing = [name for name in now if name != "weights" and now[name] != before.get(name)]
    if metadata.weights.source != "none" and design.start(settings.weights).start != metadata.weights:
        differing.append("weights")
    if differing:
        raise ComparisonError(
            f"{model} was trained with other settings ({', '.join(differing)}): remove it, or name another --work."
        )
