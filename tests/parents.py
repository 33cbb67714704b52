"""A model that can be adapted: the shipped network with references that are made up."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from malaria_detect.core.json_io import to_json
from malaria_detect.inference.foreign import Screen
from malaria_detect.inference.graph import Graph, members
from malaria_detect.inference.head import Head
from malaria_detect.inference.model_files import (
    graph_path,
    metadata_path,
    read_metadata,
    references_path,
    sha256_of,
)
from malaria_detect.inference.references import (
    TRAINING,
    VALIDATION,
    References,
    write_references,
)

CELLS = 480
LAYERS = 1920  # channels of a resnet34's stages, twice


def write_parent(shipped: Path, model: Path, certain: bool = False) -> None:
    """Copy the shipped model, with references whose labels are mostly what the network says.

    Of them it can be `certain`; then it forgets little, whatever it learns. Its screen lets everything pass.
    """
    for path in (shipped, graph_path(shipped)):
        shutil.copy(path, model.with_suffix(path.suffix))
    random = np.random.default_rng(0)
    features = random.exponential(size=(CELLS * (6 if certain else 1), 1024)).astype(np.float32)
    head = Head.of(Graph.read(graph_path(shipped).read_bytes()), members(shipped.read_bytes()))
    assert head is not None
    odds = head.log_odds(features)
    if certain:
        order = np.argsort(odds)
        kept = random.permutation([*order[: CELLS // 2], *order[-CELLS // 2 :]])
        features, odds = features[kept], odds[kept]
    references = References(
        features=features,
        parasitized=odds > np.median(odds) + odds.std() * random.normal(size=CELLS) / 4,
        files=tuple(f"reference {n}" for n in range(CELLS)),
        groups=tuple(f"patient {n % 40}" for n in range(CELLS)),
        part=(TRAINING, VALIDATION) * (CELLS // 2),
        screen=Screen(np.zeros(LAYERS, np.float32), -1.0, 1.0),
    )
    write_references(references, references_path(model))
    digest = sha256_of(references_path(model))
    metadata = replace(read_metadata(shipped), file_name=model.name, references_sha256=digest)
    metadata_path(model).write_text(to_json(metadata), encoding="utf-8")
