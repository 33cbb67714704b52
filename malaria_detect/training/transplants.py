"""Parasites on other cells: transplanted, grown or drawn; and artefacts that only look like them.

NLM's parasites are *P. falciparum*, most of them rings. Other species and later stages are larger, fill their cell, and
stipple it (Schüffner's dots); other smears have refractile drying artefacts. Both are drawn.
"""

import math
from dataclasses import replace

import torch
from torch.nn import functional

from malaria_detect.training.absorbance import Absorbance
from malaria_detect.training.random_draws import around, between, chance, wide

# Share of the cells that get what is on another cell: of borrowed and of NLM's cells.
_TRANSPLANTED_BORROWED, _TRANSPLANTED = 0.7, 0.08
# Share of donors that are parasitized.
_INFECTED_DONORS = 0.45
# Share of the cells that a drawn parasite fills, and that get artefacts.
_FILLED, _ARTEFACTS = 0.04, 0.08
# Absorbance below it is noise.
_VISIBLE = 0.03


def transplanted(
    parts: Absorbance, shares: torch.Tensor, borrowed: torch.Tensor
) -> tuple[Absorbance, torch.Tensor]:
    """Cells, some of them with parasites and artefacts added, and their labels.

    Parameters
    ----------
    parts : Absorbance
        Of N cells.
    shares : torch.Tensor, float32, shape (N,)
        Probability that a cell is parasitized.
    borrowed : torch.Tensor, bool, shape (N,)
        Whether it is of another laboratory.

    Returns
    -------
    Absorbance
    torch.Tensor, float32, shape (N,)
    """
    number = len(shares)
    total, shares = parts.total.clone(), shares.clone()
    takers = torch.nonzero(
        chance(number, torch.where(borrowed, _TRANSPLANTED_BORROWED, _TRANSPLANTED))
        & (borrowed | (shares < 0.1))
    )[:, 0]
    donors, infected = (torch.nonzero(~borrowed & (shares > least))[:, 0] for least in (-1.0, 0.9))
    if len(takers) and len(infected):
        chosen = torch.where(
            chance(len(takers), _INFECTED_DONORS),
            infected[torch.randint(len(infected), (len(takers),))],
            donors[torch.randint(len(donors), (len(takers),))],
        )
        grown = _moved((parts.uneven[chosen] - _VISIBLE).clamp_min(0))
        total[takers] += grown * parts.cover[takers] * between(0.8, 1.4, len(takers), 1, 1, 1)
        shares[takers] = shares[chosen]
    filled = torch.nonzero(chance(number, _FILLED))[:, 0]
    if len(filled):
        total[filled] += _large_parasites(parts.cover[filled])
        shares[filled] = 0.97
    spotted = torch.nonzero(chance(number, _ARTEFACTS))[:, 0]
    if len(spotted):
        total[spotted] += _artefacts(parts.cover[spotted])
    return replace(parts, total=total), shares


def _moved(parasites: torch.Tensor) -> torch.Tensor:
    """Parasites turned, grown and moved to another place in the cell, (n, 3, side, side)."""
    number, _, side, _ = parasites.shape
    line = torch.linspace(-1, 1, side)
    weight = parasites.sum(1) ** 2
    mass = weight.sum((1, 2)).clamp_min(1e-6)
    centre = torch.stack([(weight.sum(axis) * line).sum(1) / mass for axis in (1, 2)], 1)
    angle, zoom = between(0, 2 * math.pi, number), torch.exp(between(-0.3, 0.9, number))
    cosine, sine = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    away, direction = between(0, 0.6, number), between(0, 2 * math.pi, number)
    place = torch.stack([torch.cos(direction), torch.sin(direction)], 1) * away[:, None]
    offset = centre[..., None] - turn @ place[..., None]
    grid = functional.affine_grid(torch.cat([turn, offset], 2), [number, 1, side, side], align_corners=False)
    return functional.grid_sample(parasites, grid, align_corners=False)


def _large_parasites(cover: torch.Tensor) -> torch.Tensor:
    """Absorbance of drawn parasites that fill a part of the cell or all of it, with grains, (n, 3, side, side)."""
    number, _, side, _ = cover.shape
    purple = torch.stack(
        [between(low, high, number) for low, high in ((0.6, 1.2), (0.9, 1.5), (0.15, 0.7))], 1
    )
    body = torch.sigmoid(6 * (_noise(number, side, 3) + between(-0.2, 1.0, number, 1, 1, 1)))
    grains = (_noise(number, side, int(between(10, 30))) + between(0.0, 0.5, number, 1, 1, 1)).clamp(0, 1.5)
    strength = between(0.15, 0.6, number, 1, 1, 1)
    pigment = (_noise(number, side, 24) - 1.6).clamp(0, 1) * between(0, 1.0, number, 1, 1, 1)
    return cover * (body * (0.3 + grains) * strength * purple[..., None, None] + body * pigment)


def _artefacts(cover: torch.Tensor) -> torch.Tensor:
    """Absorbance of refractile spots, bright within a dark rim or the reverse, without colour, (n, 3, side, side)."""
    number, _, side, _ = cover.shape
    line = torch.linspace(-1, 1, side)
    spots = torch.zeros(number, 1, side, side)
    for _ in range(3):
        x, y = around(0.35, 2, number, 1, 1, 1)
        distance = torch.hypot(line - x, line[:, None] - y) / between(0.03, 0.16, number, 1, 1, 1)
        rim = torch.exp(-((distance - between(0.8, 1.3, number, 1, 1, 1)) ** 2) * 3)
        core = torch.exp(-(distance**2) * 2)
        spot = between(0, 0.5, number, 1, 1, 1) * rim + between(-0.5, 0.3, number, 1, 1, 1) * core
        spots += spot * wide(chance(number, 0.5))
    tint = 1 + around(0.12, number, 3, 1, 1)
    return cover * spots * tint


def _noise(number: int, side: int, cells: int) -> torch.Tensor:
    """Smooth noise with about `cells` grains across, standard deviation about 1, (number, 1, side, side)."""
    coarse = torch.randn(number, 1, cells, cells)
    return functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
