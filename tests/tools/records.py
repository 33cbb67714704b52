"""Made-up result files: metadata, two cross-validations and the benchmarks' reports, from drawn probabilities."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tools.model_card.render import BLOCKS
from tools.model_card.serving import SERVE_SPEED

from malaria_detect.core.json_io import to_json
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.designs.comparison import AUTHOR, BY_AUTHOR, DESIGNS, Comparison, Row, Trained
from malaria_detect.designs.comparison import GROUPED as BY_PATIENT
from malaria_detect.evaluation.cross_validation import HeldOut, Run, write_held_out
from malaria_detect.evaluation.literature import PUBLISHED
from malaria_detect.inference.calibrate import Logits, assess
from malaria_detect.inference.metadata import SCHEMA_VERSION, Epoch, ModelMetadata, Side, StartWeights
from malaria_detect.inference.model_files import metadata_path, sha256_of
from malaria_detect.metrics import difference, scaled, score
from malaria_detect.training.reported import Reported
from tools.model_card.results import (
    BOOTSTRAP_SPEED,
    EXPLAIN_SPEED,
    GROUPED,
    PREDICT_SPEED,
    RANDOM,
    TRAIN_SPEED,
    WAYS_SPEED,
)

PROJECT = Path(__file__).resolve().parents[2]
START = StartWeights("file", "trunk.pth", "0" * 64, loaded=90, missing=12, identity_blocks=())
MACHINE = {"processor": "abacus", "bfloat16": False, "cores": 2, "torch": "2.14.1", "date": "2026-01-31"}
SERVE_REPORT: dict[str, Any] = {
    "pool": 2,
    "usable_ms": {"warm": 800.0, "cold": 2000.0, "plain": 5000.0},
    "answer_ms": {"ours": 50.0, "plain": 250.0, "plain_from_press": 200.0},
    "private_mb": {"ours": 40.0, "plain": 500.0},
    "without_visitors_mb": 600,
    "crowd": {"visitors": 20, "pictures": 5, "answered_longest_s": 3.21, "memory_mb": 1600},
    "series": {"visitors": 200, "growth_percent": -1.5},
    "bars": {
        "answer_ratio": {"value": 4.0, "at_least": 3, "met": True},
        "crowd_memory_mb": {"value": 1600, "at_most": 1500, "met": False},
    },
    "machine": MACHINE,
}
TRAIN_REPORT = {
    "rows": [
        {
            "size": 96,
            "ours_cells_per_s": 90.0,
            "plain_cells_per_s": 30.0,
            "ratio": 3.0,
            "squares_cells_per_s": 800.0,
        }
    ],
    "machine": MACHINE,
}
PREDICT_REPORT = {
    "cells_per_s": {"predict_many": 60.0, "learn.predict": 5.0, "get_preds": 25.0},
    "ratio_to_learn_predict": 12.0,
    "ratio_to_get_preds": 2.4,
    "milliseconds": {"predict": 10.0, "learn.predict, bytes": 40.0},
    "single_ratio": 4.0,
    "share_of_network": 0.95,
    "share_of_plain_bfloat16": 0.75,
    "machine": MACHINE,
}
WAYS_REPORT: dict[str, Any] = {
    "model": "0" * 64,
    "cells": 320,
    "against": "by hand",
    "timed": 64,
    "shipped": "slide rule",
    "asked_again": 0.125,
    "ways": [
        {
            "name": name,
            "cells_per_s": {"1": 40.0 * faster, "8": 50.0 * faster, "32": 55.0 * faster},
            "largest_change": change,
            "decisions_changed": changed,
            "memory_mb": 98.7,
            "start_s": 1.25,
        }
        for name, faster, change, changed in (("by hand", 1, 0.0, 0), ("slide rule", 2, 0.00042, 1))
    ],
    "zone": {
        "cells": 3355,
        "unsure": 2.25,
        "largest_change_of_log_odds": 0.014,
        "rows": [
            {"unsure": 0.0, "asked_again": 0.0, "largest_change": 0.0023},
            {"unsure": 2.25, "asked_again": 0.101, "largest_change": 0.00052},
        ],
    },
    "machine": MACHINE,
}
EXPLAIN_REPORT = {
    "cells": 24,
    "random_parts": 19,
    "reliable": 20,
    "seconds_per_cell": {"explain": 0.123, "plain": 0.567},
    "ratio_to_plain": 4.61,
    "machine": MACHINE,
}
BOOTSTRAP_REPORT = {
    "cells": 22609,
    "patients": 160,
    "resamples": 2000,
    "seconds": 0.5,
    "ratio_to_plain": 30.0,
    "machine": MACHINE,
}


@dataclass(frozen=True)
class Cells:
    """Cells of drawn patients; every third is healthy."""

    files: list[str]
    groups: list[str]
    labels: np.ndarray
    logits: np.ndarray


def made_up_cells(seed: int, patients: int = 18, cells: int = 20, apart: float = 4.0) -> Cells:
    """Log-odds that tell the classes ``apart``, and lie a little higher for one patient than for another."""
    rng = np.random.default_rng(seed)
    files, groups = [], []
    for patient in range(patients):
        group = f"C{100 + patient}P{60 + patient}ThinF"
        files += [f"{group}_IMG_20150918_144104_cell_{cell}.png" for cell in range(cells)]
        groups += [group] * cells
    infected = np.repeat(np.arange(patients) % 3 > 0, cells)
    labels = infected & (rng.random(len(files)) < 0.6)
    habit = np.repeat(rng.normal(0, 1, patients), cells)
    return Cells(files, groups, labels, apart * (labels - 0.5) + habit + rng.normal(0, 1, len(files)))


def made_up_history(sizes: tuple[int, ...] = (64, 64, 96)) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(number, size, 0.6 / number, 0.5 / number, 1 - 0.2 / number, 0.9, 0.9, 0.9, 0.97, 60.0)
        for number, size in enumerate(sizes, start=1)
    )


def made_up_logits(cells: Cells) -> Logits:
    labels = names_of(cells.labels)
    return Logits(tuple(cells.files), tuple(cells.groups), labels, labels, tuple(cells.logits.tolist()))


def names_of(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(CLASSES[0] if label else CLASSES[1] for label in labels)


def made_up_metadata(seed: int = 0) -> ModelMetadata:
    valid, test = made_up_cells(seed + 1), made_up_cells(seed + 2)
    assessment = assess(made_up_logits(valid), made_up_logits(test))

    def side(cells: Cells) -> Side:
        parasitized = int(cells.labels.sum())
        return Side(
            len(cells.files), parasitized, len(cells.files) - parasitized, tuple(sorted(set(cells.groups)))
        )

    return ModelMetadata(
        schema_version=SCHEMA_VERSION,
        file_name="export.pkl",
        sha256="0123456789abcdef" * 4,
        size_bytes=43_800_000,
        architecture="resnet34",
        classes=("Parasitized", "Uninfected"),
        resize=460,
        input_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
        weights=START,
        data_fingerprint="0" * 64,
        split="grouped",
        seed=0,
        train=side(made_up_cells(seed + 3)),
        valid=side(valid),
        test=side(test),
        versions={"torch": "2.14.1"},
        settings={"sizes": [64, 64, 96], "batch_size": 64, "seed": 13},
        history=made_up_history(),
        logits_sha256="b" * 64,
        **vars(assessment),
        created="2026-01-31",
        licence="Apache-2.0",
        intended_use="For research on single cells.",
    )


def made_up_held_out(cells: Cells, folds: int) -> HeldOut:
    place = {group: number % folds + 1 for number, group in enumerate(dict.fromkeys(cells.groups))}
    return HeldOut(
        files=tuple(cells.files),
        groups=tuple(cells.groups),
        folds=tuple(place[group] for group in cells.groups),
        labels=names_of(cells.labels),
        probability=tuple(np.round(scaled(cells.logits, 1.0), 6).tolist()),
        corrected=names_of(cells.labels),
    )


def made_up_run(split: str, folds: int) -> Run:
    return Run(
        split=split,
        folds=folds,
        settings={"sizes": [64, 64, 96], "seed": 13},
        cells="0" * 64,
        start=START,
        histories=(made_up_history(),) * folds,
        versions={"torch": "2.14.1"},
        created="2026-01-31",
    )


def made_up_comparison(protocol: str = BY_PATIENT) -> Comparison:
    """Ours, a design that is far worse, one that is ours but for a little noise, and one that was not run."""
    cells = made_up_cells(7)
    rng = np.random.default_rng(8)
    ours = scaled(cells.logits, 1.0)

    def trained(noise: float, seconds: float, changed: tuple[str, ...]) -> Trained:
        probability = scaled(cells.logits + rng.normal(0, noise, len(cells.logits)), 1.0)
        against = noise > 0 and protocol == BY_PATIENT
        return Trained(
            scores=score(cells.labels, probability, cells.groups, resamples=50),
            minus_ours=difference(cells.labels, probability, ours, cells.groups, resamples=50)
            if against
            else {},
            parameters=8_452_130,
            file_bytes=33_900_000,
            training_seconds=seconds,
            pictures_per_second=310.3,
            input_size=128,
            created="2026-01-31",
            settings={},
            start=START,
            changed=changed,
        )

    random = Reported("random 70/30", {"accuracy": 0.9598}, "loss 0.1214", "a public repository")
    rows = (
        Row("resnet34", "The shipped model", "this project", "", None, trained(0, 20_000, ()), ""),
        Row(
            "keras-cnn",
            "Three convolutions",
            "a tutorial",
            "the rate",
            random,
            trained(6, 600, ("2 epochs instead of 30",)),
            "",
        ),
        Row("resnet18", "Four stages", "a repository", "", None, trained(0.01, 1200, ()), ""),
        Row("vgg16-frozen", "A frozen trunk.", "", "", random, None, "Its weights were not at hand."),
    )
    return Comparison(protocol, "0" * 64, rows, "an abacus", {"torch": "2.14.1"}, "2026-01-31")


def twice_photographed(cells: Cells) -> Cells:
    """The first infected patient's cells under two ids, as NLM's one patient on two microscopes."""
    twice = cells.groups[len(cells.files) // 18 :][0]
    ids = {True: f"{twice}OlympusCX21", False: f"{twice}_Motic"}
    files = [
        file.replace(twice, ids[place % 2 == 0]) if group == twice else file
        for place, (file, group) in enumerate(zip(cells.files, cells.groups, strict=True))
    ]
    return replace(cells, files=files)


def write_made_up_files(folder: Path, seed: int = 0) -> None:
    """A folder with everything that the report reads, and a README with a place for every block."""
    model = folder / "export.pkl"
    model.write_bytes(f"not opened {seed}".encode())
    metadata = replace(made_up_metadata(seed), sha256=sha256_of(model))
    metadata_path(model).write_text(to_json(metadata), encoding="utf-8")
    reports = folder / "reports"
    reports.mkdir()
    apart, both = (twice_photographed(made_up_cells(seed + 4, apart=width)) for width in (4.0, 6.0))
    some = slice(0, 240)
    both = Cells(both.files[some], both.groups[some], both.labels[some], both.logits[some])
    for name, cells, run in (
        (GROUPED, apart, made_up_run("grouped", 5)),
        (RANDOM, both, made_up_run("random", 1)),
    ):
        write_held_out(made_up_held_out(cells, run.folds), reports / name)
        (reports / name).with_suffix(".json").write_text(to_json(run), encoding="utf-8")
    for name, content in (
        (TRAIN_SPEED, TRAIN_REPORT),
        (PREDICT_SPEED, PREDICT_REPORT),
        (BOOTSTRAP_SPEED, BOOTSTRAP_REPORT),
        (EXPLAIN_SPEED, EXPLAIN_REPORT),
        (SERVE_SPEED, SERVE_REPORT),
        (WAYS_SPEED, WAYS_REPORT),
    ):
        (reports / name).write_text(json.dumps(content), encoding="utf-8")
    for name, protocol in ((DESIGNS, BY_PATIENT), (BY_AUTHOR, AUTHOR)):
        (reports / name).write_text(to_json(made_up_comparison(protocol)), encoding="utf-8")
    published = (PROJECT / "reports" / PUBLISHED).read_text(encoding="utf-8")
    (reports / PUBLISHED).write_text(published, encoding="utf-8")
    marks = "\n\n".join(
        f"## {name}\n\n<!-- {name}:begin -->\n<!-- {name}:end -->" for name in (*BLOCKS, "serving")
    )
    (folder / "docs").mkdir()
    (folder / "docs" / "deployment.md").write_text(
        "# Memory\n\n<!-- serving:begin -->\n<!-- serving:end -->\n", encoding="utf-8"
    )
    (folder / "README.md").write_text(f"# Cells\n\n{marks}\n\nMore.\n", encoding="utf-8")
