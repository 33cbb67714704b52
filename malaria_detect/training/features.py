"""Features of frozen trunks, computed once for each cell and kept in a file for all runs that use them."""

import copy
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import default_device
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.core.atomic import replaced, write_text
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.data.stain import stain_targets
from malaria_detect.inference.network import prepared
from malaria_detect.inference.precision import bfloat16_is_fast, in_bfloat16
from malaria_detect.training.run import TrainingRun

_BATCH = 32


def features_of(trunks: nn.Module, run: TrainingRun) -> tuple[np.ndarray, float]:
    """Features of all cells of a run, from trunks that are not trained.

    Files are written to the folder ``features`` in the parent folder of ``run.work``, one for each trunk. An unfinished
    file is continued.

    Parameters
    ----------
    trunks : torch.nn.Module
        :class:`malaria_detect.designs.frozen.Trunks`.
    run : TrainingRun

    Returns
    -------
    features : numpy.ndarray
        float32, (cells, features of all trunks).
    seconds : float
        Time that computing them took, now or earlier.
    """
    (run.work.parent / "features").mkdir(parents=True, exist_ok=True)
    found = [_features(trunk, run) for trunk in trunks.get_submodule("trunks").children()]
    return np.concatenate([array for array, _ in found], axis=1), sum(seconds for _, seconds in found)


def _features(trunk: nn.Module, run: TrainingRun) -> tuple[np.ndarray, float]:
    device, cells = default_device(), run.cells
    file = run.work.parent / "features" / f"features-{_key(trunk, run, device)}.npy"
    took, part = file.with_suffix(".seconds"), file.with_suffix(".part")
    if (array := _read(file, len(cells))) is not None and not np.isnan(array).any():
        return np.array(array), _seconds(took)
    # A copy, because the exported network keeps its batch norms.
    network, transform = prepared(copy.deepcopy(trunk)).to(device), run.input_transform()

    def compute(chosen: Sequence[Cell]) -> np.ndarray:
        images = transform([read_image(cell.path) for cell in chosen])
        with torch.inference_mode():
            return np.asarray(network(images.to(device)).float().cpu())

    with in_bfloat16(network, device):
        if (array := _read(part, len(cells))) is None:
            array = _new(part, len(cells), compute(cells[:1]).shape[1])
        _fill(array, cells, compute, took, run.progress)
    array.flush()
    part.replace(file)
    return np.array(array), _seconds(took)


def _fill(
    array: np.memmap,
    cells: Sequence[Cell],
    compute: Callable[[Sequence[Cell]], np.ndarray],
    took: Path,
    progress: bool,
) -> None:
    """Compute the features that are missing, and keep the time."""
    began = time.monotonic() - _seconds(took)
    missing = [
        begin for begin in range(0, len(cells), _BATCH) if np.isnan(array[begin : begin + _BATCH]).any()
    ]
    with tqdm(total=len(cells), desc="features", unit="cell", disable=not progress, leave=False) as bar:
        bar.update(len(cells) - min(len(missing) * _BATCH, len(cells)))
        for begin in missing:
            array[begin : begin + _BATCH] = compute(cells[begin : begin + _BATCH])
            bar.update(min(_BATCH, len(cells) - begin))
            write_text(took, f"{time.monotonic() - began:.1f}")


def _new(part: Path, cells: int, features: int) -> np.memmap:
    """A file of NaN, which stands for features that are not computed yet."""
    with replaced(part) as new, new.open("wb") as file:
        # Written, not mapped: a full disk raises an error here and does not crash the process later.
        np.save(file, np.full((cells, features), np.nan, dtype=np.float32))
    return np.lib.format.open_memmap(part, mode="r+")


def _read(file: Path, cells: int) -> np.memmap | None:
    """A file of an earlier run; None if it is missing, cut off or of something else."""
    try:
        # First read-only: opening a file that was cut off for writing would fill it up with zeros.
        np.lib.format.open_memmap(file, mode="r")
        array = np.lib.format.open_memmap(file, mode="r+")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return array if array.ndim == 2 and len(array) == cells and array.dtype == np.float32 else None


def _seconds(took: Path) -> float:
    return float(took.read_text(encoding="utf-8")) if took.is_file() else 0.0


def _key(trunk: nn.Module, run: TrainingRun, device: torch.device) -> str:
    """Differs if the features may differ; the same in every fold."""
    digest = hashlib.sha256()
    parts = [*run.settings.preprocess, run.design.input_size, run.design.mean, run.design.std]
    parts += [device.type, bfloat16_is_fast(device)]
    parts += [f"{cell.path.name} {cell.path.stat().st_size}" for cell in run.cells]
    if {"reinhard", "macenko"} & set(run.settings.preprocess):
        parts.append(stain_targets())
    for part in parts:
        digest.update(f"{part}\n".encode())
    for name, tensor in trunk.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
