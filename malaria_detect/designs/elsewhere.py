"""Cells of other laboratories for designs, all of them the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from malaria_detect.data.field_truth import FieldSet
from malaria_detect.designs.comparison import OURS, LaboratoryShares
from malaria_detect.designs.scoring import ScoredDesign
from malaria_detect.evaluation.field_benchmark import Finder
from malaria_detect.evaluation.laboratories import BOX, OUTLINE
from malaria_detect.evaluation.laboratory_cells import cut_cells
from malaria_detect.evaluation.score_laboratories import called_shares, unseen_fields
from malaria_detect.inference.metadata import ModelMetadata
from malaria_detect.training.settings import DivergedError


@dataclass(frozen=True, eq=False)
class LaboratoryCells:
    """Cells of one laboratory that are cut out in one way, as columns; see :class:`LaboratoryShares`.

    `basis` is what the shipped model has learnt of the laboratory.
    """

    name: str
    cut: str
    basis: str
    images: tuple[Image.Image, ...]
    parasitized: NDArray[np.bool_]
    fields: tuple[str, ...]

    def called(self, one: ScoredDesign) -> LaboratoryShares:
        """Shares of the cells that a design calls right; DivergedError if its probabilities are no numbers."""
        number, probability = int(self.parasitized.sum()), one.probability(self.images)
        if not np.isfinite(probability).all():
            raise DivergedError
        return LaboratoryShares(
            name=self.name,
            cut=self.cut,
            basis=self.basis if one.design.name == OURS else "not trained on",
            fields=len(set(self.fields)),
            parasitized=number,
            uninfected=len(self.images) - number,
            called=called_shares(self.parasitized, probability >= one.threshold, self.fields),
        )


def cells_elsewhere(
    sets: Sequence[FieldSet], finder: Finder, shipped: ModelMetadata, progress: bool = True
) -> list[LaboratoryCells]:
    """Cells of annotated fields from which the shipped model has learnt nothing, cut out by outline and by box.

    Raises
    ------
    FieldAnnotationError
        If a field cannot be read, or the shipped model has learnt from all fields of a laboratory.
    """
    found = []
    for one in sets:
        fields, basis = unseen_fields(one, shipped)
        shown = tqdm(fields, one.name, unit="field", disable=not progress)
        cells = [cell for field in shown for cell in cut_cells(field, finder)]
        for cut in (OUTLINE, BOX):
            pairs = [(cell, cell.image) for cell in cells if cell.cut == cut and cell.image is not None]
            if pairs:
                kept, images = zip(*pairs, strict=True)
                labels = np.array([cell.parasitized for cell in kept])
                found.append(
                    LaboratoryCells(one.name, cut, basis, images, labels, tuple(cell.field for cell in kept))
                )
    return found
