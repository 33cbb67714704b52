"""Log-odds of several designs on the same cells: the table next to a comparison."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from malaria_detect.core.csv_io import CsvError, read_rows, write_rows
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
    def read(cls, path: Path, trained: Mapping[str, Trained]) -> "ScoredCells":
        """The columns of the designs of a comparison, in their order, from a file of :meth:`write`.

        Raises
        ------
        ComparisonError
            If the file is missing or damaged, or is of other trainings; ``reason`` is ``damaged``.
        """
        if not trained:
            return cls((), {})
        try:
            rows = [row for _, row in read_rows(path, (*_COLUMNS, *trained))]
            values = np.array([row[len(_COLUMNS) :] for row in rows], dtype=float)
        except (CsvError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        cells = tuple((file, group, label) for file, group, label, *_ in rows)
        found = cls(cells, {name: values[:, place] for place, name in enumerate(trained)} if rows else {})
        for name, one in trained.items():
            if not rows or not found._agrees(name, one):
                raise _damaged(path, f"the log-odds of {name} are of another training")
        return found

    def _agrees(self, name: str, trained: Trained) -> bool:
        """Whether the log-odds give the accuracy that the result states."""
        right = (self.log_odds[name] >= logit(trained.scores.threshold)) == self.parasitized
        # A log-odds may be rounded across the threshold.
        return abs(right.mean() - trained.scores.estimates["accuracy"].value) < 1.5 / len(right)

    @property
    def parasitized(self) -> NDArray[np.bool_]:
        """Whether the label of each cell is parasitized, (N,)."""
        return np.array([label for _, _, label in self.cells]) == CLASSES[0]

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
        both = difference(self.parasitized, first, second, [group for _, group, _ in self.cells])
        return {score: both[score] for score in COMPARED}

    def write(self, path: Path, names: Sequence[str]) -> None:
        """Write the columns of these designs, in this order, as CSV; nothing without cells."""
        if self.cells:
            columns = [[float(f"{value:.7g}") for value in self.log_odds[name]] for name in names]
            rows = [(*cell, *values) for cell, *values in zip(self.cells, *columns, strict=True)]
            write_rows(path, (*_COLUMNS, *names), rows)


def _damaged(path: Path, why: str) -> ComparisonError:
    return ComparisonError(
        f"{path} does not fit its comparison ({why}). Restore both files, or choose another --output.",
        "damaged",
    )
