"""The recipe: fastai's DataBlock, its transforms, and how a learner is exported.

This is the design and nothing else; :mod:`malaria_detect.training.fit` runs it.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    DataLoaders,
    ImageBlock,
    Normalize,
    PILImage,
    Resize,
    Transform,
    aug_transforms,
    parent_label,
)

from malaria_detect.data.preprocessing import preprocess
from malaria_detect.inference.input import INPUT_SIZE, MEAN, RESIZE, STD


def augmentations(size: int = INPUT_SIZE) -> list[Any]:
    """fastai's ``aug_transforms`` for cells seen from above.

    A cell has no up: it is flipped and turned all the way round. It is never warped (a microscope does not look
    askew), zoomed only a little, so that its edge stays in the picture, and what comes in from outside is black.
    Brightness and contrast change by up to 20 %, as lamps and phones do.

    Parameters
    ----------
    size : int
        Side of the batch's pictures in pixels.
    """
    transforms: list[Any] = aug_transforms(
        size=size,
        do_flip=True,
        flip_vert=True,
        max_rotate=180.0,
        min_zoom=0.9,
        max_zoom=1.1,
        max_warp=0.0,
        max_lighting=0.2,
        p_affine=0.9,
        pad_mode="zeros",
    )
    return transforms


def cell_block(
    splitter: Callable[[Iterable[Path]], tuple[list[int], list[int]]] | None = None,
    size: int = INPUT_SIZE,
    *,
    batch_tfms: Sequence[Any] | None = None,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    preprocess: Sequence[str] = (),
) -> DataBlock:
    """The DataBlock: pictures and categories, the label from the folder, padded to 460 px, augmented at 224 px.

    Parameters
    ----------
    splitter : callable, optional
        From paths to training and validation positions; see :func:`malaria_detect.data.splits.fastai_splitter`. Without
        one fastai splits at random, which puts a patient's cells on both sides.
    size : int
        Side in pixels after the batch transforms.
    batch_tfms : sequence of transforms, optional
        Those of another network, instead of :func:`augmentations`.
    mean, std : sequence of float
        The network's: subtracted from, and divided into, RGB in 0 to 1.
    preprocess : sequence of str
        Named preprocessings, see :mod:`malaria_detect.data.preprocessing`. An exported learner then opens only where
        malaria_detect is installed.

    Examples
    --------
    >>> from malaria_detect.data.splits import fastai_splitter, find_cells, grouped_split
    >>> paths = [cell.path for cell in find_cells().cells]  # doctest: +SKIP
    >>> dls = cell_block(fastai_splitter(grouped_split)).dataloaders(paths, bs=64)  # doctest: +SKIP
    """
    first = [Preprocess(tuple(preprocess))] if preprocess else []
    changing = augmentations(size) if batch_tfms is None else batch_tfms
    return DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=splitter,
        get_y=parent_label,
        item_tfms=[*first, Resize(RESIZE, method="pad", pad_mode="zeros")],
        batch_tfms=[*changing, Normalize.from_stats(mean, std, cuda=False)],
    )


class Preprocess(Transform):
    """Named preprocessings as a fastai item transform; see :func:`malaria_detect.data.preprocessing.preprocess`."""

    order = 0  # before Resize, at the cell's own size

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names

    def encodes(self, picture: PILImage) -> PILImage:
        """The picture, preprocessed."""
        changed: PILImage = PILImage(preprocess(picture, self.names))
        return changed


def design_dataloaders(paths: Sequence[Path], **block: Any) -> DataLoaders:
    """The DataLoaders that an exported learner carries: the design's transforms, one process, no training cells left.

    Parameters
    ----------
    paths : sequence of Path
        At least one cell of each class.
    **block
        What :func:`cell_block` takes.
    """
    # An exported learner needs a cell on both sides.
    whole = cell_block(lambda items: (list(range(len(list(items)))), [0]), **block)
    return whole.dataloaders(list(paths), bs=64, num_workers=0)
