"""fastai DataLoaders over cached images and features: no cell is decoded twice at the same size."""

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

from malaria_detect.training.image_cache import cache_inputs, cache_padded
from malaria_detect.training.run import TrainingRun, labels_of

_FILES = "*.cache.npy"


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
        self.train, self.valid = run.learnt()[0], run.held_out()
        self.size, self.arrays = 0, (np.empty(0), np.empty(0))

    def at(self, size: int) -> DataLoaders:
        """New DataLoaders with images of `size` px.

        A DataLoader draws the seed of its order when it is made: a new one for each epoch gives a resumed run the order
        that it would have had.
        """
        if size != self.size:
            self.discard()  # only one size is in use at a time
            self.size, self.arrays = size, (self._training_images(size), self._validation_images(size))
        return DataLoaders(self._training_loader(size), self._validation_loader(), device=default_device())

    def discard(self) -> None:
        """Delete the image cache: gigabytes that a later run would write again."""
        for file in self.run.work.glob(_FILES):
            file.unlink()

    def _training_images(self, size: int) -> np.ndarray:
        side, paths = cached_side(size), [cell.path for cell in self.train]
        with self._bar(len(paths), f"cells at {side} px") as bar:
            file = self._file(f"train-{side}")
            return cache_padded(paths, side, file, bar.update, self.run.settings.preprocess)

    def _validation_images(self, size: int) -> np.ndarray:
        paths = [cell.path for cell in self.valid]
        with self._bar(len(paths), f"validation cells at {size} px") as bar:
            return cache_inputs(
                paths, self.run.input_transform(size), self._file(f"valid-{size}"), bar.update
            )

    def _training_loader(self, size: int) -> DataLoader:
        design, array = self.run.design, self.arrays[0]
        transforms = [
            IntToFloatTensor(),
            *setup_aug_tfms(design.augmentations(size)),
            Normalize.from_stats(design.mean, design.std, cuda=False),
        ]

        def images(batch: list[int]) -> TensorImage:
            return TensorImage(torch.from_numpy(array[batch]).permute(0, 3, 1, 2))

        labels = labels_of(self.train)
        return _loader(images, labels, self.run.settings.batch_size, Pipeline(transforms, split_idx=0))

    def _validation_loader(self) -> DataLoader:
        array = self.arrays[1]

        def images(batch: list[int]) -> torch.Tensor:
            return torch.from_numpy(array[batch]).float().permute(0, 3, 1, 2)

        return _loader(images, labels_of(self.valid), self.run.settings.batch_size)

    def _file(self, name: str) -> Path:
        return self.run.work / _FILES.replace("*", name)

    def _bar(self, cells: int, text: str) -> tqdm:
        return tqdm(total=cells, desc=text, disable=not self.run.progress, leave=False)


class FeatureLoaders:
    """DataLoaders of the features of frozen trunks, float32, (cells of the run, features)."""

    def __init__(self, features: np.ndarray, run: TrainingRun) -> None:
        self.trained, positions = run.learnt()
        self.run = run
        self.train, self.valid = features[list(positions)], features[list(run.split.valid)]

    def at(self, _size: int) -> DataLoaders:
        """New DataLoaders: features have no image size."""
        step = self.run.settings.batch_size

        def taken(features: np.ndarray) -> Callable[[list[int]], torch.Tensor]:
            return lambda batch: torch.from_numpy(features[batch])

        return DataLoaders(
            _loader(taken(self.train), labels_of(self.trained), step, Pipeline()),
            _loader(taken(self.valid), labels_of(self.run.held_out()), step),
            device=default_device(),
        )

    def discard(self) -> None:
        """Do nothing: other runs use the features too."""


def _loader(
    inputs: Callable[[list[int]], torch.Tensor],
    labels: Sequence[int],
    step: int,
    augment: Pipeline | None = None,
) -> DataLoader:
    """A fastai DataLoader that takes a whole batch at once; shuffled for training, which is if it can augment."""
    training, answers = augment is not None, torch.tensor(labels)

    def create_batches(samples: Iterator[int]) -> Iterator[tuple[torch.Tensor, TensorCategory]]:
        chosen = list(samples)
        end = len(chosen)
        if training and end % step == 1:
            end -= 1  # batch norm cannot learn from a single cell
        for begin in range(0, end, step):
            batch = chosen[begin : min(begin + step, end)]
            yield inputs(batch), TensorCategory(answers[batch])

    return DataLoader(
        range(len(answers)),
        bs=step,
        shuffle=training,
        create_batches=create_batches,
        after_batch=augment or Pipeline(),
    )
