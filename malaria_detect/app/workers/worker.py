"""A prediction worker: a process that decodes images and runs the network."""

import contextlib
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from malaria_detect.app.workers.messages import (
    EXPLAIN,
    FEATURES,
    FIELD,
    PACK,
    SLIDE,
    TEACHING,
    Frames,
    answered,
    failed,
    framed,
    receive,
    send,
    unframed,
)
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import from_json, to_plain
from malaria_detect.explain import Explainer
from malaria_detect.fields.analyse import FieldAnalyser
from malaria_detect.fields.finder import CellFinder, load_finder
from malaria_detect.fields.result import FieldResult
from malaria_detect.fields.slide import SlideResult
from malaria_detect.fields.tables import field_record, outlined_cells, slide_record
from malaria_detect.inference.adapt import SiteCells
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.judge import Judgement
from malaria_detect.inference.metadata import MetadataError, OperatingPoint
from malaria_detect.inference.prediction import Prediction
from malaria_detect.inference.teach import Teacher


def main(model: str, sha256: str) -> None:
    """Read requests from standard input and write answers to standard output, until the server closes the pipe or ends.

    Parameters
    ----------
    model : str
        Exported learner.
    sha256 : str
        Required SHA-256 of the learner.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the server's terminal is for the server
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is for the log
    requests: queue.SimpleQueue[Frames] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    worker = Worker(Path(model), sha256)
    while True:
        send(answers, worker.answer(requests.get()))


def _read(requests: "queue.SimpleQueue[Frames]") -> None:
    """Read requests; end the process, even one that hangs, as soon as the server has ended."""
    with contextlib.suppress(EOFError):
        while True:
            requests.put(receive(sys.stdin.buffer))
    os._exit(0)


class Worker:
    """Answers predictions and explanations with one model.

    Parameters
    ----------
    model : Path
        Exported learner.
    sha256 : str
        Required SHA-256 of the learner, and of the model that each request names.
    """

    def __init__(self, model: Path, sha256: str) -> None:
        self._model = model
        self._sha256 = sha256
        self._detector: Detector | None = None
        self._explainer: Explainer | None = None
        self._finder: CellFinder | None = None
        self._teacher: Teacher | None = None
        self._adapted: tuple[object, Detector] | None = None

    def open(self) -> Detector:
        """The detector, opened for the first request; after an error, it is tried again for the next one."""
        self._detector = self._detector or load_detector(self._model)
        return self._detector

    def answer(self, frames: Frames) -> Frames:
        """Answer one request; errors that a user can fix are answers as well."""
        try:
            content, pictures = unframed(frames)
            opened = self.open()
            if not self._sha256 == opened.metadata.sha256 == content["model"]:
                # Otherwise the thresholds of one model would be applied to probabilities of another.
                raise MetadataError(
                    "The model was replaced after the server was started. Restart the server.",
                    reason="replaced",
                )
            if content["task"] in TEACHING:
                self._teacher = self._teacher or Teacher(opened, self._model)
                return _taught(self._teacher, content, pictures)
            detector = self._answering(content.get("adapted"))
            if content["task"] == EXPLAIN:
                return self._explained(detector, content["prediction"], pictures[0])
            if content["task"] == FIELD:
                return self._analysed(detector, content, pictures[0])
            if content["task"] == SLIDE:
                return _slide(detector.metadata.point(content["operating_point"]), content["fields"])
            return _predicted(detector, content["operating_point"], pictures)
        except MalariaDetectError as error:
            return failed(error)
        except (ValueError, RecursionError):  # not JSON
            return failed(MalariaDetectError("This question is not valid.", "invalid"))

    def _answering(self, adapted: object) -> Detector:
        """The detector of a request: that of an adapted model is kept until another one is asked for."""
        assert self._detector is not None
        if not adapted:
            return self._detector
        if self._adapted is None or self._adapted[0] != adapted:
            self._adapted = adapted, from_json(Adapted, adapted).detector(self._detector)
        return self._adapted[1]

    def _analysed(self, detector: Detector, content: dict[str, Any], picture: bytes) -> Frames:
        self._finder = self._finder or load_finder()
        analyser = FieldAnalyser(detector.at(content["operating_point"]), self._finder)
        result = analyser.analyse_field(picture, content["name"], content["cell_diameter"])
        return framed({"field": to_plain(result)})

    def _explained(self, detector: Detector, prediction: dict[str, Any], picture: bytes) -> Frames:
        if self._explainer is None or self._explainer.detector is not detector:
            self._explainer = Explainer(detector)
        explanation = self._explainer.explain(picture, from_json(Prediction, prediction))
        scalars = {
            name: value for name, value in asdict(explanation).items() if not isinstance(value, np.ndarray)
        }
        blobs = [explanation.heat.astype("<f4").tobytes(), explanation.marked.tobytes()]
        return framed({"shape": explanation.heat.shape, "explanation": scalars}, blobs)


def _taught(teacher: Teacher, content: dict[str, Any], pictures: Frames) -> Frames:
    """Answer a question of a :class:`malaria_detect.app.workers.remote.RemoteTeacher`."""
    if content["task"] == FEATURES:
        return framed(to_plain(teacher.features_of(pictures[0])))
    cells = from_json(SiteCells, content["cells"])
    if content["task"] == PACK:
        return framed({}, [teacher.pack(cells, from_json(Judgement, content["judgement"]))])
    judgement, adapted = teacher.judge(cells)
    return framed({"judgement": to_plain(judgement), "adapted": to_plain(adapted)})


def _predicted(detector: Detector, point: str | None, pictures: Frames) -> Frames:
    if point is not None:
        detector = detector.at(point)
    return framed({"answers": [answered(answer) for answer in detector.predict_many(pictures)]})


def _slide(point: OperatingPoint, fields: list[dict[str, Any]]) -> Frames:
    """Records of a slide, its fields and cells."""
    slide = SlideResult("slide", tuple(from_json(FieldResult, field) for field in fields), point)
    return framed(
        {
            "slide": asdict(slide_record(slide)),
            "fields": [asdict(field_record(field)) for field in slide.fields],
            "cells": [asdict(cell) for field in slide.fields for cell in outlined_cells(field)],
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
