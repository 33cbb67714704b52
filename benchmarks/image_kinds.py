"""What the model finds if the same cells are stored in other kinds of files, and without their colour.

    python -m benchmarks.image_kinds [--cells DIR] [--count 320]

Colours of 8 bits are stored in 10 to 16 bits without loss, so every answer should be that for the 8-bit file.
"""

import argparse
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tag

from benchmarks.chosen import spread
from benchmarks.results import write
from benchmarks.tiff_files import RGB, Page, tiff
from malaria_detect.data.images import read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell, find_cells
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.prediction import Prediction, Refusal

_THUMBNAIL = 32  # px


def scaled(pixels: np.ndarray, bits: int) -> np.ndarray:
    """8-bit values as uint16 of so many bits."""
    return (pixels.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)


def page(pixels: np.ndarray, bits: int = 16, **stored: Any) -> Page:
    """A page of RGB values, (height, width, 3) uint8, in so many bits."""
    return Page(scaled(pixels, bits), RGB, bits=bits, **stored)


def png(image: Image.Image) -> bytes:
    """The image as PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def four_samples(pixels: np.ndarray) -> bytes:
    """RGB and a fourth sample of zeros, of which no tag says what it is."""
    return tiff(Page(np.dstack([pixels, np.zeros_like(pixels[..., :1])]), RGB))


def with_thumbnail(pixels: np.ndarray) -> bytes:
    """A file whose first page is a small copy."""
    step = max(1, max(pixels.shape) // _THUMBNAIL)
    return tiff(Page(pixels[::step, ::step], RGB, tags={Tag.NewSubfileType: 1}), Page(pixels, RGB))


KINDS: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG, 8 bits": lambda pixels: png(Image.fromarray(pixels)),
    "TIFF, 16 bits": lambda pixels: tiff(page(pixels)),
    "TIFF, 16 bits in planes": lambda pixels: tiff(page(pixels, planar=True)),
    "TIFF, 16 bits in planes, tiles, deflate": lambda pixels: tiff(
        page(pixels, planar=True, tile=(64, 64), compression=8, predictor=2), order=">"
    ),
    "TIFF, BitsPerSample 12, stored in 16": lambda pixels: tiff(page(pixels, bits=12, words=True)),
    "TIFF, 14 bits in 16, MaxSampleValue": lambda pixels: tiff(
        Page(scaled(pixels, 14), RGB, bits=16, tags={Tag.MaxSampleValue: [2**14 - 1] * 3})
    ),
    "TIFF, 12 bits in 16, not declared": lambda pixels: tiff(Page(scaled(pixels, 12), RGB, bits=16)),
    "TIFF, fourth sample not declared": four_samples,
    "TIFF, thumbnail first": with_thumbnail,
    "PNG, without colour": lambda pixels: png(Image.fromarray(pixels).convert("L")),
}


def row(
    cells: list[Cell], answers: list[Prediction | Refusal], plain: list[Prediction | Refusal]
) -> dict[str, Any]:
    """Counts of one kind of file; `plain` are the answers for 8-bit PNG files."""
    found = dict.fromkeys(CLASSES, 0)
    certain, refused, changes = 0, 0, [0.0]
    for cell, answer, before in zip(cells, answers, plain, strict=True):
        if isinstance(answer, Refusal):
            refused += 1
            continue
        found[cell.label] += answer.decision == cell.label
        certain += not answer.uncertain
        if isinstance(before, Prediction):
            changes.append(abs(answer.probability_parasitized - before.probability_parasitized))
    return {
        "parasitized_found": found[CLASSES[0]],
        "uninfected_found": found[CLASSES[1]],
        "refused": refused,
        "certain": certain,
        "largest_change": round(max(changes), 4),
    }


def measured(detector: Detector, cells: list[Cell]) -> dict[str, Any]:
    """Counts for every kind of file."""
    pictures = [np.asarray(read_image(cell.path)) for cell in cells]
    answers = {name: list(detector.predict_many(map(kind, pictures))) for name, kind in KINDS.items()}
    plain = next(iter(answers.values()))
    return {
        "cells": len(cells),
        "parasitized": sum(cell.label == CLASSES[0] for cell in cells),
        "operating_point": detector.point.name,
        "kinds": {name: row(cells, given, plain) for name, given in answers.items()},
    }


def main() -> None:
    """Measure, print and write ``reports/image-kinds.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells")
    parser.add_argument("--count", type=int, default=320)
    options = parser.parse_args()
    found = measured(load_detector(), spread(find_cells(options.cells).cells, options.count))
    for name, counts in found["kinds"].items():
        print(f"{name:>42}: {counts}")
    write("image-kinds.json", found)


if __name__ == "__main__":
    main()
