"""What was found on one field: its cells with their answers, as predicted and as a person corrected them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from malaria_detect.data.image_checks import COLOURLESS, TRAINED_SIDES
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.data.quality import BLURRED, OVEREXPOSED
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.inference.prediction import Prediction, Refusal

# A person's verdict on what the finder took for a cell, apart from the two classes of red cells.
NOT_A_RED_CELL = "Not a red cell"
VERDICTS = (*CLASSES, NOT_A_RED_CELL)
_POOR = {BLURRED: "blurred", OVEREXPOSED: "overexposed", COLOURLESS: "grey"}
# Of the cells with an answer. Of the model's own site, one cell in a hundred looks unlike the others.
_OTHER_SITE_SHARE = 0.25


@dataclass(frozen=True)
class AnalysedCell:
    """A cell with the model's answer and, after a review, a person's verdict.

    Attributes
    ----------
    number : int
        1, 2, ... in its field; it stays the same if other cells are added, split or removed.
    found : FoundCell
    prediction : Prediction or None
        None if the cell was refused or not classified: it is not a red cell, or a person has drawn it.
    verified : str or None
        A person's verdict, one of `VERDICTS`; None before a review.
    refusal : Refusal or None
        Why a red cell has no answer, such as ``foreign``.
    """

    number: int
    found: FoundCell
    prediction: Prediction | None = None
    verified: str | None = None
    refusal: Refusal | None = None

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
    """

    name: str
    size: tuple[int, int]
    cells: tuple[AnalysedCell, ...] = ()
    cell_diameter: float = 0.0
    seconds: float = 0.0
    refusal: Refusal | None = None

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

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons why the counts may be less reliable than usual, as sentences."""
        return warnings_about(self.cells)

    @property
    def site_warning(self) -> bool:
        """Whether its cells look unlike the cells that the model knows."""
        return are_of_other_site(self.cells)


def diameter_of(cells: Sequence[AnalysedCell]) -> float:
    """Median diameter in px of the cells that count, as circles of their area; 0.0 without any."""
    areas = [cell.found.area for cell in cells if cell.counted]
    return float(np.median(2 * np.sqrt(np.array(areas) / np.pi))) if areas else 0.0


def are_of_other_site(cells: Sequence[AnalysedCell]) -> bool:
    """Whether more than a quarter of the cells that count look unlike the cells that the model knows."""
    warned = [cell.prediction.site_warning for cell in cells if cell.counted and cell.prediction]
    return sum(warned) > _OTHER_SITE_SHARE * len(warned)


def warnings_about(cells: Sequence[AnalysedCell]) -> tuple[str, ...]:
    """Reasons why the counts of cells may be less reliable than usual, as sentences; verdicts of a person end them."""
    counted = [cell for cell in cells if cell.counted]
    waiting = [cell for cell in counted if cell.verified is None]
    diameter, least = diameter_of(cells), TRAINED_SIDES[0]
    refused = Counter(cell.refusal.reason for cell in waiting if cell.refusal)
    known = [cell.prediction for cell in waiting if cell.prediction]
    poor = Counter(word for answer in known for text, word in _POOR.items() if text in answer.warnings)
    doubted = sum(not _POOR.keys().isdisjoint(answer.warnings) for answer in known)
    sentences = []
    if 0 < diameter < least:
        sentences.append(
            f"The red cells are {diameter:.0f} px across; the model was trained on cells of {least} px or more. Use a "
            "higher magnification or resolution."
        )
    if doubted:
        sentences.append(
            f"Uncertain because of the image: {_shares(doubted, counted, poor)}. The model misses parasites in "
            "such cells."
        )
    if refused:
        sentences.append(
            f"Without an answer: {_shares(refused.total(), counted, refused)}. They count only after your verdict; if "
            "parasites are among them, the parasitemia is too low."
        )
    return tuple(sentences)


def _shares(number: int, counted: Sequence[AnalysedCell], codes: Counter[str]) -> str:
    kinds = ", ".join(f"{code} {times:,}" for code, times in codes.most_common())
    return f"{number:,} of {len(counted):,} red cells ({kinds})"
