"""Teach a model a laboratory without leaving files behind: features, judgement, and an archive with the model."""

import io
import zipfile
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from malaria_detect.data.images import read_image
from malaria_detect.inference.adapt import Adaptation, SiteCells, check_adaptable
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.judge import Judgement, judge
from malaria_detect.inference.network import seen_by
from malaria_detect.inference.prediction import Prediction
from malaria_detect.inference.references import read_references

MODEL_NAME = "mylab.pkl"
README = f"""A model that is adapted to your laboratory. For Research Use Only. Not for use in diagnostic procedures.

Keep {MODEL_NAME}, mylab.json and mylab.npz together in one folder. Then

    malaria-detect serve --model {MODEL_NAME}
    malaria-detect predict cells/ --model {MODEL_NAME}

or set the variable MALARIA_DETECT_MODEL to the path of {MODEL_NAME}: then every command and load_detector() use it.

mylab.json says from which model it was adapted, with how many cells, and how it scored on them.

{MODEL_NAME} is a pickle: opening it runs the code in it. Open only a model that you made or trust.
"""


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
        ``no_references`` or ``other_design`` if the model cannot be adapted.
    """

    def __init__(self, detector: Detector, path: Path) -> None:
        check_adaptable(detector.network, detector.metadata)
        self.parent = detector
        self._path = path

    @cached_property
    def adaptation(self) -> Adaptation:
        """Of the model; made when it is first needed, as its references take some megabytes."""
        metadata = self.parent.metadata
        return Adaptation(self.parent.network, metadata, read_references(self._path, metadata))

    def look(self, cell: bytes) -> tuple[Prediction, NDArray[np.float32]]:
        """The model's answer on an image file, and its pooled features, float32, (1, 1024).

        Nothing is refused as foreign: a person decides whether it is a red cell, as with `malaria-detect adapt`.

        Raises
        ------
        ImageRefused
            If the image cannot be used.
        """
        parent = self.parent
        answer = Detector(parent.network, parent.metadata).predict(cell)
        seen = seen_by(parent.network, parent.metadata.input_transform([read_image(cell)]))
        assert seen is not None  # otherwise the network is not adaptable
        return answer, seen.features

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

        The files of a model are written to a private folder, as fastai can export only to files, and then removed.
        """
        # Imports all of fastai, which nothing else here needs.
        from malaria_detect.training.adapt import write_adapted

        archive = io.BytesIO()
        with TemporaryDirectory() as folder, zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            write_adapted(self._path, self.adaptation, cells, judgement, Path(folder) / MODEL_NAME)
            for file in sorted(one for one in Path(folder).rglob("*") if one.is_file()):
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
