"""An adapted model: what it adds to its parent, before it is written to files and without them."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from malaria_detect.core.json_io import ARRAY
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import Adaptation, Change, SiteCells, last_layers
from malaria_detect.inference.calibrate import Logits, assess_at
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.foreign import normalised
from malaria_detect.inference.judge import Judgement, in_groups
from malaria_detect.inference.metadata import ModelMetadata, Parent, Side


@dataclass(frozen=True, eq=False)
class Adapted:
    """What an adapted model adds to its parent.

    Attributes
    ----------
    metadata : ModelMetadata
        Scores are its own; file name and SHA-256 are still those of the parent.
    change : Change
    features : numpy.ndarray
        float32, (N, 1024), of the laboratory's cells, which it knows in addition to those of its parent.
    """

    metadata: ModelMetadata
    change: Change
    features: Annotated[NDArray[np.float32], ARRAY]

    @classmethod
    def of(cls, adaptation: Adaptation, cells: SiteCells, judgement: Judgement) -> Self:
        """The model that a judgement is about."""
        return cls(adapted_metadata(adaptation, cells, judgement), judgement.change, cells.features)

    def detector(self, parent: Detector) -> Detector:
        """A detector that shares all of its parent's network but the last layer."""
        _, last = last_layers(parent.network)
        trunk, head = parent.network.children()
        assert isinstance(head, nn.Sequential)  # `last_layers` has checked it
        network = nn.Sequential(trunk, nn.Sequential(*head[:-1], changed(last, self.change)))
        network.eval().requires_grad_(False)
        known = parent.known
        if known is not None:
            taught = normalised(self.features)
            known = replace(
                known, taught=np.concatenate([known.taught, taught]) if len(known.taught) else taught
            )
        return Detector(network, self.metadata, known=known)


def changed(last: nn.Linear, change: Change) -> nn.Linear:
    """A network's last layer with a change: half of it for Parasitized, and against Uninfected."""
    new = nn.Linear(last.in_features, last.out_features)
    halves = torch.tensor([[0.5], [-0.5]])
    with torch.no_grad():
        new.weight.copy_(last.weight + halves * torch.from_numpy(change.weights).float())
        new.bias.copy_(halves[:, 0] * change.bias + (0 if last.bias is None else last.bias))
    return new


def adapted_metadata(adaptation: Adaptation, cells: SiteCells, judgement: Judgement) -> ModelMetadata:
    """Metadata of an adapted model, with the file name and hashes of its parent.

    Temperature and thresholds stay those of the parent. What its calls mean for a slide is not known from a few cells,
    so the operating points have no patients.
    """
    parent = adaptation.metadata
    parasitized = int(cells.parasitized.sum())
    before, after = (scores.estimates["roc_auc"].value for scores in (judgement.parent, judgement.adapted))
    home, own = (
        _logits(adaptation.home, adaptation.log_odds(adaptation.home.features, judgement.change)),
        _logits(in_groups(cells), judgement.log_odds),
    )
    thresholds = {point.name: (point.threshold, point.rule) for point in parent.operating_points}
    assessed = assess_at(home, own, parent.temperature, thresholds)
    points = tuple(replace(point, patients=()) for point in assessed.operating_points)
    return replace(
        parent,
        expectations={},  # the parent's say nothing of this model
        valid=_side(home),
        test=_side(own),
        parent=Parent(
            file_name=parent.file_name,
            sha256=parent.sha256,
            parasitized=parasitized,
            uninfected=len(cells.files) - parasitized,
            groups=len(set(cells.groups)),
            roc_auc=(before, after),
            home_roc_auc=(judgement.home_parent, judgement.home_adapted),
        ),
        versions=library_versions(),
        created=today(),
        logits_sha256="",
        **vars(replace(assessed, operating_points=points)),
    )


def _logits(cells: SiteCells, odds: NDArray[np.float64]) -> Logits:
    labels = tuple(np.where(cells.parasitized, *CLASSES).tolist())
    return Logits(cells.files, cells.groups, labels, labels, tuple(odds.tolist()))


def _side(logits: Logits) -> Side:
    parasitized = int(logits.parasitized.sum())
    cells = len(logits.files)
    return Side(cells, parasitized, cells - parasitized, tuple(sorted(set(logits.groups))))
