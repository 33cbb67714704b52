"""A random sample of labelled cells to try, from the cells folder."""

import os
import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, Cell, CellsError, default_folder, find_cells

HANDFUL = 8


class CellSamples(Part):
    """A button that loads a random sample of labelled cells.

    Parameters
    ----------
    receive : callable
        Gets the cells as files with labels. Returns None, or a sentence that says why it did not take them.
    test_groups : collection of str
        Patient groups that the model was not trained on. Cells come from these if there are enough.
    seed : int, optional
        For repeatable samples.
    """

    _esm = script("samples.js")
    note = traitlets.Unicode(f"No images at hand? Try {HANDFUL} labelled cells of the NIH/NLM data set.").tag(
        sync=True
    )

    def __init__(
        self,
        receive: Callable[[Sequence[UploadedFile]], str | None],
        test_groups: Collection[str] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._receive = receive
        self._test_groups = frozenset(test_groups)
        self._random = random.Random(seed)
        self.on_msg(self._hear)

    def draw(self) -> None:
        """Draw a sample and hand it on; `note` says whether the model was trained on these patients."""
        try:
            # The folder is listed each time: 27,558 paths are too much memory for every visitor.
            cells, unseen = handful(find_cells().cells, self._test_groups, self._random)
            files = [UploadedFile(cell.path.name, cell.path.read_bytes(), cell.label) for cell in cells]
        except (CellsError, OSError) as error:
            self.note = str(error)
            return
        self.note = self._receive(files) or (
            "These cells are from test patients. The model was not trained on them."
            if unseen
            else "The model may have been trained on these cells. On new cells it makes more mistakes."
        )

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        if content.get("type") == "draw":
            self.draw()


def has_cells() -> bool:
    """Whether the cells folder exists; it is not listed."""
    return Path(os.environ.get(CELLS_VARIABLE) or default_folder()).is_dir()


def handful(
    cells: Sequence[Cell], test_groups: Collection[str], generator: random.Random
) -> tuple[list[Cell], bool]:
    """Draw `HANDFUL` cells at random, from test patients if they have enough cells.

    Returns
    -------
    cells : list of Cell
    unseen : bool
        Whether all of them are from test patients.
    """
    unseen = [cell for cell in cells if cell.group in test_groups]
    pool = unseen if len(unseen) >= HANDFUL else list(cells)
    return generator.sample(pool, min(HANDFUL, len(pool))), pool is unseen
