"""A slide: what its fields say together about parasitemia, with intervals and how many cells are missing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from malaria_detect.core.errors import ArgumentError
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.inference.metadata import OperatingPoint
from malaria_detect.metrics.between_field import design_effect
from malaria_detect.metrics.intervals import wilson
from malaria_detect.metrics.parasitemia import (
    Counting,
    DetectionLimit,
    ParasitemiaError,
    corrected_parasitemia,
    limit_of_detection,
)
from malaria_detect.metrics.types import Estimate, MetricsError

_CDC_LOW = 0.01


@dataclass(frozen=True)
class Guideline:
    """How many red cells a guideline asks for on a thin smear [1]_.

    Attributes
    ----------
    name : str
    cells : int
    missing : int
        How many more cells must be counted on this slide; 0 if there are enough.

    References
    ----------
    .. [1] Malar. J. 20 (2021), s12936-021-03889-7: CDC 500, or 2,000 below a parasitemia of 1 %; BSH 1,000; WHO 5,000.
    """

    name: str
    cells: int
    missing: int


@dataclass(frozen=True)
class SlideResult:
    """The fields of one slide together.

    Everything is computed from the cells, so a result with reviewed fields is made by `dataclasses.replace`.

    Attributes
    ----------
    name : str
    fields : tuple of FieldResult
    point : OperatingPoint
        Of the predictions; its test patients say how often the model is wrong.
    red_cells_per_microlitre : float or None
        Red-cell count of the patient's blood, if it is known.
    """

    name: str
    fields: tuple[FieldResult, ...]
    point: OperatingPoint
    red_cells_per_microlitre: float | None = None

    def __post_init__(self) -> None:
        """Check the red-cell count."""
        count = self.red_cells_per_microlitre
        if count is not None and not 0 < count < math.inf:
            raise ArgumentError(
                f"The number of red cells per microlitre must be above 0, such as 5e6; got {count}.",
                reason="red_cells_per_microlitre",
            )

    @property
    def refused(self) -> int:
        """Number of fields that cannot be used."""
        return sum(field.refusal is not None for field in self.fields)

    @property
    def cells(self) -> int:
        """Number of cells that count."""
        return sum(len(field.counted) for field in self.fields)

    @property
    def parasitized(self) -> int:
        """Number of counted cells with the decision ``Parasitized``."""
        return sum(field.parasitized for field in self.fields)

    @property
    def uncertain(self) -> int:
        """Number of counted cells that a person should look at."""
        return sum(field.uncertain for field in self.fields)

    @property
    def verified(self) -> int:
        """Number of counted cells with a person's verdict; the other ones are predicted."""
        return sum(field.verified for field in self.fields)

    @property
    def verified_parasitized(self) -> int:
        """Number of counted cells that a person called parasitized."""
        return sum(
            cell.verified == CLASSES[0] for field in self.fields if field.verified for cell in field.counted
        )

    @cached_property
    def counting(self) -> Counting:
        """Shares of the model's mistakes that a person has seen, and the design effect of the fields."""
        cells = [cell for field in self.fields for cell in field.counted]
        of_called, of_others = (_seen_mistakes(cells, label) for label in CLASSES)
        # Without cells of one kind, nothing is known and nothing is left to review.
        return Counting(
            next((share for share in (of_called, of_others) if share is not None), 0.0),
            next((share for share in (of_others, of_called) if share is not None), 0.0),
            design_effect(
                [field.parasitized for field in self.fields], [len(field.counted) for field in self.fields]
            ),
        )

    @cached_property
    def apparent(self) -> Estimate:
        """Share of the counted cells that are parasitized, with Wilson's interval for the design effect of the fields.

        NaN without cells. The interval does not include mistakes of the model, nor, for a single field, that other
        fields differ.
        """
        return share_of(self.parasitized, self.cells, self.counting.design_effect)

    @cached_property
    def corrected(self) -> Estimate | None:
        """Parasitemia corrected for the model's mistakes (Rogan-Gladen) on the cells that nobody has reviewed.

        The interval includes counting, differences between patients, and those between the fields; see
        :func:`malaria_detect.metrics.parasitemia.corrected_parasitemia`. None if the model has no test patients with
        cells of both classes, or there are no cells; an interval of NaN if there are fewer than two such patients.
        """
        try:
            found = corrected_parasitemia(
                self.parasitized, self.cells, self.point.patients, counting=self.counting
            )
        except (ParasitemiaError, MetricsError):
            return None
        return Estimate(found.estimate, found.low, found.high)

    @cached_property
    def limit(self) -> DetectionLimit | None:
        """Limit of detection of the model for the number of cells counted; None as for `corrected`."""
        try:
            # Without cells, ParasitemiaError; the design effect leaves at least one.
            return limit_of_detection(
                int(self.cells / self.counting.design_effect + 1e-9), self.point.patients
            )
        except (ParasitemiaError, MetricsError):
            return None

    @property
    def per_microlitre(self) -> Estimate | None:
        """Parasites per microlitre of blood, from `corrected`; None without a red-cell count."""
        if self.red_cells_per_microlitre is None or self.corrected is None:
            return None
        count = self.red_cells_per_microlitre
        found = self.corrected
        return Estimate(count * found.value, count * found.low, count * found.high)

    @property
    def guidelines(self) -> tuple[Guideline, ...]:
        """How many more cells to count, for each guideline; CDC's number depends on the corrected parasitemia."""
        low = not (self.corrected or self.apparent).value >= _CDC_LOW
        asked = (("CDC", 2000 if low else 500), ("BSH", 1000), ("WHO", 5000))
        return tuple(Guideline(name, cells, max(0, cells - self.cells)) for name, cells in asked)


def _seen_mistakes(cells: Sequence[AnalysedCell], decision: str) -> float | None:
    """Share of the mistakes expected among the cells with a decision of the model that a person has looked at.

    People look at uncertain cells first, so the share of the cells would be too low: each counts with its probability
    of being a mistake. None if no cell has this decision.
    """
    mistaken = [
        # With a least value, so that cells that are all certain count alike.
        (max(1 - cell.prediction.probabilities[decision], 1e-9), cell.verified is not None)
        for cell in cells
        if cell.prediction and cell.prediction.decision == decision
    ]
    expected = sum(probability for probability, _ in mistaken)
    return sum(probability for probability, seen in mistaken if seen) / expected if mistaken else None


def share_of(parasitized: int, cells: int, design_effect: float = 1.0) -> Estimate:
    """Share of cells that are parasitized, with Wilson's 95 % interval; NaN without cells.

    Examples
    --------
    >>> share_of(4, 200)
    Estimate(value=0.02, low=0.007..., high=0.050..., hits=4, total=200)
    """
    if not cells:
        return Estimate(math.nan, math.nan, math.nan, 0, 0)
    low, high = wilson(np.asarray(parasitized / cells), np.asarray(cells / design_effect))
    return Estimate(parasitized / cells, float(low), float(high), parasitized, cells)
