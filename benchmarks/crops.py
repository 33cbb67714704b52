"""Answers for cells as NLM has cut them out and as we cut them out of the same fields, for several margins.

    MALARIA_DETECT_CELLS=DIR python -m benchmarks.crops FIELDS [--model export.pkl]

FIELDS is a folder with ``annotations.json`` that names known cells of NLM's data set, and DIR has the images of these
cells. Every known cell that is found is classified as NLM cut it out and with each margin.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.results import write
from malaria_detect.data.field_annotations import read_field_sets
from malaria_detect.data.field_truth import AnnotatedField
from malaria_detect.data.images import ImageSource, read_field
from malaria_detect.data.nlm_cells import find_cells
from malaria_detect.evaluation.field_matching import likeness, match
from malaria_detect.fields import crops
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.finder import CellFinder, load_finder
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.prediction import Prediction, decide

MARGINS = (0.0, 0.04, 0.08, 0.12, 0.16)


def pairs(
    finder: CellFinder, field: AnnotatedField, images: dict[str, Path]
) -> list[tuple[Path, np.ndarray, FoundCell]]:
    """NLM's image of each known cell that was found, the field, and the cell as it was found."""
    pixels = np.asarray(read_field(field.image))
    red = [cell for cell in finder.find(pixels) if cell.kind == RED_CELL]
    partners = match(likeness(field.cells, red, (pixels.shape[1], pixels.shape[0])))
    return [
        (images[f"{field.image.stem}_cell_{known.name}.png"], pixels, red[found])
        for known, found in zip(field.cells, partners, strict=True)
        if found >= 0
    ]


def probabilities(detector: Detector, pictures: Sequence[ImageSource]) -> np.ndarray:
    """Calibrated probability of ``Parasitized`` for each picture."""
    answers = list(detector.predict_many(pictures))
    assert all(isinstance(answer, Prediction) for answer in answers)
    return np.array([answer.probability_parasitized for answer in answers if isinstance(answer, Prediction)])


def main() -> None:
    """Compare, print and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fields")
    parser.add_argument("--model")
    options = parser.parse_args()
    images = {cell.path.name: cell.path for cell in find_cells().cells}
    finder, detector = load_finder(), load_detector(options.model)
    (known,) = read_field_sets(options.fields)
    found = [pair for field in known.fields for pair in pairs(finder, field, images)]
    by_nlm = probabilities(detector, [image for image, _, _ in found])
    rows = []
    for margin in MARGINS:
        with mock.patch.object(crops, "MARGIN", margin):
            ours = probabilities(detector, [crops.cut_cell(pixels, cell) for _, pixels, cell in found])
        changed = {
            point.name: sum(
                decide(one, point) != decide(other, point) for one, other in zip(ours, by_nlm, strict=True)
            )
            for point in detector.metadata.operating_points
        }
        difference = float(np.median(np.abs(ours - by_nlm)))
        rows.append({"margin": margin, "median_difference": round(difference, 5), "other_decisions": changed})
        print(f"margin {margin:.0%}: median difference {difference:.4f}, other decisions {changed}")
    total = sum(len(field.cells) for field in known.fields)
    print(f"{len(found)} of {total} known cells were found; the margin in use is {crops.MARGIN:.0%}")
    write("crops.json", {"cells": len(found), "known": total, "margin": crops.MARGIN, "margins": rows})


if __name__ == "__main__":
    main()
