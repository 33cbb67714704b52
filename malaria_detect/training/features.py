"""Features of frozen trunks, computed once for each cell and kept in a file for all runs that use them."""

import copy
import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import default_device
from torch import nn
from tqdm.auto import tqdm

from malaria_detect.core.atomic import replaced, write_text
from malaria_detect.data.images import read_image
from malaria_detect.data.stain import stain_targets
from malaria_detect.training.precision import bfloat16_is_fast, in_bfloat16
from malaria_detect.training.run import TrainingRun

_BATCH = 32


def features_of(trunks: nn.Module, run: TrainingRun) -> tuple[np.ndarray, float]:
    """Features of all cells of a run, float32, (cells, features of all trunks), and the seconds that they took.

    Files are written to the folder ``features`` in the parent folder of ``run.work``, one for each trunk. An unfinished
    file is continued. `trunks` are :class:`malaria_detect.designs.frozen.Trunks`; they are not trained.
    """
    (run.work.parent / "features").mkdir(parents=True, exist_ok=True)
    found = [_features(trunk, run) for trunk in trunks.get_submodule("trunks").children()]
    return np.concatenate([array for array, _ in found], axis=1), sum(seconds for _, seconds in found)


def _features(trunk: nn.Module, run: TrainingRun) -> tuple[np.ndarray, float]:
    device = default_device()
    file = run.work.parent / "features" / f"features-{_key(trunk, run, device)}.npy"
    took = file.with_suffix(".seconds")
    try:
        return np.load(file), _seconds(took)
    except (FileNotFoundError, ValueError, EOFError):  # missing, or cut off
        pass
    part = file.with_suffix(".rows")
    # A copy, because the exported network keeps its batch norms.
    network = copy.deepcopy(trunk).eval().requires_grad_(False).to(device)
    network = network.to(memory_format=torch.channels_last)
    with in_bfloat16(network, device):
        features = _computed(network, run, part, took)
    with replaced(file) as new, new.open("wb") as whole:
        np.save(whole, features)
    part.unlink()
    return features, _seconds(took)


def _computed(network: nn.Module, run: TrainingRun, part: Path, took: Path) -> np.ndarray:
    """Features of all cells; `part` keeps the rows that are computed, `took` the time, for a run that continues."""
    transform, device = run.input_transform(), default_device()

    def rows(begin: int, end: int) -> np.ndarray:
        images = transform([read_image(cell.path) for cell in run.cells[begin:end]])
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(images).to(device)).float().cpu())

    began, number = time.monotonic() - _seconds(took), len(run.cells)
    width = rows(0, 1).shape[1]
    batch_bytes = _BATCH * width * 4
    with (
        part.open("ab") as file,
        tqdm(total=number, desc="features", unit="cell", disable=not run.progress, leave=False) as bar,
    ):
        # A batch that was only half written is computed again, so that all batches stay the same.
        done = file.tell() // batch_bytes
        file.truncate(done * batch_bytes)
        bar.update(done * _BATCH)
        for begin in range(done * _BATCH, number, _BATCH):
            batch = rows(begin, begin + _BATCH)
            file.write(batch.tobytes())
            file.flush()
            write_text(took, f"{time.monotonic() - began:.1f}")
            bar.update(len(batch))
    return np.fromfile(part, dtype=np.float32).reshape(number, width)


def _seconds(took: Path) -> float:
    return float(took.read_text(encoding="utf-8")) if took.is_file() else 0.0


def _key(trunk: nn.Module, run: TrainingRun, device: torch.device) -> str:
    """Differs if the features may differ; the same in every fold."""
    digest = hashlib.sha256()
    parts = [*run.settings.preprocess, run.design.input_size, run.design.mean, run.design.std]
    parts += [device.type, bfloat16_is_fast(device)]
    parts += [f"{cell.name} {cell.pixels}" for cell in run.cells]
    if {"reinhard", "macenko"} & set(run.settings.preprocess):
        parts.append(stain_targets())
    for part in parts:
        digest.update(f"{part}\n".encode(errors="surrogateescape"))
    for name, tensor in trunk.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
