"""Log-odds of several designs on the same cells: the table next to a comparison."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from malaria_detect.core.csv_io import read_rows, write_rows
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.designs.comparison import COMPARED, ComparisonError, Trained
from malaria_detect.designs.scoring import ScoredDesign
from malaria_detect.metrics import Estimate, difference, scaled

_COLUMNS = ("file", "patient_group", "label")


@dataclass(frozen=True, eq=False)
class ScoredCells:
    """Test cells, (file, patient group, label) each, and by name of the design their calibrated log-odds, (N,)."""

    cells: tuple[tuple[str, str, str], ...]
    log_odds: dict[str, NDArray[np.float64]]

    @classmethod
    def read(cls, path: Path, names: Iterable[str]) -> "ScoredCells":
        """The columns of some designs from a file of :meth:`write`; nothing if there are none.

        Raises
        ------
        CsvError
            If the file is missing or damaged.
        """
        if not (names := tuple(names)):
            return cls((), {})
        rows = [row for _, row in read_rows(path, (*_COLUMNS, *names))]
        columns = zip(*(row[len(_COLUMNS) :] for row in rows), strict=True)
        found = {name: np.array(column, dtype=float) for name, column in zip(names, columns, strict=True)}
        return cls(tuple((file, group, label) for file, group, label, *_ in rows), found)

    def joined(self, scored: Iterable[ScoredDesign]) -> "ScoredCells":
        """With the columns of these designs added, or replaced; other cells raise ComparisonError."""
        found = self
        for one in scored:
            cells = tuple(zip(one.held_out.files, one.held_out.groups, one.held_out.labels, strict=True))
            if found.cells and sorted(cells) != sorted(found.cells):
                raise ComparisonError(
                    f"{one.design.name} was not scored on the same cells as {', '.join(found.log_odds)}. "
                    "Choose another --work or --output.",
                    "other_cells",
                )
            by_cell = dict(zip(cells, np.array(one.held_out.values) / one.temperature, strict=True))
            order = found.cells or tuple(sorted(cells))
            column = {one.design.name: np.array([by_cell[cell] for cell in order])}
            found = replace(found, cells=order, log_odds={**found.log_odds, **column})
        return found

    def minus(self, name: str, ours: str, trained: Mapping[str, Trained]) -> dict[str, Estimate]:
        """Scores of a design minus those of ours, each at its own threshold; empty for ours, and without it."""
        if name == ours or ours not in self.log_odds:
            return {}
        # Shifted so that each threshold is 0.5: then both can be scored together.
        first, second = (
            scaled(self.log_odds[one] - logit(trained[one].scores.threshold), 1.0) for one in (name, ours)
        )
        _, groups, labels = zip(*self.cells, strict=True)
        both = difference(np.array(labels) == CLASSES[0], first, second, groups)
        return {score: both[score] for score in COMPARED}

    def write(self, path: Path) -> None:
        """Write the table as CSV; nothing without cells."""
        if self.cells:
            columns = [[float(f"{value:.7g}") for value in column] for column in self.log_odds.values()]
            rows = [(*cell, *values) for cell, *values in zip(self.cells, *columns, strict=True)]
            write_rows(path, (*_COLUMNS, *self.log_odds), rows)
