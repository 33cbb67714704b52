"""Scores that the author of a design published."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """Scores that the author of a design published.

    Attributes
    ----------
    protocol : str
        How the author split the cells, such as ``random 70/30``.
    scores : dict of str to float
        Named as in :class:`malaria_detect.metrics.Scores`, 0 to 1.
    also : str
        Other results, in words; empty if there are none.
    where : str
        The source.
    """

    protocol: str
    scores: dict[str, float]
    also: str
    where: str
