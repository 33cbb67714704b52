"""What a design is, and what its author published about it; no torch."""

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


@dataclass(frozen=True)
class AuthorSplit:
    """How the author of a design split the cells.

    Attributes
    ----------
    held_out : float
        Share of the cells that is held out, 0 to 1.
    seed : int or None
        None if it is not known.
    folds : int
        1: one split at random, so that patients are in both parts. More: a cross-validation with so many folds, in
        which patients are kept apart.
    """

    held_out: float
    seed: int | None = None
    folds: int = 1


@dataclass(frozen=True, kw_only=True)
class DescribedDesign:
    """What is known of a design, whatever it is made of.

    Attributes
    ----------
    name, title, where : str
        Its name on the command line, what it is, in one line, and where it comes from.
    reported, split : Reported or None, AuthorSplit or None
        Scores that the author published, and the author's split; None if not known, or if it is a single split by
        patient, as all designs are compared on.
    chosen : str
        What the design leaves open and was chosen here; empty if nothing.
    listed : bool
        Whether `malaria-detect compare` trains it without being asked for it by name.
    """

    name: str
    title: str
    where: str
    reported: Reported | None = None
    split: AuthorSplit | None = None
    chosen: str = ""
    listed: bool = True
