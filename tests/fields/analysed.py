"""Drawn fields as the analysis and a review leave them."""

from dataclasses import replace

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import RED_CELL
from malaria_detect.fields.result import NOT_A_RED_CELL, AnalysedCell, FieldResult
from malaria_detect.inference.prediction import Prediction
from tests.annotated import drawn, found_cells

SIZE = (640, 480)


def prediction(probability: float) -> Prediction:
    return Prediction(
        decision=CLASSES[0] if probability >= 0.5 else CLASSES[1],
        probabilities={CLASSES[0]: probability, CLASSES[1]: 1 - probability},
        raw_probability_parasitized=probability,
        operating_point="balanced",
        threshold=0.5,
        uncertain_below=0.8,
        image_size=(60, 60),
    )


def reviewed_field(seed: int = 1) -> FieldResult:
    """A drawn field whose cells were classified as drawn, and of which a person has reviewed four."""
    cells = [
        AnalysedCell(
            number,
            found,
            prediction(0.9 if kind == CLASSES[0] else 0.1) if found.kind == RED_CELL else None,
        )
        for number, (found, kind) in enumerate(zip(found_cells(seed), drawn(seed)[2], strict=True), 1)
    ]
    for place, verdict in ((5, CLASSES[1]), (6, CLASSES[0]), (10, NOT_A_RED_CELL)):
        cells[place] = replace(cells[place], verified=verdict)
    # A person has drawn this one.
    cells[20] = replace(cells[20], prediction=None, verified=CLASSES[1])
    return FieldResult(f"field {seed}.jpg", SIZE, tuple(cells), 60.0)
