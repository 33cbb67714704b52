"""Try some cells: a random handful from the cells folder, with their published labels."""

import os
import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.app.widgets.upload import Upload
from malaria_detect.data.nlm_cells import CELLS_VARIABLE, Cell, CellsError, default_folder, find_cells

HANDFUL = 8


class CellSamples(Part):
    """A button that brings a random handful of labelled cells.

    Parameters
    ----------
    receive : callable
        Gets the cells as uploads with labels. Returns nothing, or a sentence that says why it did not take them.
    test_groups : collection of str
        Patient groups that the model was not trained on: cells come from these where the folder has any.
    seed : int, optional
        The same seed draws the same handfuls.
    """

    _esm = script("samples.js")
    note = traitlets.Unicode(f"No picture at hand? Take {HANDFUL} labelled cells of the NIH/NLM set.").tag(
        sync=True
    )

    def __init__(
        self,
        receive: Callable[[Sequence[Upload]], str | None],
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
        """Draw a handful and hand it on; the note says what is known of the cells."""
        try:
            # Listed anew for each handful: 27,558 paths are too much to keep for every visitor.
            cells, unseen = handful(find_cells().cells, self._test_groups, self._random)
            uploads = [Upload(cell.path.name, cell.path.read_bytes(), cell.label) for cell in cells]
        except (CellsError, OSError) as error:
            self.note = str(error)
            return
        self.note = self._receive(uploads) or (
            "These cells are of test patients: the model was not trained on them."
            if unseen
            else "The model may have been trained on these very cells: its answers look better here than on new ones."
        )

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        if content.get("type") == "draw":
            self.draw()


def cells_at_hand() -> bool:
    """Whether there is a cells folder, without listing it."""
    return Path(os.environ.get(CELLS_VARIABLE) or default_folder()).is_dir()


def handful(
    cells: Sequence[Cell], test_groups: Collection[str], generator: random.Random
) -> tuple[list[Cell], bool]:
    """Draw `HANDFUL` cells at random, of test patients where there are enough of them.

    Returns
    -------
    cells : list of Cell
    unseen : bool
        Whether all of them are of test patients.
    """
    unseen = [cell for cell in cells if cell.group in test_groups]
    pool = unseen if len(unseen) >= HANDFUL else list(cells)
    return generator.sample(pool, min(HANDFUL, len(pool))), pool is unseen
