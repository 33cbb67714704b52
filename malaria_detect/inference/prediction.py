"""The answer for one image, and the record of it that all outputs share. No torch."""

from dataclasses import dataclass, replace

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.metadata import OperatingPoint


@dataclass(frozen=True)
class Prediction:
    """The model's answer for an image of one cell.

    Attributes
    ----------
    decision : str
        Class of the cell at the operating point, ``Parasitized`` or ``Uninfected``.
    probabilities : dict of str to float
        Calibrated probability of each class, 0 to 1, summing to 1.
    raw_probability_parasitized : float
        Softmax of the network as ``learn.predict`` returns it, before calibration.
    operating_point : str
        Name of the operating point.
    threshold : float
        Calibrated probability from which a cell is called ``Parasitized`` there.
    uncertain_below : float
        See ``uncertain``; from the metadata.
    image_size : tuple of int
        Width and height of the image in px.
    warnings : tuple of str
        Reasons in the image why the answer may be less reliable than usual, as sentences.
    poor_quality : bool
        Whether the image is grey, blurred, overexposed or small. The answer is then uncertain whatever its probability;
        the warnings say why.
    site_warning : bool
        Whether the cell looks unlike the cells that the model knows, as those of another laboratory may; see
        :mod:`malaria_detect.inference.foreign`.
    """

    decision: str
    probabilities: dict[str, float]
    raw_probability_parasitized: float
    operating_point: str
    threshold: float
    uncertain_below: float
    image_size: tuple[int, int]
    warnings: tuple[str, ...] = ()
    poor_quality: bool = False
    site_warning: bool = False

    @property
    def probability_parasitized(self) -> float:
        """Calibrated probability of ``Parasitized``, 0 to 1."""
        return self.probabilities[CLASSES[0]]

    @property
    def uncertain(self) -> bool:
        """Whether a person should review the cell: the image is poor, or the decision has a low probability.

        The probability is low below ``uncertain_below``.
        """
        return self.poor_quality or self.probabilities[self.decision] < self.uncertain_below

    def at(self, point: OperatingPoint) -> "Prediction":
        """The same answer, decided at another operating point of the same model.

        Examples
        --------
        >>> from malaria_detect import load_detector
        >>> from PIL import Image
        >>> detector = load_detector("export.pkl")
        >>> detector.known = None  # with it, a gradient is refused as foreign
        >>> prediction = detector.predict(Image.linear_gradient("L"))
        >>> prediction.at(detector.metadata.point("screening")).operating_point
        'screening'
        """
        return replace(
            self,
            decision=decide(self.probability_parasitized, point),
            operating_point=point.name,
            threshold=point.threshold,
        )


@dataclass(frozen=True)
class Refusal:
    """The answer for an image that cannot be used.

    Attributes
    ----------
    message : str
        Why not, as a sentence.
    reason : str
        Code of the :class:`~malaria_detect.data.images.ImageRefused`, such as ``too_large``.
    """

    message: str
    reason: str


@dataclass(frozen=True)
class Record:
    """One image and its answer, the same in Python, CSV, JSON, HTTP, on the page and in the HTML report.

    Attributes
    ----------
    path : str
        Path or name of the image as given.
    decision : str or None
        Class of the cell at the operating point. This and the fields up to ``height`` are None for a refused image.
    probability_parasitized, raw_probability_parasitized : float or None
        Calibrated, and as ``learn.predict`` returns it; 0 to 1, six decimals.
    operating_point : str or None
        Its name.
    threshold : float or None
        Calibrated probability from which a cell is called parasitized.
    uncertain : bool or None
        Whether a person should review the cell.
    width, height : int or None
        Of the image in px.
    warnings : tuple of str
        Reasons why the answer may be less reliable than usual.
    error : str or None
        Why the image was refused.
    refusal : str or None
        The code of this reason, such as ``foreign`` or ``too_large``.
    site_warning : bool or None
        Whether the cell looks unlike the cells that the model knows; None for a refused image.
    """

    path: str
    decision: str | None = None
    probability_parasitized: float | None = None
    raw_probability_parasitized: float | None = None
    operating_point: str | None = None
    threshold: float | None = None
    uncertain: bool | None = None
    width: int | None = None
    height: int | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    refusal: str | None = None
    site_warning: bool | None = None

    @classmethod
    def of(cls, path: str, answer: Prediction | Refusal) -> "Record":
        """Record of an answer.

        Examples
        --------
        >>> Record.of("cell.png", Refusal("The file is empty.", "empty")).refusal
        'empty'
        """
        if isinstance(answer, Refusal):
            return cls(path, error=answer.message, refusal=answer.reason)
        width, height = answer.image_size
        return cls(
            path=path,
            decision=answer.decision,
            probability_parasitized=round(answer.probability_parasitized, 6),
            raw_probability_parasitized=round(answer.raw_probability_parasitized, 6),
            operating_point=answer.operating_point,
            threshold=answer.threshold,
            uncertain=answer.uncertain,
            width=width,
            height=height,
            warnings=answer.warnings,
            site_warning=answer.site_warning,
        )


def decide(probability: float, point: OperatingPoint) -> str:
    """Class of a cell at an operating point, from its calibrated probability of ``Parasitized`` (0 to 1)."""
    return CLASSES[0] if probability >= point.threshold else CLASSES[1]
