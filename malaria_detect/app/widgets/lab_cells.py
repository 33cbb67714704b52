"""Cells of a laboratory: label them, and see what teaching them gains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from malaria_detect.app.teach_wording import (
    ADAPTED,
    OUTDATED,
    SHIPPED,
    home_change,
    judged_on,
    judgement_rows,
    labelled,
    needed,
    verdict,
)
from malaria_detect.app.widgets.base import STYLE, Part, script
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.adapt import LEAST_CELLS, SiteCells
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.judge import Judgement
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.inference.teach import CellFeatures
from malaria_detect.metrics.formatting import format_probability

LEFT_OUT = "Left out"
LABELS = (*CLASSES, LEFT_OUT)
# What the browser can ask for, apart from labels.
REQUESTS = ("slide", "estimate", "download", "adapted", "shipped", "clear")


@dataclass
class LabCell:
    """A cell of a laboratory.

    Attributes
    ----------
    name, group : str
        Unique name, and the patient or field of the cell; its name if that tells none.
    picture : bytes
        PNG file for the browser.
    seen : CellFeatures
        What the shipped model sees in it.
    label : str or None
        A person's, one of `LABELS`; None before.
    """

    name: str
    group: str
    picture: bytes
    seen: CellFeatures
    label: str | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """An adapted model, the cells that it has learnt, and how it was judged."""

    cells: SiteCells
    judgement: Judgement
    adapted: Adapted


class LabCells(Part):
    """The cells of a laboratory under review, and the estimate of what teaching them gains.

    Pictures and names go to the browser as messages and never become widget state.

    Parameters
    ----------
    asked : callable
        Gets what the visitor asks for, one of `REQUESTS`.
    """

    _esm = script("grid.js", "teach.js")
    # A text, because it combines files.
    _css = "\n".join((STYLE / name).read_text(encoding="utf-8") for name in ("page.css", "review.css"))  # type: ignore[assignment]
    research_use = traitlets.Unicode(RESEARCH_USE).tag(sync=True)

    def __init__(self, asked: Callable[[str], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells: list[LabCell] = []
        self.refused: list[str] = []
        self.estimate: Lesson | None = None
        self.in_use = SHIPPED
        self._asked = asked
        # Numbers are never reused, as a message about a cleared cell may still arrive.
        self._first = 0
        self._progress: dict[str, Any] = {}
        self.progress(0, 0)
        self.on_msg(self._hear)

    @property
    def counts(self) -> tuple[int, int]:
        """Number of cells labelled parasitized, and uninfected."""
        labels = [cell.label for cell in self.cells]
        return labels.count(CLASSES[0]), labels.count(CLASSES[1])

    @property
    def labelled(self) -> SiteCells | None:
        """The labelled cells; None while a class has too few."""
        if min(self.counts) < LEAST_CELLS:
            return None
        cells = [cell for cell in self.cells if cell.label in CLASSES]
        return SiteCells(
            np.concatenate([cell.seen.features for cell in cells]),
            np.array([cell.label == CLASSES[0] for cell in cells]),
            tuple(cell.name for cell in cells),
            tuple(cell.group for cell in cells),
        ).without_names()

    def add(self, cell: LabCell) -> None:
        """Show one more cell."""
        self.cells.append(cell)
        self._send_cell(len(self.cells) - 1)

    def progress(self, done: int, total: int, problem: str = "", doing: str = "") -> None:
        """Show how much of the work is done, or a problem.

        Parameters
        ----------
        done, total : int
        problem : str
        doing : str
            What is done now, if it is not reading cells.
        """
        self._progress = {"done": done, "total": total, "problem": problem, "doing": doing}
        self.show()

    def show(self) -> None:
        """Send everything but the cells to the browser."""
        counts = self.counts
        self.send(
            {
                "type": "state",
                "cells": len(self.cells),
                "sentence": labelled(*counts) if self.cells else "",
                "needed": needed(*counts),
                "enough": min(counts) >= LEAST_CELLS,
                "refused": self.refused,
                "estimate": self._shown_estimate(),
                "models": [SHIPPED, ADAPTED],
                "in_use": self.in_use,
            }
            | self._progress
        )

    def clear(self) -> None:
        """Remove all cells, here and in the browser; the estimate stays as long as its model is in use."""
        self._first += len(self.cells)
        self.cells.clear()
        self.refused.clear()
        if self.in_use == SHIPPED:
            self.estimate = None
        self.send({"type": "clear"})
        self.progress(0, 0)

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        match content:
            case {"type": "hello"}:
                for position in range(len(self.cells)):
                    self._send_cell(position)
                self.show()
            case {"type": "label", "id": int(number), "label": str(label)} if label in LABELS:
                if number - self._first in range(len(self.cells)):
                    self.cells[number - self._first].label = label
                    self.send({"type": "labelled", "id": number, **self._said(number - self._first)})
                    self.show()
            case {"type": str(request)} if request in REQUESTS:
                self._asked(request)

    def _send_cell(self, position: int) -> None:
        cell = self.cells[position]
        about = {"type": "cell", "id": self._first + position, "name": cell.name}
        self.send(about | self._said(position), buffers=[cell.picture])

    def _said(self, position: int) -> dict[str, str]:
        """The label of a cell and, only then, the model's answer: who knows it tends to follow it."""
        cell = self.cells[position]
        model = f"Model: parasitized {format_probability(cell.seen.probability_parasitized)}"
        return {"label": cell.label or "", "says": model if cell.label else ""}

    def _shown_estimate(self) -> dict[str, Any] | None:
        if self.estimate is None:
            return None
        judgement, learnt, now = self.estimate.judgement, self.estimate.cells, self.labelled
        better, sentence = verdict(judgement)
        same = (
            now is not None
            and np.array_equal(now.features, learnt.features)
            and np.array_equal(now.parasitized, learnt.parasitized)
        )
        return {
            "better": better,
            "sentence": sentence,
            "cost": home_change(judgement),
            "basis": judged_on(judgement),
            "rows": judgement_rows(judgement),
            "outdated": "" if same else OUTDATED,
        }
