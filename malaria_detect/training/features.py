"""The features of frozen trunks: computed once for each cell, and kept in a file for every head that reads them."""

import copy
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import default_device
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import Cell
from malaria_detect.data.stain import stain_targets
from malaria_detect.inference.input import InputTransform
from malaria_detect.inference.network import prepared
from malaria_detect.inference.precision import bfloat16_is_fast, in_bfloat16
from malaria_detect.training.design import Design

_BATCH = 32


def features_of(
    trunks: nn.Module,
    cells: Sequence[Cell],
    design: Design,
    names: Sequence[str],
    folder: Path,
    progress: bool,
) -> tuple[np.ndarray, float]:
    """Features of cells, from trunks that do not learn.

    Parameters
    ----------
    trunks : torch.nn.Module
        :class:`malaria_detect.designs.frozen.Trunks`.
    cells : sequence of Cell
    design : Design
        Gives the input.
    names : sequence of str
        Of preprocessings.
    folder : Path
        A file for each trunk is written there, or read where it is the same trunk on the same cells; one that was not
        finished is gone on with.
    progress : bool
        Show a bar.

    Returns
    -------
    features : numpy.ndarray
        float32, (cells, features of all trunks).
    seconds : float
        What computing them took, now or earlier.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = [
        _features(trunk, cells, design, names, folder, progress)
        for trunk in trunks.get_submodule("trunks").children()
    ]
    return np.concatenate([array for array, _ in found], axis=1), sum(seconds for _, seconds in found)


def _features(
    trunk: nn.Module,
    cells: Sequence[Cell],
    design: Design,
    names: Sequence[str],
    folder: Path,
    progress: bool,
) -> tuple[np.ndarray, float]:
    device = default_device()
    file = folder / f"features-{_key(trunk, cells, design, names, device)}.npy"
    took = file.with_suffix(".seconds")
    if (array := _read(file, len(cells))) is not None and not np.isnan(array).any():
        return np.array(array), _seconds(took)
    # A copy: what is exported keeps its batch norms, as plain fastai opens it.
    network = prepared(copy.deepcopy(trunk)).to(device)
    transform = InputTransform(
        size=design.input_size, mean=design.mean, std=design.std, preprocess=tuple(names)
    )
    part = file.with_suffix(".part")
    began = time.monotonic() - _seconds(took)

    def batch_of(chosen: Sequence[Cell]) -> np.ndarray:
        pictures = transform([read_image(cell.path) for cell in chosen])
        with torch.inference_mode():
            return np.asarray(network(pictures.to(device)).float().cpu())

    with in_bfloat16(network, device):
        array = _read(part, len(cells))
        if array is None:
            array = _new(part, len(cells), batch_of(cells[:1]).shape[1])
        missing = [
            begin for begin in range(0, len(cells), _BATCH) if np.isnan(array[begin : begin + _BATCH]).any()
        ]
        with tqdm(total=len(cells), desc="features", unit="cell", disable=not progress, leave=False) as bar:
            bar.update(len(cells) - min(len(missing) * _BATCH, len(cells)))
            for begin in missing:
                array[begin : begin + _BATCH] = batch_of(cells[begin : begin + _BATCH])
                bar.update(min(_BATCH, len(cells) - begin))
                _note(took, time.monotonic() - began)
    array.flush()
    part.replace(file)
    return np.array(array), _seconds(took)


def _new(part: Path, cells: int, features: int) -> np.memmap:
    """A new file, all of it no number: what is not computed yet. It has its name only when it is whole."""
    unborn = part.with_suffix(".new")
    with unborn.open("wb") as file:
        row = np.full((1, features), np.nan, dtype=np.float32)
        header = {"descr": row.dtype.str, "fortran_order": False, "shape": (cells, features)}
        np.lib.format.write_array_header_1_0(file, header)
        # Written, not mapped: a full disk is an error here, and no crash later.
        for _ in range(cells):
            file.write(row.tobytes())
    unborn.replace(part)
    return np.lib.format.open_memmap(part, mode="r+")


def _read(file: Path, cells: int) -> np.memmap | None:
    """A file of an earlier run; none where it is missing, cut off or of something else."""
    try:
        # Only to read: to write, one that was cut off would be filled up with zeros.
        np.lib.format.open_memmap(file, mode="r")
        array = np.lib.format.open_memmap(file, mode="r+")
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return array if array.ndim == 2 and len(array) == cells and array.dtype == np.float32 else None


def _seconds(took: Path) -> float:
    return float(took.read_text(encoding="ascii")) if took.is_file() else 0.0


def _note(took: Path, seconds: float) -> None:
    part = took.with_suffix(".seconds-part")
    part.write_text(f"{seconds:.1f}", encoding="ascii")
    part.replace(took)


def _key(
    trunk: nn.Module, cells: Sequence[Cell], design: Design, names: Sequence[str], device: torch.device
) -> str:
    """Differs wherever the features may, and is the same in every fold."""
    digest = hashlib.sha256()
    parts = [*names, design.input_size, design.mean, design.std, device.type, bfloat16_is_fast(device)]
    parts += [f"{cell.path.name} {cell.path.stat().st_size}" for cell in cells]
    if {"reinhard", "macenko"} & set(names):
        parts.append(stain_targets())
    for part in parts:
        digest.update(f"{part}\n".encode())
    for name, tensor in trunk.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
