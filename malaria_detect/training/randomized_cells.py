"""Cells as other laboratories would show them: other stains, neighbours, cut-outs, microscopes and cameras.

A network that is trained on the images of one laboratory learns its colours and its cut-outs along with the parasites.
If every image has a look of its own, drawn at random and far beyond what is realistic, only the parasites are left to
learn (domain randomization [1]_). Cells are changed as absorbance, which adds up as stains do (Beer-Lambert).

Uninfected cells of other laboratories may be among the cells. Half of them get parasites of NLM's cells, so that
neither camera nor stain predicts the class, see :mod:`malaria_detect.training.transplants`.

References
----------
.. [1] Tobin et al. 2017, Domain randomization for transferring deep neural networks from simulation to the real world,
   arXiv 1703.06907.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from malaria_detect.training.absorbance import Absorbance
from malaria_detect.training.random_draws import around, between, chance, factor, wide
from malaria_detect.training.randomized_camera import photographed
from malaria_detect.training.transplants import transplanted

# How a cell is shown: on black by its exact outline, on black with a margin of smear, as a box cut out of the field, or
# as a piece of the field; and how often.
EXACT, LOOSE, BOX, FIELD = range(4)
_SHOWN = (0.4, 0.2, 0.22, 0.18)
# Share of cells that keep the stain of their laboratory, most of them on black as NLM publishes them.
_OWN_STAIN, _OWN_CUT = 0.4, 0.7
_BORROWED_OWN_STAIN = 0.65
_NEIGHBOURS = 3


def randomized(
    cells: torch.Tensor, shares: torch.Tensor, borrowed: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells with a random look each, drawn with torch's global generator, on the device of the cells.

    Parameters
    ----------
    cells : torch.Tensor, uint8, shape (N, 3, side, side)
        On black, padded to squares.
    shares : torch.Tensor, float32, shape (N,)
        Probability that a cell is parasitized, 0 to 1: its label.
    borrowed : torch.Tensor, bool, shape (N,)
        Whether it is an uninfected cell of another laboratory.
    size : int
        Side of the images in px.

    Returns
    -------
    images : torch.Tensor, float32, shape (N, 3, size, size)
        RGB, 0 to 1.
    shares : torch.Tensor, float32, shape (N,)
        Changed where parasites were transplanted.

    Examples
    --------
    >>> disc = (torch.hypot(*torch.meshgrid(*[torch.arange(-32.0, 32)] * 2, indexing="xy")) < 28) * 200
    >>> cells = disc.byte().expand(4, 3, 64, 64)
    >>> images, shares = randomized(cells, torch.tensor([0.0, 0, 1, 1]), torch.zeros(4, dtype=torch.bool), 48)
    >>> images.shape, shares.shape
    (torch.Size([4, 3, 48, 48]), torch.Size([4]))
    """
    # All random numbers and grids are made where the cells are.
    with cells.device:
        return _randomized(cells, shares, borrowed, size)


def _randomized(
    cells: torch.Tensor, shares: torch.Tensor, borrowed: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    parts = Absorbance.of(cells)
    parts, shares = transplanted(parts, shares, borrowed)
    number = len(cells)
    own = chance(number, torch.where(borrowed, _BORROWED_OWN_STAIN, _OWN_STAIN))
    shown = torch.multinomial(torch.tensor(_SHOWN), number, replacement=True)
    shown[own & chance(number, _OWN_CUT)] = EXACT
    stain = _Stain.drawn(number)
    stained = torch.where(wide(own), parts.total * factor(0.1, number, 1, 1, 1), stain.on(parts))
    place = _Place.drawn(shown)
    layers = place.layers(torch.cat([stained, parts.cover], 1), size)
    absorbance, cover = layers[:, :3], layers[:, 3:]
    among = torch.nonzero(shown != EXACT)[:, 0]
    if len(among):
        absorbance = absorbance.clone()
        absorbance[among] += _neighbours(parts, stain, own, place, among, size) * _visible(cover[among])
    background = torch.where(
        own[:, None],
        parts.light[:, :, 0, 0] * factor(0.05, number, 1) * between(1.0, 1.2, number, 1),
        _blank_smear(number),
    )
    picture = background[..., None, None] * _light(number, size) * torch.exp(-absorbance)
    kept = _kept(shown, place, parts.cover, cover)
    return photographed(picture, kept, own), shares


@dataclass(frozen=True, eq=False)
class _Stain:
    """Absorbance of evenly stained cells, (N, 3, 1, 1), and the strength of everything else, (N, 3, 1, 1)."""

    even: torch.Tensor
    strength: torch.Tensor

    @classmethod
    def drawn(cls, number: int) -> "_Stain":
        channels = [between(low, high, number) for low, high in ((0.02, 0.3), (0.12, 0.65), (0.04, 0.45))]
        even = torch.stack(channels, 1) * between(0.5, 1.2, number, 1)
        strength = factor(0.3, number, 1) * factor(0.18, number, 3)
        return cls(even[..., None, None], strength[..., None, None])

    def on(self, parts: Absorbance) -> torch.Tensor:
        """Absorbance of the cells in this stain."""
        return (
            self.even * parts.cover * factor(0.15, len(parts.cover), 1, 1, 1) + parts.uneven * self.strength
        )


@dataclass(frozen=True, eq=False)
class _Place:
    """Where cells are in their images: an affine map from the image to the cell, and how it was made.

    ``turn`` (N, 2, 2) maps the image's coordinates (-1 to 1) to those of the cell, ``shift`` (N, 2) is the cell's
    centre in the image, ``reach`` (N,) how many times the image is larger than the cell, ``margin`` (N,) the share by
    which a cut-out is larger than the cell.
    """

    turn: torch.Tensor
    shift: torch.Tensor
    reach: torch.Tensor
    margin: torch.Tensor

    @classmethod
    def drawn(cls, shown: torch.Tensor) -> "_Place":
        number = len(shown)
        margin = torch.where(shown == EXACT, between(-0.03, 0.04, number), between(0.04, 0.16, number))
        reach = 1 + margin.clamp_min(0)
        reach = torch.where(shown == BOX, between(0.95, 1.2, number), reach)
        reach = torch.where(shown == FIELD, between(1.0, 1.6, number), reach) * factor(0.04, number)
        shift = around(0.03, number, 2) * torch.where(shown >= BOX, 2.0, 1.0)[:, None]
        return cls(_turns(reach), shift, reach, margin)

    def layers(self, layers: torch.Tensor, size: int, margin: torch.Tensor | None = None) -> torch.Tensor:
        """Layers of the cells, (N, C, side, side), in their places; outlines moved outwards by a margin."""
        turn = self.turn if margin is None else self.turn / (1 + margin)[:, None, None]
        offset = -turn @ self.shift[..., None]
        grid = functional.affine_grid(
            torch.cat([turn, offset], 2), [len(layers), 1, size, size], align_corners=False
        )
        return functional.grid_sample(layers, grid, align_corners=False)

    def at(self, chosen: torch.Tensor) -> "_Place":
        return _Place(*(value[chosen] for value in vars(self).values()))


def _turns(reach: torch.Tensor) -> torch.Tensor:
    """Rotations, reflections and a slight stretching, (N, 2, 2)."""
    number = len(reach)
    angle, stretch = between(0, 2 * math.pi, number), factor(0.06, number)
    mirrored = torch.where(chance(number, 0.5), 1.0, -1.0)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    x, y = reach * stretch * mirrored, reach / stretch
    return torch.stack([torch.stack([cosine * x, -sine * y], 1), torch.stack([sine * x, cosine * y], 1)], 1)


def _neighbours(
    parts: Absorbance, stain: _Stain, own: torch.Tensor, place: _Place, among: torch.Tensor, size: int
) -> torch.Tensor:
    """Absorbance of other cells around those at the positions `among`, in their stain: (n, 3, size, size)."""
    number, centre = len(among), place.at(among)
    absorbance = torch.zeros(number, 3, size, size)
    for _ in range(_NEIGHBOURS):
        who = torch.randint(len(own), (number,))
        even, strength = stain.even[among], stain.strength[among]
        stained = even * parts.cover[who] + parts.uneven[who] * strength
        stained = torch.where(wide(own[among]), parts.total[who], stained)
        reach = centre.reach * factor(0.1, number)
        angle = between(0, 2 * math.pi, number)
        away = (1 / centre.reach + 1 / reach) * between(0.75, 1.2, number)
        shift = torch.stack([torch.cos(angle), torch.sin(angle)], 1) * away[:, None] + centre.shift
        there = _Place(_turns(reach), shift, reach, centre.margin)
        layers = there.layers(torch.cat([stained, parts.cover[who]], 1), size)
        layers = layers * wide(chance(number, 0.6))
        absorbance = absorbance * (1 - layers[:, 3:] * between(0, 1, number, 1, 1, 1)) + layers[:, :3]
    return absorbance


def _visible(cover: torch.Tensor) -> torch.Tensor:
    """How much of what lies under cells is visible: translucent cells darken each other, others hide it."""
    number = len(cover)
    through = between(0.2, 1, number, 1, 1, 1) * wide(chance(number, 0.5))
    return 1 - cover * (1 - through)


def _blank_smear(number: int) -> torch.Tensor:
    tint = between(0.8, 1.0, number, 3)
    return between(0.5, 1.0, number, 1) * tint / tint.amax(1, keepdim=True)


def _light(number: int, size: int) -> torch.Tensor:
    """Uneven light, (N, 1, size, size), about 1."""
    line = torch.linspace(-1, 1, size)
    across, down = (around(0.06, number, 1, 1, 1) for _ in range(2))
    return 1 + across * line + down * line[:, None]


def _kept(shown: torch.Tensor, place: _Place, cover: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
    """What is left of the images, (N, 1, size, size): the rest is black, as around a cut-out."""
    size = placed.shape[2]
    kept = torch.ones_like(placed)
    cut = torch.nonzero(shown <= LOOSE)[:, 0]
    kept[cut] = place.at(cut).layers(cover[cut], size, place.margin[cut]).round()
    boxed = torch.nonzero(shown == BOX)[:, 0]
    margin = (between(-0.02, 0.08, len(boxed)) * size / place.reach[boxed]).round().long()
    for index, extra in zip(boxed.tolist(), margin.tolist(), strict=True):
        inside = placed[index, 0] > 0.5
        box = torch.zeros(size, size)
        rows, columns = (torch.nonzero(inside.any(axis))[:, 0] for axis in (1, 0))
        if len(rows):
            top, bottom, left, right = (
                rows[0] - extra,
                rows[-1] + extra,
                columns[0] - extra,
                columns[-1] + extra,
            )
            box[max(0, top) : bottom + 1, max(0, left) : right + 1] = 1
            kept[index, 0] = box
    return kept
