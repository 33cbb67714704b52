"""Teach a model a laboratory without leaving files behind: features, judgement, and an archive with the model."""

import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from malaria_detect.core.json_io import ARRAY
from malaria_detect.core.swept import swept_folder
from malaria_detect.data.field_check import WHOLE_FIELD, shows_field
from malaria_detect.data.images import ImageRefused, read_image
from malaria_detect.inference.adapt import Adaptation, SiteCells, check_adaptable
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.classifier import Classifier
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.judge import Judgement, judge
from malaria_detect.inference.references import read_references
from malaria_detect.metrics import scaled

MODEL_NAME = "mylab.pkl"
README = f"""A model that is adapted to your laboratory. For Research Use Only. Not for use in diagnostic procedures.

Keep {MODEL_NAME}, mylab.json, mylab.npz and mylab.graph together in one folder. Then

    malaria-detect serve --model {MODEL_NAME}
    malaria-detect predict cells/ --model {MODEL_NAME}

or set the variable MALARIA_DETECT_MODEL to the path of {MODEL_NAME}: then every command and load_detector() use it.

mylab.json says from which model it was adapted, with how many cells, and how it scored on them.

{MODEL_NAME} is a pickle: opening it runs the code in it. Open only a model that you made or trust.
"""


@dataclass(frozen=True, eq=False)
class CellFeatures:
    """What a model sees in a cell.

    Attributes
    ----------
    features : numpy.ndarray
        Pooled features, float32, (1, 1024).
    probability_parasitized : float
        Calibrated, 0 to 1.
    """

    features: Annotated[NDArray[np.float32], ARRAY]
    probability_parasitized: float


class Teacher:
    """Adapts the model of a detector.

    Parameters
    ----------
    detector : Detector
    path : Path
        The exported learner that the detector has opened.

    Raises
    ------
    AdaptError
        ``no_references`` if the model cannot be adapted.
    """

    def __init__(self, detector: Detector, path: Path) -> None:
        check_adaptable(detector.metadata)
        self.parent = detector
        self._path = path

    @cached_property
    def adaptation(self) -> Adaptation:
        """The model with its references, which take some megabytes."""
        metadata = self.parent.metadata
        return Adaptation(self._classifier.head, metadata, read_references(self._path, metadata))

    @property
    def _classifier(self) -> Classifier:
        assert self.parent.classifier is not None  # remote teachers do not compute
        return self.parent.classifier

    def features_of(self, picture: bytes) -> CellFeatures:
        """What the model sees in an image file of one cell; also in one that it would refuse as foreign.

        Raises
        ------
        ImageRefused
            If the image cannot be read, or shows a whole field.
        """
        image, metadata = read_image(picture), self.parent.metadata
        if shows_field(image):
            raise ImageRefused(WHOLE_FIELD, "whole_field")
        seen = self._classifier.see(metadata.input_transform([image]))
        assert seen is not None  # a model with references has features
        return CellFeatures(seen.features, float(scaled(seen.odds[0], metadata.temperature)))

    def judge(self, cells: SiteCells) -> tuple[Judgement, Adapted]:
        """What adapting to cells gains and loses, and the adapted model.

        Raises
        ------
        AdaptError
            ``too_few`` if a class has fewer than ten cells.
        """
        judgement = judge(self.adaptation, cells)
        return judgement, Adapted.of(self.adaptation, cells, judgement)

    def pack(self, cells: SiteCells, judgement: Judgement) -> bytes:
        """The adapted model as a ZIP file with a README.

        The files of a model are written to a private folder and then removed.
        """
        from malaria_detect.inference.write_adapted import write_adapted

        archive = io.BytesIO()
        with swept_folder() as folder, zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            write_adapted(self._path, self.adaptation, cells, judgement, folder / MODEL_NAME)
            for file in sorted(one for one in folder.rglob("*") if one.is_file()):
                # Weights hardly become smaller.
                stored = zipfile.ZIP_STORED if file.name == MODEL_NAME else None
                packed.write(file, file.relative_to(folder), stored)
            packed.writestr("README.txt", README)
        return archive.getvalue()

    def detector(self, adapted: Adapted) -> Detector:
        """A detector with the answers of an adapted model."""
        return adapted.detector(self.parent)


def load_teacher(path: Path) -> Teacher:
    """The teacher of an exported model.

    Raises
    ------
    MetadataError
        If the model cannot be opened.
    AdaptError
        If it cannot be adapted.
    """
    return Teacher(load_detector(path), path)
