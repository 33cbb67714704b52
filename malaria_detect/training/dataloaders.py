"""fastai DataLoaders over cached images and features: no cell is decoded twice at the same size."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import (
    DataLoader,
    DataLoaders,
    IntToFloatTensor,
    ItemTransform,
    Normalize,
    Pipeline,
    TensorCategory,
    TensorImage,
    default_device,
    setup_aug_tfms,
)
from tqdm.auto import tqdm

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.training.datablock import cell_augmentations
from malaria_detect.training.image_cache import cache_inputs, cache_padded
from malaria_detect.training.randomized_cells import randomized
from malaria_detect.training.run import TrainingRun

# From positions of cells to the inputs of a batch.
Inputs = Callable[[list[int]], torch.Tensor]


def cached_side(size: int) -> int:
    """Side in px of the cached training images of an epoch at `size` px: larger, for rotation and zoom."""
    return round(size * 8 / 7)


class CellLoaders:
    """DataLoaders of a run at any image size.

    Training images are cached padded and scaled, and augmented in every epoch. Validation images are cached as
    :class:`malaria_detect.inference.input.InputTransform` makes them for prediction.
    """

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        self.size, self.arrays = 0, (np.empty(0), np.empty(0))

    def at(self, size: int) -> DataLoaders:
        """New DataLoaders with images of `size` px.

        A DataLoader draws the seed of its order when it is made: a new one for each epoch gives a resumed run the order
        that it would have had.
        """
        if size != self.size:
            self.discard()  # only one size is in use at a time
            self.size, self.arrays = size, (self._training_images(size), self._validation_images(size))
        train, valid = self.arrays
        run, design = self.run, self.run.design
        targets = torch.from_numpy(run.targets())
        transforms = [IntToFloatTensor(), *setup_aug_tfms(design.augmentations(size))]
        if run.settings.looks == "random":
            is_borrowed = torch.arange(len(targets)) >= len(targets) - len(run.borrowed)
            targets = torch.cat([targets, is_borrowed[:, None]], 1)
            transforms = [_RandomLooks(size), *setup_aug_tfms(cell_augmentations(size, turned=False))]
        return _loaders(
            run,
            targets,
            lambda batch: TensorImage(torch.from_numpy(train[batch]).permute(0, 3, 1, 2)),
            lambda batch: torch.from_numpy(valid[batch]).float().permute(0, 3, 1, 2),
            Pipeline([*transforms, Normalize.from_stats(design.mean, design.std, cuda=False)], split_idx=0),
        )

    def discard(self) -> None:
        """Delete the image cache: gigabytes that a later run would write again."""
        for file in self.run.work.glob("*.cache.npy"):
            with suppress(PermissionError):  # Windows deletes no file that is mapped: the next run does
                file.unlink()

    def _training_images(self, size: int) -> np.ndarray:
        side, paths = cached_side(size), [cell.path for cell in self.run.shown()]
        with self._bar(len(paths), f"cells at {side} px") as bar:
            file = self._file(f"train-{side}")
            return cache_padded(paths, side, file, bar.update, self.run.settings.preprocess)

    def _validation_images(self, size: int) -> np.ndarray:
        paths, transform = [cell.path for cell in self.run.held_out()], self.run.input_transform(size)
        with self._bar(len(paths), f"validation cells at {size} px") as bar:
            return cache_inputs(paths, transform, self._file(f"valid-{size}"), bar.update)

    def _file(self, name: str) -> Path:
        return self.run.work / f"{name}.cache.npy"

    def _bar(self, cells: int, text: str) -> tqdm:
        return tqdm(total=cells, desc=text, disable=not self.run.progress, leave=False)


class FeatureLoaders:
    """DataLoaders of the features of frozen trunks, float32, (cells of the run, features)."""

    def __init__(self, features: np.ndarray, run: TrainingRun) -> None:
        self.run = run
        positions = run.learnt()[1], run.split.valid
        self.train, self.valid = (torch.from_numpy(features[list(part)]) for part in positions)

    def at(self, _size: int) -> DataLoaders:
        """New DataLoaders: features have no image size."""
        targets = torch.from_numpy(self.run.targets())
        return _loaders(self.run, targets, self.train.__getitem__, self.valid.__getitem__, Pipeline())

    def discard(self) -> None:
        """Do nothing: other runs use the features too."""


class _RandomLooks(ItemTransform):
    """Batches of padded cells and what is learnt for them, at random looks.

    Targets are the probabilities of both classes and whether the cell is borrowed, shape (N, 3).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def encodes(self, batch: list) -> tuple:  # fastai looks the annotation up
        cells, targets = (part.as_subclass(torch.Tensor) for part in batch)
        images, shares = randomized(cells, targets[:, 0], targets[:, 2] > 0, self.size)
        return TensorImage(images), TensorCategory(torch.stack([shares, 1 - shares], 1))


def _loaders(
    run: TrainingRun, targets: torch.Tensor, train: Inputs, valid: Inputs, augment: Pipeline
) -> DataLoaders:
    step = run.settings.batch_size
    labels = torch.tensor([CLASSES.index(cell.label) for cell in run.held_out()])
    return DataLoaders(
        _loader(train, targets, step, augment),
        _loader(valid, labels, step),
        device=default_device(),
    )


def _loader(inputs: Inputs, targets: torch.Tensor, step: int, augment: Pipeline | None = None) -> DataLoader:
    """A fastai DataLoader that takes a whole batch at once; shuffled if `augment` is given (training)."""
    training = augment is not None

    def create_batches(samples: Iterator[int]) -> Iterator[tuple[torch.Tensor, TensorCategory]]:
        chosen = list(samples)
        end = len(chosen)
        if training and end % step == 1:
            end -= 1  # batch norm cannot learn from a single cell
        for begin in range(0, end, step):
            batch = chosen[begin : min(begin + step, end)]
            yield inputs(batch), TensorCategory(targets[batch])

    return DataLoader(
        range(len(targets)),
        bs=step,
        shuffle=training,
        create_batches=create_batches,
        after_batch=augment or Pipeline(),
    )
