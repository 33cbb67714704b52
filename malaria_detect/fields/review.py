"""A person's review of an analysed field: verdicts, split cells, added cells, and undo. No torch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.fields.cell import RED_CELL, FoundCell
from malaria_detect.fields.polygon import within
from malaria_detect.fields.result import VERDICTS, AnalysedCell, FieldResult

# Share of a split cell that its smaller part must have.
_LEAST_PART = 0.05
# px: smaller than this, an added cell is a slip of the finger.
_LEAST_DIAMETER = 4.0
_CORNERS = 48


class ReviewError(MalariaDetectError):
    """A correction that is not possible.

    ``reason`` is ``unknown_cell``, ``unknown_verdict``, ``no_cut`` (a line that does not divide the cell), ``outside``
    (of the picture), ``too_small`` or ``occupied`` (there is a cell already).
    """


class Review:
    """Corrections of one field. Every correction makes a new :class:`FieldResult`; the earlier ones stay as they are.

    Parameters
    ----------
    result : FieldResult
        As analysed, or as reviewed before.

    Examples
    --------
    >>> square = np.array([[10, 10], [50, 10], [50, 30], [10, 30]], np.float32)
    >>> field = FieldResult(
    ...     "a.jpg", (90, 80), (AnalysedCell(1, FoundCell(square, 0.9, RED_CELL, False)),), 30.0
    ... )
    >>> review = Review(field)
    >>> review.split(1, (30, 0), (30, 50))
    (2, 3)
    >>> review.judge(2, "Parasitized")
    >>> [(cell.number, cell.decision, cell.found.area) for cell in review.result.cells]
    [(2, 'Parasitized', 400.0), (3, None, 400.0)]
    >>> review.undo()
    True
    """

    def __init__(self, result: FieldResult) -> None:
        self._states = [result]

    @property
    def result(self) -> FieldResult:
        """The field as corrected so far."""
        return self._states[-1]

    @property
    def can_undo(self) -> bool:
        """Whether there is a correction to take back."""
        return len(self._states) > 1

    def cell(self, number: int) -> AnalysedCell:
        """The cell with this number.

        Raises
        ------
        ReviewError
            ``unknown_cell``.
        """
        for cell in self.result.cells:
            if cell.number == number:
                return cell
        raise ReviewError(f"This field has no cell {number}.", reason="unknown_cell")

    def judge(self, number: int, verdict: str) -> None:
        """Give a verdict on a cell, one of :data:`malaria_detect.fields.result.VERDICTS`."""
        if verdict not in VERDICTS:
            raise ReviewError(f"{verdict!r} is not one of {', '.join(VERDICTS)}.", reason="unknown_verdict")
        judged = replace(self.cell(number), verified=verdict)
        self._become(tuple(judged if cell.number == number else cell for cell in self.result.cells))

    def accept_rest(self) -> int:
        """Accept the model's decision on every red cell without a verdict; their number is returned.

        Cells without a decision, such as added ones, still need a verdict.
        """
        waiting = {
            cell.number for cell in self.result.cells if cell.verified is None and cell.decision is not None
        }
        if waiting:
            self._become(
                tuple(
                    replace(cell, verified=cell.decision) if cell.number in waiting else cell
                    for cell in self.result.cells
                )
            )
        return len(waiting)

    def split(self, number: int, start: tuple[float, float], end: tuple[float, float]) -> tuple[int, ...]:
        """Divide a cell by the straight line through two points; it becomes two red cells that wait for a verdict.

        Parameters
        ----------
        number : int
        start, end : tuple of float
            x and y in px. The line continues beyond them.

        Returns
        -------
        tuple of int
            Numbers of the two new cells.

        Raises
        ------
        ReviewError
            ``no_cut`` if the line leaves less than a twentieth of the cell on one side.
        """
        old = self.cell(number).found
        parts = [_half(old.outline, np.array(start), np.array(end), side) for side in (1, -1)]
        found = [FoundCell(part, old.score, RED_CELL, old.on_edge) for part in parts if len(part) > 2]
        if len(found) < 2 or min(part.area for part in found) < _LEAST_PART * old.area:
            raise ReviewError("Draw the line across the cell, from one side to the other.", reason="no_cut")
        return self._exchange(number, found)

    def add(self, x: float, y: float, width: float | None = None, height: float | None = None) -> int:
        """Add a missed red cell as an ellipse, which waits for a verdict.

        Parameters
        ----------
        x, y : float
            Centre in px.
        width, height : float, optional
            Diameters in px; default: the median diameter of the field's cells.

        Returns
        -------
        int
            Number of the new cell.

        Raises
        ------
        ReviewError
            ``outside``, ``occupied`` or ``too_small``.
        """
        size = np.array(self.result.size, float)
        diameters = np.array([width or self.result.cell_diameter, height or self.result.cell_diameter])
        centre = np.array([x, y], float)
        if not ((centre >= 0) & (centre < size)).all():
            raise ReviewError("The centre of a new cell must be in the picture.", reason="outside")
        if not diameters.min() >= _LEAST_DIAMETER:
            raise ReviewError("A new cell needs a diameter. Drag over the cell.", reason="too_small")
        others = [cell.found.outline for cell in self.result.cells]
        if any(within(other, centre[None, :1], centre[1:]).any() for other in others):
            raise ReviewError(
                "There is a cell already. Give a verdict on it, or split it.", reason="occupied"
            )
        angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
        outline = centre + diameters / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        on_edge = bool((outline < 0).any() or (outline > size).any())
        outline = _clear_of(others, centre, np.clip(outline, 0, size)).astype(np.float32)
        return self._exchange(None, [FoundCell(outline, 1.0, RED_CELL, on_edge)])[0]

    def undo(self) -> bool:
        """Take back the last correction; False if there is none."""
        if self.can_undo:
            self._states.pop()
            return True
        return False

    def change(self, decide: Callable[[FieldResult], FieldResult]) -> None:
        """Apply a change to the field and to all states before it, such as another operating point; no correction."""
        self._states = [decide(state) for state in self._states]

    def _exchange(self, number: int | None, found: list[FoundCell]) -> tuple[int, ...]:
        """Add cells in place of one; new numbers follow the highest that any state has used."""
        first = 1 + max((cell.number for state in self._states for cell in state.cells), default=0)
        new = tuple(AnalysedCell(first + place, one) for place, one in enumerate(found))
        self._become((*(cell for cell in self.result.cells if cell.number != number), *new))
        return tuple(cell.number for cell in new)

    def _become(self, cells: tuple[AnalysedCell, ...]) -> None:
        self._states.append(replace(self.result, cells=cells))


def _half(outline: np.ndarray, start: np.ndarray, end: np.ndarray, side: int) -> np.ndarray:
    """The part of a polygon on one side of a line: a clip by one half-plane (Sutherland and Hodgman)."""
    (across, along), (x, y) = end - start, (outline - start).T
    height = side * (across * y - along * x)
    corners = []
    for here in range(len(outline)):
        before = here - 1
        if (height[before] > 0) != (height[here] > 0):
            share = height[before] / (height[before] - height[here])
            corners.append(outline[before] + share * (outline[here] - outline[before]))
        if height[here] > 0:
            corners.append(outline[here])
    return np.array(corners, np.float32).reshape(-1, 2)


def _clear_of(others: list[np.ndarray], centre: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """An outline drawn in towards its centre where it would reach into another cell."""
    points = centre + np.linspace(0, 1, 65)[:, None, None] * (outline - centre)
    taken = np.zeros(points.shape[:2], bool)
    for other in others:
        if (other.max(axis=0) > outline.min(axis=0)).all() and (
            other.min(axis=0) < outline.max(axis=0)
        ).all():
            x, y = points.reshape(-1, 2).T
            taken |= within(other, x[:, None], y).reshape(taken.shape)
    last = np.argmax(np.vstack([taken, np.ones((1, taken.shape[1]), bool)]), axis=0) - 1
    return points[last, np.arange(len(outline))]
