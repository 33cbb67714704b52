"""The cells of a training run as fastai DataLoaders that decode no picture twice at the same size."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import (
    DataLoader,
    DataLoaders,
    IntToFloatTensor,
    Normalize,
    Pipeline,
    TensorCategory,
    TensorImage,
    default_device,
    setup_aug_tfms,
)
from tqdm.auto import tqdm

from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.data.splits import Split
from malaria_detect.training.design import Design
from malaria_detect.training.image_cache import make_squares
from malaria_detect.training.settings import TrainSettings

_SIDES = ("train", "valid")


def side_for(size: int) -> int:
    """Side in px of the squares that an epoch at ``size`` px draws from: a little larger, for turning and zooming."""
    return round(size * 8 / 7)


class CellLoaders:
    """The cells of training and validation, scaled once for each size, as fastai DataLoaders."""

    def __init__(
        self,
        cells: Sequence[Cell],
        split: Split,
        design: Design,
        settings: TrainSettings,
        work: Path,
        progress: bool,
    ) -> None:
        self.positions = split.train, split.valid
        self.cells, self.design, self.settings, self.work, self.progress = (
            cells,
            design,
            settings,
            work,
            progress,
        )
        self.labels = torch.tensor([CLASSES.index(cell.label) for cell in cells])
        self.size, self.arrays = 0, (np.empty(0), np.empty(0))

    def at(self, size: int) -> DataLoaders:
        """DataLoaders with pictures of ``size`` px: augmented ones of training, plain ones of validation."""
        if size != self.size:
            self.discard()  # only one size is in use at a time
            self.size, self.arrays = size, (self._array(size, 0), self._array(size, 1))
        return DataLoaders(self._loader(size, 0), self._loader(size, 1), device=default_device())

    def discard(self) -> None:
        """Remove the squares from the disk: gigabytes, which a later run would make anew."""
        for side in _SIDES:
            for file in self.work.glob(f"{side}-*.npy"):
                file.unlink()

    def _array(self, size: int, side: int) -> np.ndarray:
        paths = [self.cells[index].path for index in self.positions[side]]
        file = self.work / f"{_SIDES[side]}-{side_for(size)}.npy"
        with tqdm(
            total=len(paths), desc=f"cells at {side_for(size)} px", disable=not self.progress, leave=False
        ) as bar:
            return make_squares(paths, side_for(size), file, bar.update, self.settings.preprocess)

    def _loader(self, size: int, side: int) -> DataLoader:
        array, labels = self.arrays[side], self.labels[list(self.positions[side])]
        transforms = [
            IntToFloatTensor(),
            *setup_aug_tfms(self.design.augmentations(size)),
            Normalize.from_stats(self.design.mean, self.design.std, cuda=False),
        ]

        def pictures(batch: list[int]) -> TensorImage:
            return TensorImage(torch.from_numpy(array[batch]).permute(0, 3, 1, 2))

        return _loader(
            pictures, labels, self.settings.batch_size, side == 0, Pipeline(transforms, split_idx=side)
        )


class FeatureLoaders:
    """The features of training and validation cells, as fastai DataLoaders like those of :class:`CellLoaders`."""

    def __init__(
        self, features: np.ndarray, cells: Sequence[Cell], split: Split, settings: TrainSettings
    ) -> None:
        self.features, self.positions, self.settings = features, (split.train, split.valid), settings
        self.labels = torch.tensor([CLASSES.index(cell.label) for cell in cells])

    def at(self, _size: int) -> DataLoaders:
        """DataLoaders with features, float32, (batch, F)."""
        return DataLoaders(*map(self._loader, (0, 1)), device=default_device())

    def discard(self) -> None:
        """Nothing: the features stay for other heads."""

    def _loader(self, side: int) -> DataLoader:
        positions = np.array(self.positions[side])
        labels = self.labels[positions]

        def features(batch: list[int]) -> torch.Tensor:
            return torch.from_numpy(self.features[positions[batch]])

        return _loader(features, labels, self.settings.batch_size, side == 0, Pipeline())


def _loader(
    inputs: Callable[[list[int]], torch.Tensor],
    labels: torch.Tensor,
    step: int,
    training: bool,
    after_batch: Pipeline,
) -> DataLoader:
    """A fastai DataLoader that takes a whole batch at once."""

    def create_batches(samples: Iterator[int]) -> Iterator[tuple[torch.Tensor, TensorCategory]]:
        chosen = list(samples)
        end = len(chosen)
        if training and end % step == 1:
            end -= 1  # batch norm cannot learn from a single cell
        for begin in range(0, end, step):
            batch = chosen[begin : min(begin + step, end)]
            yield inputs(batch), TensorCategory(labels[batch])

    return DataLoader(
        range(len(labels)),
        bs=step,
        shuffle=training,
        create_batches=create_batches,
        after_batch=after_batch,
    )
