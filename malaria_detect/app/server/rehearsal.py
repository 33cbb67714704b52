"""What each kernel does for the first picture of its visitor, done once in the fork parent.

What is imported, compiled and remembered on the way is then there for all copies, which neither do it again nor have it
in memory of their own.
"""

import io
import os
from typing import Self

from ipywidgets import Widget
from PIL import Image

from malaria_detect.app.server.messages import answer_of, answered, framed, unframed
from malaria_detect.app.widgets import CheckCells, UploadedFile, build_dashboard
from malaria_detect.data.images import ImageSource, read_image
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.prediction import Prediction, decide

_SIDE = 130  # px: an ordinary cell


class _Rehearsed(Detector):
    """Answers as workers do, without a network: a process that has run one in several threads cannot be forked."""

    @classmethod
    def like(cls, detector: Detector) -> Self:
        return cls(detector.network, detector.metadata, detector.point.name)

    def predict(self, image: ImageSource) -> Prediction:
        size, half = read_image(image).size, 0.5
        prediction = Prediction(
            decision=decide(half, self.point),
            probabilities=dict.fromkeys(CLASSES, half),
            raw_probability_parasitized=half,
            operating_point=self.point.name,
            threshold=self.point.threshold,
            uncertain_below=self.metadata.uncertainty.below,
            image_size=size,
        )
        content, _ = unframed(framed(answered(prediction)))
        said = answer_of(content)
        assert isinstance(said, Prediction)
        return said


def rehearse(model: str | os.PathLike[str]) -> None:
    """Open a model, build its page and check a picture on it that shows nothing; the page is closed afterwards.

    What anywidget keeps of closed widgets, a few objects and that picture, stays in all copies.

    Parameters
    ----------
    model : path
        The exported learner.

    Raises
    ------
    MetadataError
        Where it cannot be opened.
    """
    detector = _Rehearsed.like(load_detector(model))
    file = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE)).save(file, "PNG")
    try:
        build_dashboard(model)
        CheckCells(detector).upload.take([UploadedFile("nothing.png", file.getvalue())])
    finally:
        Widget.close_all()
