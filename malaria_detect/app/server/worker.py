"""A prediction worker: a copy of the fork parent that reads pictures and asks the network."""

from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from malaria_detect.app.server.messages import EXPLAIN, Frames, answered, framed, receive, send, unframed
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import from_json
from malaria_detect.explain import Explainer
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import MetadataError
from malaria_detect.inference.prediction import Prediction


def run_worker(connection: Connection, model: str, sha256: str, threads: int) -> None:
    """Answer requests from a pipe until its other end is closed.

    Parameters
    ----------
    connection : Connection
    model : str
        The exported learner; the fork parent has it open.
    sha256 : str
        The SHA-256 that it must have.
    threads : int
        How many threads the network may use.
    """
    torch.set_num_threads(threads)
    worker = Worker(Path(model), sha256)
    while True:
        try:
            frames = receive(connection)
        except EOFError:
            return
        send(connection, worker.answer(frames))


class Worker:
    """Answers predictions and explanations with one model.

    Parameters
    ----------
    model : Path
        The exported learner.
    sha256 : str
        The SHA-256 that it must have, and that whoever asks must mean.
    """

    def __init__(self, model: Path, sha256: str) -> None:
        self._model = model
        self._sha256 = sha256
        self._detector: Detector | None = None
        self._explainer: Explainer | None = None

    def answer(self, frames: Frames) -> Frames:
        """Answer one request; an error that a user can mend is an answer, too."""
        content, pictures = unframed(frames)
        try:
            # A model that cannot be opened is an answer to all that is asked.
            self._detector = self._detector or load_detector(self._model)
            if not self._sha256 == self._detector.metadata.sha256 == content["model"]:
                # Its thresholds would be applied to another model's probabilities.
                raise MetadataError("The model was changed since the server was started: restart the server.")
            if content["task"] == EXPLAIN:
                return self._explained(self._detector, content["prediction"], pictures[0])
            return _predicted(self._detector, content["operating_point"], pictures)
        except MalariaDetectError as error:
            return framed({"error": str(error), "kind": type(error).__name__})

    def _explained(self, detector: Detector, prediction: dict[str, Any], picture: bytes) -> Frames:
        self._explainer = self._explainer or Explainer(detector)
        explanation = self._explainer.explain(picture, from_json(Prediction, prediction))
        scalars = {
            name: value for name, value in asdict(explanation).items() if not isinstance(value, np.ndarray)
        }
        blobs = [explanation.heat.astype("<f4").tobytes(), explanation.marked.tobytes()]
        return framed({"shape": explanation.heat.shape, "explanation": scalars}, blobs)


def _predicted(detector: Detector, point: str | None, pictures: Frames) -> Frames:
    if point is not None:
        detector = detector.at(point)
    return framed({"answers": [answered(answer) for answer in detector.predict_many(pictures)]})
