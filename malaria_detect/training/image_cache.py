"""Images of a run's cells, decoded and scaled once, in files that are mapped into memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from malaria_detect.core.atomic import replaced
from malaria_detect.data.images import read_image
from malaria_detect.data.preprocessing import pad_to_square
from malaria_detect.data.preprocessing import preprocess as preprocessed
from malaria_detect.inference.input import InputTransform

_BATCH = 64


def cache_padded(
    paths: Sequence[Path],
    side: int,
    file: Path,
    progress: Callable[[int], object],
    preprocess: Sequence[str] = (),
) -> np.ndarray:
    """Images of cells, preprocessed, padded and scaled: uint8, (cells, side, side, 3), read-only, mapped into memory.

    The cells, one or more, must be readable, see :func:`malaria_detect.data.cell_check.check_cells`. `file` is written
    in NumPy's format: 22,609 cells at 256 px take 4.4 GB. `progress` is called with the number of added cells.
    """

    def padded(path: Path) -> np.ndarray:
        return pad_to_square(preprocessed(read_image(path), preprocess), side)

    with ThreadPoolExecutor() as pool:
        return _cached(paths, file, lambda batch: np.stack(list(pool.map(padded, batch))), progress)


def cache_inputs(
    paths: Sequence[Path], transform: InputTransform, file: Path, progress: Callable[[int], object]
) -> np.ndarray:
    """What the network gets for cells at prediction: float16, (cells, size, size, 3), as :func:`cache_padded`.

    float16 changes a pixel by at most 6 % of a grey level, and halves the file: 3,355 cells at 224 px take 1 GB.
    """

    def inputs(batch: Sequence[Path]) -> np.ndarray:
        images = transform([read_image(path) for path in batch]).transpose(0, 2, 3, 1)
        return images.astype(np.float16, order="C")

    return _cached(paths, file, inputs, progress)


def _cached(
    paths: Sequence[Path],
    file: Path,
    images: Callable[[Sequence[Path]], np.ndarray],
    progress: Callable[[int], object],
) -> np.ndarray:
    # Written batch by batch, not mapped: a full disk raises an error, and Windows renames no file that is mapped.
    with replaced(file) as new, new.open("wb") as cache:
        for begin in range(0, len(paths), _BATCH):
            batch = images(paths[begin : begin + _BATCH])
            if begin == 0:
                header = np.lib.format.header_data_from_array_1_0(batch)
                header["shape"] = (len(paths), *batch.shape[1:])
                np.lib.format.write_array_header_1_0(cache, header)
            cache.write(batch.data)
            progress(len(batch))
    mapped: np.ndarray = np.load(file, mmap_mode="r")
    return mapped
