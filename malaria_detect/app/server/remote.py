"""A kernel's side of the prediction workers: a detector that has others do the work."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import zmq

from malaria_detect.app.html_report import as_png
from malaria_detect.app.server.messages import (
    EXPLAIN,
    PREDICT,
    WORKERS_VARIABLE,
    Frames,
    answer_of,
    framed,
    unframed,
)
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import MAX_SIDE, ImageRefused, ImageSource, read_image
from malaria_detect.explain import Explanation
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.prediction import Prediction, Refusal

# s: longer than the server itself waits for a worker, with others before it.
ANSWER_SECONDS = 180


class RemoteDetector(Detector):
    """A detector whose pictures are predicted, and explained, by the workers of the server that runs this kernel.

    A kernel then neither computes nor keeps a network at work, so that many fit into a small machine, and no more
    networks run at once than the machine has processors.

    Parameters
    ----------
    local : Detector
        The same model, opened here.
    address : str
        Where the server listens for its kernels.
    """

    def __init__(self, local: Detector, address: str) -> None:
        super().__init__(local.network, local.metadata, local.point.name)
        self._address = address

    @classmethod
    def of_server(cls, local: Detector) -> Self | None:
        """The one of the server that started this kernel; None in a notebook or a program."""
        address = os.environ.get(WORKERS_VARIABLE)
        return cls(local, address) if address else None

    def at(self, operating_point: str) -> Self:
        """The same workers, asked at another operating point."""
        return type(self)(super().at(operating_point), self._address)

    def predict(self, image: ImageSource) -> Prediction:
        """Classify one picture, as :meth:`malaria_detect.inference.detector.Detector.predict` does.

        Raises
        ------
        ImageRefused
            Where it cannot be read, or a worker was lost over it.
        MalariaDetectError
            Where the server does not answer, or runs another model by now.
        """
        content, _ = self._ask({"task": PREDICT, "operating_point": self.point.name}, image)
        answer = answer_of(content["answers"][0])
        if isinstance(answer, Refusal):
            raise ImageRefused(answer.reason)
        return answer

    def predict_many(
        self, images: Iterable[ImageSource], batch_size: int = 64, progress: bool = False
    ) -> Iterator[Prediction | Refusal]:
        """Classify many pictures one after the other, as others wait for the workers, too."""
        for image in images:
            try:
                yield self.predict(image)
            except ImageRefused as refusal:
                yield Refusal(str(refusal))

    def explain(self, image: ImageSource, prediction: Prediction) -> Explanation:
        """Explain a picture, as :meth:`malaria_detect.explain.Explainer.explain`; errors as for :meth:`predict`."""
        content, (heat, marked) = self._ask({"task": EXPLAIN, "prediction": asdict(prediction)}, image)
        scalars = content["explanation"]
        return Explanation(
            **scalars | {"random_falls": tuple(scalars["random_falls"])},
            heat=np.frombuffer(heat, "<f4").reshape(content["shape"]),
            marked=np.frombuffer(marked, bool).reshape(content["shape"]),
        )

    def _ask(self, content: dict[str, Any], image: ImageSource) -> tuple[dict[str, Any], Frames]:
        if isinstance(image, bytes | bytearray | memoryview):
            file = bytes(image)
        else:
            file = as_png(read_image(image), MAX_SIDE)
        question = framed(content | {"model": self.metadata.sha256}, [file])
        # A socket for each question: one that was interrupted could not be asked again.
        socket: zmq.Socket[bytes]
        with zmq.Context.instance().socket(zmq.REQ) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVTIMEO, 1000 * ANSWER_SECONDS)
            socket.connect(self._address)
            try:
                socket.send_multipart(question)
                answer, blobs = unframed(socket.recv_multipart())
            except zmq.Again as error:
                raise MalariaDetectError("The server gave no answer: try again later.") from error
        if "error" in answer:
            # A picture over which a worker was lost is not to be asked again by itself.
            refused = answer["kind"] in ("ImageRefused", "WorkerLost")
            raise (ImageRefused if refused else MalariaDetectError)(answer["error"])
        return answer, blobs


def open_detector(model_path: str | os.PathLike[str]) -> Detector:
    """A detector that predicts in the workers of the server that runs this kernel; elsewhere, one that predicts here.

    Raises
    ------
    MetadataError
        If the model cannot be opened.
    """
    local = load_detector(model_path)
    return RemoteDetector.of_server(local) or local
