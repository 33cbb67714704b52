"""Effect of preparing validation images as at prediction, and not from the cache of training images.

    python -m benchmarks.input_transform [--cells DIR] [--model export.pkl]
    python -m benchmarks.input_transform --checkpoint runs/crossval/grouped-1-of-5/checkpoint.pt

Until November 2026, validation images were scaled twice: to 8/7 of the network's size, in uint8, as training images
are, and then to the network's size. Both ways are applied to the validation cells of an exported model, or to the
held-out cells of a fold of a cross-validation by patient, whose number is read from the name of its folder.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.vision.all import IntToFloatTensor, Normalize, Pipeline, TensorImage, setup_aug_tfms
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn
from tqdm.auto import tqdm

from benchmarks.results import write
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.data.splits import folds_of, grouped_split
from malaria_detect.inference.held_out import held_out_logits
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.model_files import read_model
from malaria_detect.metrics import score
from malaria_detect.training.convert import classifier_of
from malaria_detect.training.datablock import cell_augmentations, design_dataloaders
from malaria_detect.training.dataloaders import cached_side
from malaria_detect.training.learner import open_learner
from malaria_detect.training.resnet34 import DESIGN
from malaria_detect.training.settings import TrainSettings


def logits_from_cache(network: nn.Module, transform: InputTransform, cells: Sequence[Cell]) -> list[float]:
    """Log-odds of parasitized with images that are scaled twice, as until November 2026; not calibrated."""
    size, ready = transform.size, classifier_of(network)
    normalize = Normalize.from_stats(transform.mean, transform.std, cuda=False)
    twice = Pipeline([IntToFloatTensor(), *setup_aug_tfms(cell_augmentations(size)), normalize], split_idx=1)
    values: list[float] = []
    for begin in tqdm(range(0, len(cells), 64), desc="scaled twice", leave=False):
        images = [read_image(cell.path) for cell in cells[begin : begin + 64]]
        padded = np.stack([pad_to_square(image, cached_side(size)) for image in images])
        batch = twice(TensorImage(torch.from_numpy(padded).permute(0, 3, 1, 2)))
        values += ready.log_odds(batch.as_subclass(torch.Tensor).numpy()).tolist()
    return values


def compared(network: nn.Module, size: int, cells: Sequence[Cell]) -> dict[str, Any]:
    """How far probabilities and scores differ between both ways."""
    transform = InputTransform(size=size)
    new = expit(held_out_logits(classifier_of(network), transform, cells))
    old = expit(logits_from_cache(network, transform, cells))
    change = np.abs(new - old)
    return {
        "size": size,
        "cells": len(cells),
        "patients": len({cell.group for cell in cells}),
        "largest_change": round(float(change.max()), 4),
        "median_change": round(float(np.median(change)), 6),
        "other_decisions": int(((new >= 0.5) != (old >= 0.5)).sum()),
        "old": _scores(cells, old),
        "new": _scores(cells, new),
    }


def _scores(cells: Sequence[Cell], probability: NDArray[np.float64]) -> dict[str, float]:
    parasitized = np.array([cell.label == CLASSES[0] for cell in cells])
    found = score(parasitized, probability, [cell.group for cell in cells]).estimates
    return {name: round(found[name].value, 5) for name in ("accuracy", "roc_auc")}


def main() -> None:
    """Compare both ways and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--model", default="export.pkl")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    cells = find_cells(options.cells).cells
    if options.checkpoint is None:
        metadata, data = read_model(options.model)
        settings = TrainSettings(seed=metadata.seed)
        kept = grouped_split(cells, settings.valid, settings.test, settings.seed).valid
        network, size, name = open_learner(data).model, metadata.input_size, "input-transform.json"
    else:
        state = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
        how, number, _, folds = options.checkpoint.parent.name.split("-")
        settings = state["run"]["settings"]
        kept = folds_of(cells, how, int(folds), settings["seed"])[int(number) - 1].valid
        size, name = state["history"][-1]["size"], "input-transform-fold.json"
        network = _network(state["model"], cells)
    found = compared(network, size, [cells[index] for index in kept])
    print(found)
    write(name, found)


def _network(state: dict[str, torch.Tensor], cells: Sequence[Cell]) -> nn.Module:
    paths = [next(cell.path for cell in cells if cell.label == label) for label in CLASSES]
    settings = DESIGN.settings(weights="none")
    learner = DESIGN.wrap(design_dataloaders(paths), DESIGN.start("none").network, settings)
    learner.model.load_state_dict(state)
    network: nn.Module = learner.model
    return network


if __name__ == "__main__":
    main()
