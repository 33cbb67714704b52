"""What exported files say about a cell: its class with a colour, and its properties.

Every cell is exported with its class. A cell that a person has rejected stays as ``Not a red cell``, so that the review
is not lost; a label mask has no classes and therefore holds the red cells only. In all files, ``predicted`` is the
model's decision and ``verified`` a person's verdict; the class is the verdict or, without one, the decision.
"""

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import PLATELET, WHITE_CELL
from malaria_detect.fields.result import NOT_A_RED_CELL, AnalysedCell

UNCLASSIFIED = "Unclassified red cell"
# Colours that people with colour blindness can tell apart (Okabe and Ito 2008), RGB.
COLOURS = {
    CLASSES[0]: (213, 94, 0),
    CLASSES[1]: (0, 114, 178),
    UNCLASSIFIED: (204, 121, 167),
    WHITE_CELL.capitalize(): (240, 228, 66),
    PLATELET.capitalize(): (0, 158, 115),
    NOT_A_RED_CELL: (128, 128, 128),
}


def class_of(cell: AnalysedCell) -> str:
    """Class of a cell, one of `COLOURS`."""
    if cell.verified == NOT_A_RED_CELL:
        return NOT_A_RED_CELL
    return (cell.decision or UNCLASSIFIED) if cell.is_red else cell.found.kind.capitalize()


def properties_of(cell: AnalysedCell) -> dict[str, str | float | bool | None]:
    """Properties of a cell that no format has a place of its own for.

    Probability and score are between 0 and 1; what is not known is None.
    """
    prediction = cell.prediction
    return {
        "number": cell.number,
        "kind": cell.found.kind,
        "predicted": prediction.decision if prediction else None,
        "verified": cell.verified,
        "probability_parasitized": round(prediction.probability_parasitized, 6) if prediction else None,
        "uncertain": cell.uncertain,
        "refusal": cell.refusal.reason if cell.refusal else None,
        "site_warning": prediction.site_warning if prediction else None,
        "on_edge": cell.found.on_edge,
        "score": round(float(cell.found.score), 4),
    }
