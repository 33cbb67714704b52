"""Scores that the author of a design published."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """Scores that the author of a design published, 0 to 1, named as in :class:`malaria_detect.metrics.Scores`.

    ``protocol`` is how the author split the cells, such as ``random 70/30``; ``also`` are other results, in words;
    ``where`` is the source.
    """

    protocol: str
    scores: dict[str, float]
    also: str
    where: str
