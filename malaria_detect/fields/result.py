"""What was found on one field: its cells with their answers, as predicted and as a person corrected them."""

from dataclasses import dataclass
from functools import cached_property

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.inference.prediction import Prediction, Refusal

# A person's verdict on what the finder took for a cell, beside the two classes of red cells.
NOT_A_RED_CELL = "Not a red cell"
VERDICTS = (*CLASSES, NOT_A_RED_CELL)


@dataclass(frozen=True)
class AnalysedCell:
    """A cell with the model's answer and, after a review, a person's verdict.

    Attributes
    ----------
    number : int
        1, 2, ... in its field; it stays the same if other cells are added, split or removed.
    found : FoundCell
    prediction : Prediction or None
        None if the cell was not classified: it is not a red cell, or a person has drawn it.
    verified : str or None
        A person's verdict, one of `VERDICTS`; None before a review.
    """

    number: int
    found: FoundCell
    prediction: Prediction | None = None
    verified: str | None = None

    @property
    def is_red(self) -> bool:
        """Whether it is a red cell: a person's verdict if there is one, otherwise the finder's kind."""
        if self.verified is not None:
            return self.verified in CLASSES
        return self.found.kind == RED_CELL

    @property
    def counted(self) -> bool:
        """Whether it counts: red cells that touch no edge."""
        return self.is_red and not self.found.on_edge

    @property
    def decision(self) -> str | None:
        """The verdict of a person, otherwise the model's decision; None if it is not a red cell."""
        if not self.is_red:
            return None
        return self.verified or (self.prediction.decision if self.prediction else None)

    @property
    def uncertain(self) -> bool:
        """Whether a person should look at the cell and has not done so."""
        return (
            self.is_red and self.verified is None and (self.prediction is None or self.prediction.uncertain)
        )


@dataclass(frozen=True)
class FieldResult:
    """The analysis of one field.

    Attributes
    ----------
    name : str
        Path or name of the picture as given.
    size : tuple of int
        Width and height of the picture in px; (0, 0) if it could not be read.
    cells : tuple of AnalysedCell
        In reading order as found; those added by a person come last. Empty if the field was refused.
    cell_diameter : float
        Median diameter of its red cells in px; 0.0 if it was refused.
    seconds : float
        Time of the analysis.
    refusal : Refusal or None
        Why the field cannot be used.
    warnings : tuple of str
        Reasons why the counts may be less reliable than usual, as sentences.
    """

    name: str
    size: tuple[int, int]
    cells: tuple[AnalysedCell, ...] = ()
    cell_diameter: float = 0.0
    seconds: float = 0.0
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()

    @cached_property
    def counted(self) -> tuple[AnalysedCell, ...]:
        """Cells that count: red, touching no edge, and with a decision."""
        return tuple(cell for cell in self.cells if cell.counted and cell.decision is not None)

    @cached_property
    def parasitized(self) -> int:
        """Number of counted cells with the decision ``Parasitized``."""
        return sum(cell.decision == CLASSES[0] for cell in self.counted)

    @cached_property
    def uncertain(self) -> int:
        """Number of counted cells that a person should look at."""
        return sum(cell.uncertain for cell in self.counted)

    @cached_property
    def verified(self) -> int:
        """Number of counted cells with a person's verdict."""
        return sum(cell.verified is not None for cell in self.counted)

    @property
    def parasitemia(self) -> float:
        """Apparent parasitemia: share of the counted cells that are parasitized, 0 to 1; NaN without cells."""
        return self.parasitized / len(self.counted) if self.counted else float("nan")
