"""fastai's DataBlock and transforms of the shipped design, as an exported learner carries them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
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


def cell_augmentations(size: int = INPUT_SIZE, *, turned: bool = True) -> list[Any]:
    """fastai's ``aug_transforms`` for cells under a microscope.

    Cells are flipped and rotated by any angle, because they have no upper side. They are not warped, and zoomed only a
    little, so that their edge stays in the image; outside of the image is black. Brightness and contrast change by up
    to 20 %, as between lamps and cameras. `size` is the side of the images in px. Cells that random looks have already
    `turned` and zoomed are only flipped.
    """
    transforms: list[Any] = aug_transforms(
        size=size,
        do_flip=True,
        flip_vert=True,
        max_rotate=180.0 if turned else 0.0,
        min_zoom=0.9 if turned else 1.0,
        max_zoom=1.1 if turned else 1.0,
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
    """DataBlock of cell images: label from the folder, padded to 460 px, augmented at 224 px.

    Parameters
    ----------
    splitter : callable, optional
        See :func:`malaria_detect.data.splits.fastai_splitter`. Without it fastai splits at random, so that cells of one
        patient are in both parts.
    size, batch_tfms : int, sequence of transforms
        Side of the images in px after the batch transforms, which are :func:`cell_augmentations` by default.
    mean, std : sequence of float
        Normalization: RGB in 0 to 1 minus `mean`, divided by `std`.
    preprocess : sequence of str
        Named preprocessings, see :mod:`malaria_detect.data.preprocessing`. Opening the exported learner then needs
        malaria_detect.

    Examples
    --------
    >>> from malaria_detect.data.nlm_cells import find_cells
    >>> from malaria_detect.data.splits import fastai_splitter, grouped_split
    >>> paths = [cell.path for cell in find_cells().cells]  # doctest: +SKIP
    >>> dls = cell_block(fastai_splitter(grouped_split)).dataloaders(paths, bs=64)  # doctest: +SKIP
    """
    first = [Preprocess(tuple(preprocess))] if preprocess else []
    changing = cell_augmentations(size) if batch_tfms is None else batch_tfms
    return DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=splitter,
        get_y=parent_label,
        item_tfms=[*first, Resize(RESIZE, method="pad", pad_mode="zeros")],
        batch_tfms=[*changing, Normalize.from_stats(mean, std, cuda=False)],
    )


class Preprocess(Transform):
    """Named preprocessings as a fastai item transform, see :func:`malaria_detect.data.preprocessing.preprocess`.

    Exported learners name this class by its path.
    """

    order = 0  # before Resize, at the size of the cell

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names

    def encodes(self, image: PILImage) -> PILImage:
        """The preprocessed image."""
        changed: PILImage = PILImage(preprocess(image, self.names))
        return changed


def design_dataloaders(paths: Sequence[Path], **block: Any) -> DataLoaders:
    """DataLoaders of an exported learner: the transforms of :func:`cell_block`, and at least one cell of each class.

    They are on the CPU, so that a learner that was trained on a GPU opens anywhere.
    """
    # fastai needs a cell in both parts.
    whole = cell_block(lambda items: (list(range(len(list(items)))), [0]), **block)
    return whole.dataloaders(list(paths), bs=64, num_workers=0, device=torch.device("cpu"))
