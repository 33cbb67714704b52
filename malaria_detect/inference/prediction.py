"""What the model says of one picture: the record that page, table, JSON and HTTP share. No torch."""

from dataclasses import dataclass, replace

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.metadata import OperatingPoint


@dataclass(frozen=True)
class Prediction:
    """What the model says of one picture.

    Attributes
    ----------
    label : str
        The more probable class, ``Parasitized`` or ``Uninfected``: what ``learn.predict`` says.
    decision : str
        The class that the cell is called at the operating point.
    probabilities : dict of str to float
        One for each class, 0 to 1, summing to 1; calibrated, so that of cells given 0.8 about 80 % are what it says.
    raw_probability_parasitized : float
        The network's own softmax, which ``learn.predict`` returns: ordered as the calibrated one, but less honest.
    operating_point : str
        Name of the operating point that ``decision`` was made at.
    threshold : float
        Least calibrated probability of ``Parasitized`` that is called so there.
    uncertain_below : float
        From the metadata: see ``uncertain``.
    image_size : tuple of int
        Width and height of the picture in px.
    warnings : tuple of str
        Sentences on why the answer may be worth less than usual.
    """

    label: str
    decision: str
    probabilities: dict[str, float]
    raw_probability_parasitized: float
    operating_point: str
    threshold: float
    uncertain_below: float
    image_size: tuple[int, int]
    warnings: tuple[str, ...] = ()

    @property
    def probability_parasitized(self) -> float:
        """Calibrated probability of ``Parasitized``, 0 to 1."""
        return self.probabilities[CLASSES[0]]

    @property
    def uncertain(self) -> bool:
        """Whether the calibrated probability of the decision is so low that a person should look."""
        return self.probabilities[self.decision] < self.uncertain_below

    def at(self, point: OperatingPoint) -> "Prediction":
        """The same picture, decided at another operating point of the same model.

        Examples
        --------
        >>> from malaria_detect import load_detector
        >>> import numpy as np
        >>> detector = load_detector("export.pkl")
        >>> prediction = detector.predict(np.zeros((130, 120, 3), dtype=np.uint8))
        >>> prediction.at(detector.metadata.point("screening")).operating_point
        'screening'
        """
        return replace(
            self,
            decision=called(self.probability_parasitized, point),
            operating_point=point.name,
            threshold=point.threshold,
        )


@dataclass(frozen=True)
class Refusal:
    """A picture that could not be read, and the sentence that says why."""

    reason: str


def called(probability: float, point: OperatingPoint) -> str:
    """The class that a cell is called at an operating point.

    Parameters
    ----------
    probability : float
        Calibrated probability of ``Parasitized``, 0 to 1.
    point : OperatingPoint
    """
    return CLASSES[0] if probability >= point.threshold else CLASSES[1]
