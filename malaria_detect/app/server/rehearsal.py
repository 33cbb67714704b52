"""A rehearsal of what each kernel does for its visitor's first image, run once in the fork parent.

Everything that it imports, compiles and caches is then shared by all copies.
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
    """Answers without running the network: a process that has run one in several threads cannot be forked."""

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
    """Open a model, build its page, check a grey image on it, and close the page.

    The few objects that anywidget keeps of closed widgets, and that image, stay in all copies.

    Parameters
    ----------
    model : path
        Exported learner.

    Raises
    ------
    MetadataError
        If the model cannot be opened.
    """
    detector = _Rehearsed.like(load_detector(model))
    file = io.BytesIO()
    Image.linear_gradient("L").resize((_SIDE, _SIDE)).save(file, "PNG")
    try:
        build_dashboard(model)
        CheckCells(detector).upload.take([UploadedFile("nothing.png", file.getvalue())])
    finally:
        Widget.close_all()
