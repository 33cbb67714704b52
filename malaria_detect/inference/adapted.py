"""An adapted model: what it adds to its parent, and the parent's learner with that in it."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.json_io import ARRAY
from malaria_detect.core.versions import library_versions, today
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import Adaptation, AdaptError, SiteCells
from malaria_detect.inference.calibrate import Logits, assess_at
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.foreign import normalised
from malaria_detect.inference.graph import Graph, members, with_members
from malaria_detect.inference.head import Change
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
        assert parent.classifier is not None  # a remote detector asks another process
        known = parent.known
        if known is not None:
            taught = normalised(self.features)
            known = replace(
                known, taught=np.concatenate([known.taught, taught]) if len(known.taught) else taught
            )
        return Detector(parent.classifier.changed(self.change), self.metadata, known=known)


def adapted_learner(data: bytes, graph: Graph, change: Change) -> bytes:
    """An exported learner with another last layer; nothing is unpickled.

    Half of the change is for Parasitized, and half against Uninfected. The last layer has no bias: as when a model is
    trained, the bias of the last batch norm does its work, see :mod:`malaria_detect.training.centred`. The weights are
    rounded to float16, as in every exported learner.

    Parameters
    ----------
    data : bytes
        The parent's learner.
    graph : Graph
        The parent's runtime form, which is also that of the result.
    change : Change

    Raises
    ------
    AdaptError
        ``same_weights`` if a weight that changes has the same content as another one, which would change with it.
    """
    weights = members(data)
    norm, last = (graph.layer(weights, name) for name in graph.head[2:])
    rows = last["weight"].reshape(2, -1) + np.outer((0.5, -0.5), change.weights)
    direction = np.subtract(*rows.astype(np.float16).astype(np.float64))
    bias = norm["bias"] + change.bias * direction / (direction @ direction)
    changed = {
        graph.weights[f"{graph.head[3]}.weight"]: rows.astype(np.float16).tobytes(),
        graph.weights[f"{graph.head[2]}.bias"]: bias.astype(np.float16).tobytes(),
    }
    if any(number > 1 and member in changed for member, number in Counter(graph.weights.values()).items()):
        raise AdaptError(
            "Two layers of this model have the same weights, so it cannot be adapted.", "same_weights"
        )
    return with_members(data, changed)


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
