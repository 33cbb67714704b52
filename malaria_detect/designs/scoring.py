"""The trained designs of a comparison, with their log-odds on held-out cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.core.versions import today
from malaria_detect.data.corrections import BELIEVED
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.designs.changed import phrases
from malaria_detect.designs.comparison import OURS, ComparisonError
from malaria_detect.designs.handcrafted import FeatureDesign, train_features
from malaria_detect.designs.resnet50v2 import STAGES
from malaria_detect.designs.timing import LogOdds
from malaria_detect.inference.calibrate import Logits, assess
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.graph import Graph
from malaria_detect.inference.held_out import batches_of
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.metadata import Epoch, ModelMetadata, StartWeights
from malaria_detect.inference.model_files import read_metadata, read_model
from malaria_detect.inference.runtime import graph_content, open_classifier
from malaria_detect.metrics import scaled
from malaria_detect.training.described import DescribedDesign
from malaria_detect.training.export import export
from malaria_detect.training.fit import fit
from malaria_detect.training.learner import open_learner
from malaria_detect.training.recalibrate import logits_of
from malaria_detect.training.run import TrainingRun
from malaria_detect.training.settings import recorded

_ROUNDED = 96  # cells
# The settings that define the split.
_OF_THE_SPLIT = ("seed", "valid", "test")


@dataclass(frozen=True, eq=False)
class ScoredDesign:
    """A trained design.

    Attributes
    ----------
    held_out : Logits
        Of the cells that it is scored on.
    temperature, threshold : float
        Chosen on validation cells.
    log_odds : callable
        From RGB images to log-odds of parasitized, not calibrated.
    parameters, input_size, training_seconds, rounding, sha256, created, settings, start, history, changed
        As in :class:`malaria_detect.designs.comparison.Trained`.
    """

    design: DescribedDesign
    held_out: Logits
    temperature: float
    threshold: float
    log_odds: LogOdds
    parameters: int
    input_size: int | None
    training_seconds: float
    rounding: float | None
    sha256: str | None
    created: str
    settings: dict[str, Any]
    start: StartWeights | None
    history: tuple[Epoch, ...]
    changed: tuple[str, ...]

    def probability(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        """Calibrated probability of parasitized for RGB images, (N,)."""
        return scaled(self.log_odds(images), self.temperature)


def score_network(run: TrainingRun, shipped: Path | None = None) -> ScoredDesign:
    """Train a network, or take its finished model, which is next to ``run.work``.

    `shipped`, a model of the shipped design, is used instead if it was trained on the same cells and the same split.

    A finished model of another run raises ComparisonError.
    """
    model = run.work.with_name(f"{run.work.name}.pkl")
    if run.design.name == OURS and shipped is not None and same_split(read_metadata(shipped), run):
        model = shipped
    elif model.is_file():
        _check_finished(model, read_metadata(model), run)
    else:
        export(fit(run), run, model)
    metadata, content = read_model(model)
    network, transform = open_learner(content).model, metadata.input_transform
    _check_layers(model, network, run)
    exact = Classifier.open(Graph.read(graph_content(model, metadata)), content, exact=True)
    log_odds = _by(open_classifier(model, metadata, content), transform)

    return ScoredDesign(
        design=run.design,
        held_out=logits_of(model, metadata)[1],
        temperature=metadata.temperature,
        threshold=metadata.point().threshold,
        log_odds=log_odds,
        parameters=sum(tensor.numel() for tensor in network.parameters()),
        input_size=metadata.input_size,
        training_seconds=sum(epoch.seconds for epoch in metadata.history),
        rounding=_rounding(log_odds, _by(exact, transform), run, metadata.temperature),
        sha256=metadata.sha256,
        created=metadata.created,
        settings=metadata.settings,
        start=metadata.weights,
        history=metadata.history,
        changed=(*phrases(run.design, metadata), *cut_off(network)),
    )


def _by(classifier: Classifier, transform: InputTransform) -> LogOdds:
    def log_odds(images: Sequence[Image.Image]) -> NDArray[np.float64]:
        return np.concatenate([classifier.log_odds(batch) for batch in batches_of(images, transform)])

    return log_odds


def _rounding(log_odds: LogOdds, exact: LogOdds, run: TrainingRun, temperature: float) -> float:
    positions = run.split.test[:: max(1, len(run.split.test) // _ROUNDED)][:_ROUNDED]
    images = [read_image(run.cells[index].path) for index in positions]
    rounded, unrounded = (scaled(one(images), temperature) for one in (log_odds, exact))
    return round(float(np.abs(rounded - unrounded).max()), 5)


def score_features(design: FeatureDesign, run: TrainingRun) -> ScoredDesign:
    """Train a design without a network on the cells of a run, whose own design is not used."""

    def images(positions: Sequence[int], name: str) -> tuple[list[Cell], list[Image.Image]]:
        cells = [run.cells[index] for index in positions]
        shown = tqdm(cells, f"{design.name}: {name} cells", unit="cell", disable=not run.progress)
        return cells, [read_image(cell.path) for cell in shown]

    def logits(positions: Sequence[int], name: str) -> Logits:
        cells, pictures = images(positions, name)
        labels = tuple(cell.label for cell in cells)
        values = trained.log_odds(pictures).tolist()
        names, groups = tuple(cell.name for cell in cells), tuple(cell.group for cell in cells)
        return Logits(names, groups, labels, labels, tuple(values))

    taught, pictures = images(run.split.train, "training")
    parasitized = np.array([cell.label == CLASSES[0] for cell in taught])
    trained = train_features(design, pictures, parasitized, run.settings.seed)
    held_out = logits(run.split.test, "test")
    found = assess(logits(run.split.valid, "validation"), held_out)
    return ScoredDesign(
        design=design,
        held_out=held_out,
        temperature=found.temperature,
        threshold=next(p.threshold for p in found.operating_points if p.name == found.default_point),
        log_odds=trained.log_odds,
        parameters=design.size(trained.classifier),
        input_size=None,
        training_seconds=round(trained.seconds, 1),
        rounding=None,
        sha256=None,
        created=today(),
        settings={},
        start=None,
        history=(),
        changed=(),
    )


def cut_off(network: nn.Module) -> tuple[str, ...]:
    """Phrases for trunks that lack stages, because the file of their weights ends early."""
    counts = (
        len(list(part.children())) for name, part in network.named_modules() if name.endswith(".stages")
    )
    return tuple(
        f"the pretrained network was cut after stage {count} of {STAGES}"
        for count in counts
        if count < STAGES
    )


def same_split(metadata: ModelMetadata, run: TrainingRun) -> bool:
    """Whether a model of the shipped design was trained on the cells of a run, with the same split.

    It may have learnt softened labels of these cells, and cells of other laboratories: the row says so.
    """
    shares = [metadata.settings.get(name) for name in _OF_THE_SPLIT]
    cells = metadata.data_fingerprint.partition(BELIEVED)[0]
    found = metadata.architecture, cells, metadata.split, metadata.preprocess, shares, metadata.parent
    expected = [getattr(run.settings, name) for name in _OF_THE_SPLIT]
    return found == (OURS, run.data.fingerprint, run.how, (), expected, None)


def _check_layers(model: Path, network: nn.Module, run: TrainingRun) -> None:
    """Refuse a finished model that was made before the layers of its design changed."""
    if run.design.has_fastai_head:
        return
    wanted, found = (
        {name: tensor.shape for name, tensor in one.state_dict().items()}
        for one in (run.design.start(run.settings.weights).network, network)
    )
    if wanted != found:
        raise ComparisonError(
            f"{model} has other layers than {run.design.name} today. Delete it, or choose another --work.",
            "other_settings",
        )


def _check_finished(model: Path, metadata: ModelMetadata, run: TrainingRun) -> None:
    before = {**metadata.settings, "cells": metadata.data_fingerprint}
    now = {**recorded(run.settings), "cells": run.data.fingerprint}
    # Files of weights are compared by their content.
    names = {**before, **now}
    differing = [name for name in names if name != "weights" and now.get(name) != before.get(name)]
    if metadata.weights.source != "none" and run.design.start(run.settings.weights).start != metadata.weights:
        differing.append("weights")
    if differing:
        raise ComparisonError(
            f"{model} was trained with other settings ({', '.join(differing)}). Delete it, or choose another --work.",
            "other_settings",
        )
