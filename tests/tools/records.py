"""Metadata of a model and a comparison of designs, computed from drawn probabilities."""

from functools import cache

import numpy as np
from scipy.special import expit

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.splits import GROUPED
from malaria_detect.designs.comparison import (
    Comparison,
    DesignRow,
    LaboratoryShares,
    OnAuthorsSplit,
    Trained,
)
from malaria_detect.evaluation.cross_validation import HeldOut, Run
from malaria_detect.evaluation.patient_parasitemia import ParasitemiaEvaluation
from malaria_detect.evaluation.run_patient_parasitemia import evaluate_parasitemia
from malaria_detect.inference.calibrate import Logits, assess
from malaria_detect.inference.metadata import SCHEMA_VERSION, Epoch, ModelMetadata, Side, StartWeights
from malaria_detect.metrics import Estimate, difference, scaled, score
from malaria_detect.training.described import Reported

START = StartWeights("file", "trunk.pth", "0" * 64, loaded=90, missing=12, identity_blocks=())


def made_up_cells(seed: int, patients: int = 18, cells: int = 20, apart: float = 4.0) -> Logits:
    """Log-odds that differ by ``apart`` between the classes, with an offset for each patient; a third is healthy."""
    rng = np.random.default_rng(seed)
    groups = tuple(
        f"C{100 + patient}P{60 + patient}ThinF" for patient in range(patients) for _ in range(cells)
    )
    files = (f"{group}_IMG_20150918_144104_cell_{place % cells}.png" for place, group in enumerate(groups))
    infected = np.repeat(np.arange(patients) % 3 > 0, cells)
    parasitized = infected & (rng.random(len(groups)) < 0.6)
    offset = np.repeat(rng.normal(0, 1, patients), cells)
    values = apart * (parasitized - 0.5) + offset + rng.normal(0, 1, len(groups))
    labels = tuple(np.where(parasitized, *CLASSES).tolist())
    return Logits(tuple(files), groups, labels, labels, tuple(values.tolist()))


def made_up_metadata(seed: int = 0) -> ModelMetadata:
    train, valid, test = (made_up_cells(seed + number) for number in (3, 1, 2))
    assessment = assess(valid, test)
    history = tuple(
        Epoch(number, size, 0.6 / number, 0.5 / number, 1 - 0.2 / number, 0.9, 0.9, 0.9, 0.97, 60.0)
        for number, size in enumerate((64, 64, 96), start=1)
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
        train=_side(train),
        valid=_side(valid),
        test=_side(test),
        versions={"torch": "2.14.1"},
        settings={"sizes": [64, 64, 96], "batch_size": 64, "seed": 13},
        history=history,
        logits_sha256="b" * 64,
        **vars(assessment),
        created="2026-01-31",
        licence="Apache-2.0",
        intended_use="For research on single cells.",
    )


def made_up_comparison() -> Comparison:
    """The shipped design, a much worse one, one that differs by a little noise, and one that was not run."""
    cells = made_up_cells(7)
    rng, truth, ours = np.random.default_rng(8), cells.parasitized, cells.probability(1.0)

    def trained(noise: float, seconds: float, changed: tuple[str, ...]) -> Trained:
        probability = scaled(np.array(cells.values) + rng.normal(0, noise, len(cells.values)), 1.0)
        minus_ours = difference(truth, probability, ours, cells.groups, resamples=50) if noise else {}
        return Trained(
            scores=score(truth, probability, cells.groups, resamples=50),
            minus_ours=minus_ours,
            laboratories=laboratories,
            parameters=8_452_130,
            training_seconds=seconds,
            cells_per_second=310.3,
            machine="an abacus",
            rounding=0.0012,
            sha256="0" * 64,
            input_size=128,
            created="2026-01-31",
            settings={},
            start=START,
            history=history,
            changed=changed,
        )

    history = made_up_metadata().history
    one, two = Estimate(0.912, 0.85, 0.96), Estimate(0.987, 0.97, 0.99)
    laboratories = (
        LaboratoryShares(
            "fields_far", "outline", "not trained on", 9, 40, 100, {"sensitivity": one, "specificity": two}
        ),
        LaboratoryShares(
            "fields_far", "box", "not trained on", 9, 41, 110, {"sensitivity": two, "specificity": one}
        ),
        LaboratoryShares("fields_healthy", "outline", "not trained on", 3, 0, 50, {"specificity": one}),
    )
    author = OnAuthorsSplit("random 70/30", score(truth, ours, cells.groups, resamples=50), "2026-01-31", ())
    random = Reported("random 70/30", {"accuracy": 0.9598}, "loss 0.1214", "a public repository")
    cut_short = trained(6, 600, ("2 epochs instead of 30",))
    rows = (
        DesignRow(
            "resnet34", "The shipped model", "this project", "", None, trained(0, 20_000, ()), None, ""
        ),
        DesignRow("keras-cnn", "Three convolutions", "a tutorial", "the rate", random, cut_short, author, ""),
        DesignRow("resnet18", "Four stages", "a repository", "", None, trained(0.01, 1200, ()), None, ""),
        DesignRow(
            "vgg16-frozen", "A frozen trunk.", "", "", random, None, None, "Its weights were not at hand."
        ),
    )
    return Comparison("0" * 64, rows, {"torch": "2.14.1"}, "2026-01-31")


def made_up_patients(seed: int = 0, patients: int = 24, cells: int = 1000) -> HeldOut:
    """Out-of-fold predictions of patients who differ, with a census in the names; a quarter is healthy.

    A patient has 70 predicted uninfected cells and all parasitized ones, up to a fifth of the cells.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        group = f"C{100 + patient}P{60 + patient}ThinF"
        infected = round(cells * rng.uniform(0.002, 0.2)) if patient % 4 else 0
        sampled = rng.choice(cells - infected, 70, replace=False) + 1
        if not infected:
            sampled[0] = cells - 14  # its census is about `cells`
        numbers = [*sampled.tolist(), *range(cells - infected + 1, cells + 1)]
        values = (
            np.where(np.arange(len(numbers)) < 70, -4, 4) + rng.normal(0, 1) + rng.logistic(size=len(numbers))
        )
        for number, value in zip(numbers, values.tolist(), strict=True):
            label = CLASSES[int(number <= cells - infected)]
            name = f"{group}_IMG_20150918_144104_cell_{number}.png"
            rows.append(
                (name, group, patient % 5 + 1, label, round(float(expit(np.clip(value, -13, 13))), 6), label)
            )
    return HeldOut(*zip(*rows, strict=True))


def made_up_run(split: str = GROUPED) -> Run:
    settings = {"sizes": [64, 96], "seed": 13, "valid": 0.2, "test": 0.0}
    folds = 5 if split == GROUPED else 1
    return Run(split, folds, settings, "fingerprint", START, (), {"python": "3.11"}, "2026-01-31")


@cache
def made_up_parasitemia() -> ParasitemiaEvaluation:
    """Estimated and true parasitemia of `made_up_patients`."""
    return evaluate_parasitemia(made_up_patients(), made_up_run(), resamples=20)


def _side(cells: Logits) -> Side:
    parasitized = int(cells.parasitized.sum())
    return Side(
        len(cells.files), parasitized, len(cells.files) - parasitized, tuple(sorted(set(cells.groups)))
    )
