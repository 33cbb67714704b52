"""A finder for drawn fields, which knows their outlines: tests of what follows need no network for finding."""

import hashlib

import numpy as np

from malaria_detect.fields.cell import FoundCell
from malaria_detect.fields.finder_files import FinderMetadata
from malaria_detect.fields.usable import FieldRefused
from tests.drawn_fields import Drawn, drawn_field, red_or_white

# Few cells, because classifying takes a while.
FEW = Drawn(cells=5, parasitized=2, on_edge=1, size=(320, 320))


class KnownFinder:
    """Finds the cells of the fields that it was given; other pictures have none.

    Parameters
    ----------
    fields : sequence of (pixels, outlines, kinds)
        From `drawn_field`.
    """

    metadata = FinderMetadata(
        1, "known.pt", "0" * 64, 0, 0.5, 1.0, {}, [], "", "", {}, "2026-11-30", "", "", ""
    )

    def __init__(self, *fields: tuple[np.ndarray, list[np.ndarray], list[str]]) -> None:
        self._known = {_digest(pixels): (outlines, kinds) for pixels, outlines, kinds in fields}
        self.looked_at = 0

    @classmethod
    def of(cls, *seeds: int, drawn: Drawn = FEW) -> "KnownFinder":
        """Finder for the drawn fields of these seeds."""
        return cls(*(drawn_field(seed, drawn) for seed in seeds))

    def find(self, pixels: np.ndarray, cell_diameter: float | None = None) -> list[FoundCell]:
        """The drawn cells."""
        self.looked_at += 1
        outlines, kinds = self._known.get(_digest(pixels), ([], []))
        if not outlines:
            raise FieldRefused("There are no cells.", reason="no_cells")
        sides = np.array(pixels.shape[1::-1])
        return [
            FoundCell(
                outline, 0.9, red_or_white(kind), bool((outline <= 0).any() or (outline >= sides).any())
            )
            for outline, kind in zip(outlines, kinds, strict=True)
        ]


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(pixels.tobytes()).digest()
