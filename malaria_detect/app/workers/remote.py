"""A detector in a kernel of ``malaria-detect serve``, which lets the server's workers do the work."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import zmq

from malaria_detect.app.workers.messages import (
    EXPLAIN,
    FEATURES,
    FIELD,
    JUDGE,
    PACK,
    PREDICT,
    WORKERS_VARIABLE,
    Frames,
    answer_of,
    framed,
    unframed,
)
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import from_json, to_plain
from malaria_detect.data.image_checks import FIELD as LIMITS
from malaria_detect.data.images import MAX_SIDE, ImageRefused, ImageSource, as_png, read_field, read_image
from malaria_detect.explain import Explanation
from malaria_detect.fields.analyse import FieldAnalyser, load_analyser, name_of
from malaria_detect.fields.finder_files import read_finder
from malaria_detect.fields.result import FieldResult
from malaria_detect.inference.adapt import AdaptError, SiteCells, check_adaptable
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.judge import Judgement
from malaria_detect.inference.metadata import ModelMetadata, field_point
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.inference.teach import CellFeatures, Teacher, load_teacher

# s: longer than the server waits for a worker, including the jobs of other visitors before this one.
ANSWER_SECONDS = 180
# Environment variable: with 0, models cannot be adapted on the page.
TEACHING_VARIABLE = "MALARIA_DETECT_TEACHING"


# The page opens its model three times: for cells, for fields, and to adapt it.
@lru_cache(maxsize=1)
def _described(model_path: Path | None) -> ModelMetadata:
    return read_metadata(model_path)


class RemoteDetector(Detector):
    """A detector whose images are classified and explained by the workers of the server that started this kernel.

    A kernel then neither opens nor runs a network: many kernels fit into a small machine, and no more networks run at
    once than the machine has processors.

    Its methods wait for the server and may be called from any thread; the page calls them in threads other than that
    of its event loop. One question is sent at a time, however many threads call, so that a visitor who uploads and
    clears again and again cannot fill the server's queue.

    Parameters
    ----------
    metadata : ModelMetadata
        Of the server's model, or of one that was adapted from it.
    point : str or None
        Name of the operating point; None for the default.
    address : str
        Address and secret of :class:`malaria_detect.app.workers.kernel_questions.KernelQuestions`.
    adapted : dict, optional
        A :class:`~malaria_detect.inference.adapted.Adapted` for JSON, if its answers are asked for.
    """

    # Methods wait for the server: the page calls them in threads.
    is_remote = True

    def __init__(
        self, metadata: ModelMetadata, point: str | None, address: str, adapted: dict[str, Any] | None = None
    ) -> None:
        super().__init__(None, metadata, point)
        self._address = address
        self._adapted = adapted
        self._one_at_a_time = threading.Lock()

    @classmethod
    def of_server(cls, model_path: str | os.PathLike[str] | None = None) -> Self | None:
        """The detector for the server that started this kernel, or None in other notebooks and programs."""
        address = os.environ.get(WORKERS_VARIABLE)
        return cls(_described(Path(model_path) if model_path else None), None, address) if address else None

    def at(self, operating_point: str) -> Self:
        """A detector that asks the same workers at another operating point."""
        return self._like(self.metadata, operating_point, self._adapted)

    def of_adapted(self, adapted: Adapted) -> Self:
        """A detector that asks the same workers for the answers of an adapted model."""
        return self._like(adapted.metadata, None, to_plain(adapted))

    def _like(self, metadata: ModelMetadata, point: str | None, adapted: dict[str, Any] | None) -> Self:
        other = type(self)(metadata, point, self._address, adapted)
        other._one_at_a_time = self._one_at_a_time
        return other

    def predict(self, image: ImageSource) -> Prediction:
        """Classify one image, as :meth:`malaria_detect.inference.detector.Detector.predict` does.

        Raises
        ------
        ImageRefused
            If the image cannot be read, or a worker failed on it.
        MalariaDetectError
            If the server does not answer, or its model was replaced.
        """
        content, _ = self._ask({"task": PREDICT, "operating_point": self.point.name}, image)
        answer = answer_of(content["answers"][0])
        if isinstance(answer, Refusal):
            raise ImageRefused(answer.message, reason=answer.reason)
        return answer

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.metadata, self.point.name, self._address, self._adapted)

    def _answers(
        self, images: Iterable[ImageSource], batch_size: int, progress: bool
    ) -> Iterator[Prediction | Refusal]:
        # One after the other, because other visitors need the workers as well.
        for image in images:
            try:
                yield self.predict(image)
            except ImageRefused as refusal:
                yield Refusal(str(refusal), refusal.reason)

    def explain(self, image: ImageSource, prediction: Prediction) -> Explanation:
        """Explain an image, as :meth:`malaria_detect.explain.Explainer.explain` does; raises as :meth:`predict`."""
        content, (heat, marked) = self._ask({"task": EXPLAIN, "prediction": asdict(prediction)}, image)
        scalars = content["explanation"]
        return Explanation(
            **scalars | {"random_falls": tuple(scalars["random_falls"])},
            heat=np.frombuffer(heat, "<f4").reshape(content["shape"]),
            marked=np.frombuffer(marked, bool).reshape(content["shape"]),
        )

    def _ask(self, content: dict[str, Any], image: ImageSource) -> tuple[dict[str, Any], Frames]:
        if isinstance(image, bytes | bytearray | memoryview):
            return self.ask(content, [bytes(image)])
        return self.ask(content, [as_png(read_image(image), MAX_SIDE)])

    def ask(self, content: dict[str, Any], blobs: Sequence[bytes] = ()) -> tuple[dict[str, Any], Frames]:
        """Send a question, such as one about a file, to the server's workers; raises as :meth:`predict`."""
        address, _, secret = self._address.partition("#")
        question = framed(content | {"model": self.metadata.sha256, "adapted": self._adapted}, blobs)
        # A socket for each question, because a socket whose question was interrupted cannot be used again.
        socket: zmq.Socket[bytes]
        with self._one_at_a_time, zmq.Context.instance().socket(zmq.REQ) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVTIMEO, 1000 * ANSWER_SECONDS)
            socket.connect(address)
            try:
                socket.send_multipart([secret.encode(), content["task"].encode(), *question])
                answer, found = unframed(socket.recv_multipart())
            except zmq.Again as error:
                raise MalariaDetectError(
                    "The server did not answer. Try again later.", reason="no_answer"
                ) from error
        if "error" in answer:
            # An image on which a worker failed must not be sent again automatically.
            refused = answer["kind"] in ("ImageRefused", "WorkerLost")
            raise (ImageRefused if refused else MalariaDetectError)(answer["error"], answer["reason"])
        return answer, found


class RemoteAnalyser(FieldAnalyser):
    """An analyser whose fields are analysed by the workers of the server that started this kernel."""

    detector: RemoteDetector

    def __init__(self, detector: RemoteDetector, finder: None = None) -> None:
        self.detector = detector

    def with_detector(self, detector: RemoteDetector) -> Self:  # type: ignore[override]  # its workers find the cells
        """An analyser that asks the workers of another detector."""
        return type(self)(detector)

    def analyse_field(
        self, image: ImageSource, name: str | None = None, cell_diameter: float | None = None
    ) -> FieldResult:
        """Analyse one field, as :meth:`malaria_detect.fields.analyse.FieldAnalyser.analyse_field` does.

        Raises
        ------
        MalariaDetectError
            If the server does not answer, or its model was replaced.
        """
        named = name_of(image) if name is None else name
        question = {
            "task": FIELD,
            "operating_point": self.detector.point.name,
            "name": named,
            "cell_diameter": cell_diameter,
        }
        try:
            if isinstance(image, bytes | bytearray | memoryview):
                file = bytes(image)
            else:
                file = as_png(read_field(image), LIMITS.max_side)
            content, _ = self.detector.ask(question, [file])
        except ImageRefused as refused:
            return FieldResult(named, (0, 0), refusal=Refusal(str(refused), refused.reason))
        return from_json(FieldResult, content["field"])


class RemoteTeacher(Teacher):
    """A teacher whose work is done by the workers of the server that started this kernel."""

    parent: RemoteDetector

    def __init__(self, detector: RemoteDetector, path: Path) -> None:
        check_adaptable(detector.metadata)
        self.parent = detector

    def features_of(self, picture: bytes) -> CellFeatures:
        """What the model sees in an image file; raises as :meth:`RemoteDetector.predict`."""
        return from_json(CellFeatures, self.parent.ask({"task": FEATURES}, [picture])[0])

    def judge(self, cells: SiteCells) -> tuple[Judgement, Adapted]:
        """What adapting gains and loses, and the adapted model; raises as :meth:`RemoteDetector.predict`."""
        answer, _ = self.parent.ask({"task": JUDGE, "cells": to_plain(cells)})
        return from_json(Judgement, answer["judgement"]), from_json(Adapted, answer["adapted"])

    def pack(self, cells: SiteCells, judgement: Judgement) -> bytes:
        """The adapted model as a ZIP file; raises as :meth:`RemoteDetector.predict`."""
        question = {"task": PACK, "cells": to_plain(cells), "judgement": to_plain(judgement)}
        return self.parent.ask(question)[1][0]

    def detector(self, adapted: Adapted) -> Detector:
        """A detector that asks the same workers for the answers of an adapted model."""
        return self.parent.of_adapted(adapted)


def open_teacher(model_path: Path) -> Teacher:
    """A teacher that works in the workers of the server that runs this kernel; elsewhere, one that works here.

    Raises
    ------
    MetadataError
        If the model cannot be opened.
    AdaptError
        If it cannot be adapted, or the server does not offer it.
    """
    if os.environ.get(TEACHING_VARIABLE) == "0":
        raise AdaptError(
            "This server does not adapt models. Use `malaria-detect adapt` on your own computer.", "off"
        )
    remote = RemoteDetector.of_server(model_path)
    return RemoteTeacher(remote, model_path) if remote else load_teacher(model_path)


def open_analyser(model_path: str | os.PathLike[str] | None = None) -> FieldAnalyser:
    """An analyser that works in the workers of the server that runs this kernel; elsewhere, one that works here.

    Raises
    ------
    MetadataError
        If a model cannot be opened.
    """
    detector = RemoteDetector.of_server(model_path)
    if detector is None:
        return load_analyser(model_path)
    read_finder()  # otherwise every field of a visitor would be refused because of a missing finder
    return RemoteAnalyser(detector.at(field_point(detector.metadata)))


def open_detector(model_path: str | os.PathLike[str] | None = None) -> Detector:
    """A detector that predicts in the workers of the server that runs this kernel; elsewhere, one that predicts here.

    Raises
    ------
    MetadataError
        If the model cannot be opened.
    """
    return RemoteDetector.of_server(model_path) or load_detector(model_path)
