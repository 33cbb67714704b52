"""The last step of training a cell finder: choose its threshold on validation patients and write its files."""

import copy
import hashlib
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from malaria_detect.core.atomic import replaced
from malaria_detect.core.json_io import to_json
from malaria_detect.core.versions import library_versions, today
from malaria_detect.fields.cell import KINDS, RED_CELL
from malaria_detect.fields.finder_files import SCHEMA_VERSION, FinderMetadata, open_engine
from malaria_detect.fields.maps import DIAMETER, MULTIPLE, Maps, network_input, white_level
from malaria_detect.fields.outlines import Stars, shared_areas, stars_of, without_duplicates
from malaria_detect.fields.synthetic import FieldSettings, SyntheticField, synthetic_field
from malaria_detect.inference.engine import Engine
from malaria_detect.inference.graph import Graph, members
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.training.convert import recorded
from malaria_detect.training.finder import TrainedFinder
from malaria_detect.training.finder_network import FinderNetwork
from malaria_detect.training.finder_settings import FinderSettings
from malaria_detect.training.finder_targets import star

_THRESHOLDS = np.arange(0.2, 0.71, 0.05)
# Of the F1 score: differences that do not matter.
_TOLERANCE = 0.002
_WIDTH, _HEIGHT = 640, 480
# An outline is that of a known cell if they share at least half of their union.
_SAME = 0.5


def export_finder(
    path: Path, trained: TrainedFinder, settings: FinderSettings, fingerprint: str
) -> FinderMetadata:
    """Choose the threshold on synthetic fields of validation patients, and write the files.

    Weights are rounded to float16.

    Parameters
    ----------
    path : path
        File of the weights; the graph and the metadata are written beside it.
    trained : TrainedFinder
    settings : FinderSettings
    fingerprint : str
        Of the cells.
    """
    weights = _archived(trained.network)
    graph = graph_of_finder(trained.network, weights)
    threshold, score = best_threshold(open_engine(graph, weights), trained, settings)
    metadata = FinderMetadata(
        schema_version=SCHEMA_VERSION,
        file_name=path.name,
        sha256=hashlib.sha256(weights).hexdigest(),
        size_bytes=len(weights),
        threshold=threshold,
        threshold_f1=score,
        settings=asdict(settings) | {"held_out": list(settings.held_out)},
        history=[asdict(epoch) for epoch in trained.history],
        start=trained.start,
        data_fingerprint=fingerprint,
        versions=library_versions(),
        created=today(),
        licence="Apache-2.0",
        intended_use=f"{RESEARCH_USE} Cells in photographs of stained thin smears.",
        graph_sha256=hashlib.sha256(graph.content()).hexdigest(),
    )
    # Replaced from the last to the first, so that the metadata comes when the others are there.
    with (
        replaced(path.with_suffix(".json")) as metadata_file,
        replaced(path) as weights_file,
        replaced(path.with_suffix(".graph")) as graph_file,
    ):
        weights_file.write_bytes(weights)
        graph_file.write_bytes(graph.content())
        metadata_file.write_text(to_json(metadata), encoding="utf-8")
    return metadata


def graph_of_finder(network: FinderNetwork, weights: bytes) -> Graph:
    """The runtime form of a cell finder; `weights` is the archive of its state dict in float16."""
    side = 4 * MULTIPLE
    names = list(Maps.__dataclass_fields__)
    watched = _AsTuple(copy.deepcopy(network).float().eval())
    return recorded(watched, members(weights), (1, 3, side, side), (1, 3, -1, -1), names)


class _AsTuple(torch.nn.Module):
    """The network with its maps as a tuple, because only tensors can be recorded."""

    def __init__(self, network: FinderNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(vars(self.network(pictures)).values())


def _archived(network: FinderNetwork) -> bytes:
    data = io.BytesIO()
    weights: dict[str, Any] = network.state_dict()
    torch.save({name: one.half() if one.is_floating_point() else one for name, one in weights.items()}, data)
    return data.getvalue()


def best_threshold(engine: Engine, trained: TrainedFinder, settings: FinderSettings) -> tuple[float, float]:
    """Threshold for red cells on synthetic fields, and its F1 score.

    The lowest one whose F1 score is practically the best: cells of another laboratory, whose look was not drawn, get
    lower values. Cells that touch the edge are left out, as they are in counts.
    """
    counts = np.zeros((len(_THRESHOLDS), 3))
    size = FieldSettings(_WIDTH, _HEIGHT, DIAMETER)
    for number in range(settings.valid_fields):
        field = synthetic_field(trained.validation, settings.seed + 1000 + number, size)
        maps = Maps(**engine(network_input(field.pixels, white_level(field.pixels))[None]))
        found = without_duplicates(stars_of(maps, float(_THRESHOLDS[0])))
        counts += _counts(found[found.kinds == KINDS.index(RED_CELL)], field)
    hits, found_cells, true_cells = counts.T
    scores = 2 * hits / np.maximum(found_cells + true_cells, 1)
    best = int(np.argmax(scores >= scores.max() - _TOLERANCE))
    return round(float(_THRESHOLDS[best]), 3), round(float(scores[best]), 4)


def _counts(found: Stars, field: SyntheticField) -> np.ndarray:
    """Found cells that are known ones, found cells, and known cells, for each threshold; without those at the edge."""
    red = [cell for cell in field.cells if cell.kind == RED_CELL]
    shapes = [star(cell) for cell in red]
    known = Stars(
        np.array([(x, y) for x, y, _ in shapes]).reshape(-1, 2),
        np.array([radii for *_, radii in shapes]).reshape(-1, found.radii.shape[1]),
        np.ones(len(red)),
        np.zeros(len(red), dtype=int),
    )
    shared = shared_areas(found, known)
    at_edge = np.array([cell.on_edge for cell in red], dtype=bool)
    reach = found.radii.max(axis=1, initial=0)
    x, y = found.centres.T
    cut = (np.minimum(x, _WIDTH - x) < reach) | (np.minimum(y, _HEIGHT - y) < reach)
    counts = np.zeros((len(_THRESHOLDS), 3))
    for row, threshold in enumerate(_THRESHOLDS):
        certain = found.scores >= threshold
        rows, columns = linear_sum_assignment(-shared[certain])
        same = shared[certain][rows, columns] >= _SAME
        of_edge = cut[certain]
        of_edge[rows[same]] = at_edge[columns[same]]
        hits = int((~at_edge[columns[same]]).sum())
        counts[row] = hits, int((~of_edge).sum()), int((~at_edge).sum())
    return counts
