"""Made-up cells and fields: counts without pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.inference.metadata import OperatingPoint
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.inference.prediction import Prediction

COUNTING: OperatingPoint = read_metadata(Path(__file__).parents[2] / "export.pkl").point("counting")
FOUND = FoundCell(np.array([[0, 0], [9, 0], [9, 9], [0, 9]], np.float32), 0.9, RED_CELL, False)


def called(decision: str, uncertain: bool = False) -> Prediction:
    """The model's answer for a cell."""
    probability = {True: 0.992, False: 0.999}[uncertain] if decision == CLASSES[0] else 0.01
    probabilities = {CLASSES[0]: probability, CLASSES[1]: 1 - probability}
    below = 0.995 if uncertain else 0.5
    return Prediction(decision, probabilities, probability, COUNTING.name, COUNTING.threshold, below, (9, 9))


def counted_field(cells: int, parasitized: int, name: str = "field.jpg") -> FieldResult:
    """A field in which the model called so many cells parasitized."""
    answers = [called(CLASSES[number >= parasitized]) for number in range(cells)]
    analysed = tuple(AnalysedCell(number, FOUND, answer) for number, answer in enumerate(answers, start=1))
    return FieldResult(name, (100, 100), analysed, 9.0, 1.0)


def reviewed(field: FieldResult, verdicts: dict[int, str]) -> FieldResult:
    """The field after a person's verdicts on cells of these numbers."""
    cells = tuple(replace(cell, verified=verdicts.get(cell.number, cell.verified)) for cell in field.cells)
    return replace(field, cells=cells)
