"""What the author of a design published about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """What a design's author printed.

    Attributes
    ----------
    protocol : str
        How the author split the cells, as a sentence's part: ``random 70/30``.
    scores : dict of str to float
        Named as in :class:`malaria_detect.metrics.Scores`, 0 to 1.
    also : str
        What fits none of these names; empty for nothing.
    where : str
        Who says so.
    """

    protocol: str
    scores: dict[str, float]
    also: str
    where: str
