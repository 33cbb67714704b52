"""Speed of training compared with plain fastai: same network, same cells, same image sizes.

    python -m benchmarks.train [--cells DIR] [--sizes 96,160,224] [--count 320] [--rounds 3]

Plain is what tutorials teach: float32, ``Resize(460)`` and ``aug_transforms`` on every image in every epoch, fastai's
default workers. The training part of an epoch is timed for both in turns, after a first epoch that is not counted.
Weights are random, because they do not change the speed.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from fastai.vision.all import (
    Callback,
    CategoryBlock,
    ChannelsLast,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    Learner,
    Resize,
    aug_transforms,
    parent_label,
    resnet34,
    vision_learner,
)

from benchmarks.results import machine, write
from malaria_detect.data.labelled_cells import LabelledCells
from malaria_detect.data.nlm_cells import Cell, find_cells
from malaria_detect.data.splits import Split
from malaria_detect.training.callbacks import PlainTensors
from malaria_detect.training.dataloaders import CellLoaders, cached_side
from malaria_detect.training.precision import in_bfloat16
from malaria_detect.training.resnet34 import DESIGN
from malaria_detect.training.run import TrainingRun

BATCH = 64


class Stopwatch(Callback):
    """Seconds of the training part of the last epoch."""

    def before_train(self) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def after_train(self) -> None:
        """Stop the clock."""
        self.seconds = time.perf_counter() - self.began


def plain_learner(cells: list[Cell], size: int) -> Learner:
    """The recipe of tutorials, with cell 0 for validation."""
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_y=parent_label,
        splitter=IndexSplitter([0]),
        item_tfms=Resize(460),
        batch_tfms=aug_transforms(size=size),
    )
    return vision_learner(
        block.dataloaders([cell.path for cell in cells], bs=BATCH), resnet34, pretrained=False
    )


def our_learner(cells: list[Cell], size: int, work: Path) -> tuple[Learner, float]:
    """Our learner, and the seconds for its image cache, which is written once for each size."""
    split = Split(tuple(range(1, len(cells))), (0,), ())
    began = time.perf_counter()
    settings = DESIGN.settings(batch_size=BATCH)
    data = LabelledCells(tuple(cells), tuple(cell.label for cell in cells), "")
    dls = CellLoaders(TrainingRun(DESIGN, settings, data, split, work, progress=False)).at(size)
    seconds = time.perf_counter() - began
    learner = DESIGN.wrap(dls, DESIGN.start("none").network, settings)
    learner.add_cbs([ChannelsLast(), PlainTensors()])
    return learner, seconds


def seconds_of_an_epoch(learner: Learner) -> float:
    """Seconds to train one epoch."""
    watch = Stopwatch()
    with learner.no_bar(), learner.no_logging(), learner.no_mbar():
        learner.fit(1, lr=1e-4, cbs=[watch])
    return watch.seconds


def main() -> None:
    """Time both and write the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--sizes", default="96,160,224")
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    every = find_cells(options.cells).cells
    cells = list(every[:: -(-len(every) // options.count)])
    rows = []
    print(f"{len(cells)} cells, batches of {BATCH}, {options.rounds} rounds, {machine()['processor']}")
    for size in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as work:
            ours, caching = our_learner(cells, size, Path(work))
            plain = plain_learner(cells, size)
            times: dict[str, list[float]] = {"ours": [], "plain": []}
            for _ in range(options.rounds + 1):
                with in_bfloat16(ours.model, ours.dls.device):
                    times["ours"].append(seconds_of_an_epoch(ours))
                times["plain"].append(seconds_of_an_epoch(plain))
        our_time, plain_time = (statistics.median(times[name][1:]) for name in ("ours", "plain"))
        # fastai drops the last, smaller batch of a training epoch; ours keeps it.
        our_speed = (len(cells) - 1) / our_time
        plain_speed = (len(cells) - 1) // BATCH * BATCH / plain_time
        rows.append(
            {
                "size": size,
                "ours_cells_per_s": round(our_speed, 1),
                "plain_cells_per_s": round(plain_speed, 1),
                "ratio": round(our_speed / plain_speed, 2),
                "padded_side": cached_side(size),
                "padded_cells_per_s": round(len(cells) / caching, 1),
            }
        )
        print(
            f"{size:4} px: ours {our_speed:6.1f} cells/s, plain fastai {plain_speed:6.1f}, "
            f"ratio {our_speed / plain_speed:.2f}  (once a size: image cache at {len(cells) / caching:.0f} cells/s)",
            flush=True,
        )
    write("train-speed.json", {"cells": len(cells), "batch": BATCH, "rounds": options.rounds, "rows": rows})


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
