"""What a design is, and what its author published about it; no torch."""

from dataclasses import dataclass

REPORTED_SCORES = ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc")


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

    def __post_init__(self) -> None:
        """Check the names of the scores."""
        if unknown := [name for name in self.scores if name not in REPORTED_SCORES]:
            raise ValueError(f"unknown scores {', '.join(unknown)}; known are {', '.join(REPORTED_SCORES)}")


@dataclass(frozen=True)
class RandomSplit:
    """A split at random, so that patients are in both parts.

    Attributes
    ----------
    held_out : float
        Share of the cells that is held out, 0 to 1.
    seed : int or None
        None if it is not known.
    assumed : bool
        Whether the author did not publish the share.
    """

    held_out: float
    seed: int | None = None
    assumed: bool = False


@dataclass(frozen=True)
class PatientFolds:
    """A cross-validation in which patients are kept apart."""

    folds: int


@dataclass(frozen=True, kw_only=True)
class DescribedDesign:
    """What is known of a design, whatever it is made of.

    Attributes
    ----------
    name, title, where : str
        Its name on the command line, what it is, in one line, and where it comes from.
    reported, split : Reported or None, RandomSplit or PatientFolds or None
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
    split: RandomSplit | PatientFolds | None = None
    chosen: str = ""
    listed: bool = True
