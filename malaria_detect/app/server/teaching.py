"""Questions of a kernel about adapting the model to a laboratory, and the answers of a worker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from malaria_detect.app.server.messages import JUDGE, LOOK, PACK, Frames, answered, framed
from malaria_detect.app.server.remote import RemoteDetector, adapted_blobs, adapted_of, change_of, features_of
from malaria_detect.core.json_io import from_json, to_json
from malaria_detect.inference.adapt import SiteCells
from malaria_detect.inference.adapted import Adapted
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.judge import Judgement
from malaria_detect.inference.prediction import Prediction
from malaria_detect.metrics import Estimate, Scores
from malaria_detect.training.teach import Teacher, load_teacher


@dataclass(frozen=True)
class _Figures:
    """The part of a judgement that is written as JSON."""

    parent: Scores
    adapted: Scores
    gain: dict[str, Estimate]
    by_cell: bool
    home_parent: float
    home_adapted: float


class RemoteTeacher(Teacher):
    """A teacher whose work is done by the workers of the server that started this kernel."""

    parent: RemoteDetector

    def look(self, cell: bytes) -> tuple[Prediction, NDArray[np.float32]]:
        """Answer and features, as :meth:`malaria_detect.training.teach.Teacher.look` gives them."""
        content, (features,) = self.parent.ask({"task": LOOK}, [cell])
        return from_json(Prediction, content["prediction"]), features_of(features)

    def judge(self, cells: SiteCells) -> tuple[Judgement, Adapted]:
        """What adapting gains and loses, and the adapted model; raises as `RemoteDetector.predict`."""
        content, blobs = self.parent.ask({"task": JUDGE, "cells": _cells(cells)}, [cells.features.tobytes()])
        return _judgement(content["figures"], blobs[:2]), adapted_of(blobs[2:])

    def pack(self, cells: SiteCells, judgement: Judgement) -> bytes:
        """The adapted model as a ZIP file; raises as `RemoteDetector.predict`."""
        question = {"task": PACK, "cells": _cells(cells), "figures": _figures(judgement)}
        blobs = [cells.features.tobytes(), *_blobs(judgement)]
        return self.parent.ask(question, blobs)[1][0]

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
        If it cannot be adapted.
    """
    remote = RemoteDetector.of_server(load_detector(model_path))
    return RemoteTeacher(remote, model_path) if remote else load_teacher(model_path)


def answer_lesson(teacher: Teacher, content: dict[str, Any], blobs: Frames) -> Frames:
    """A worker's answer to a question of a `RemoteTeacher`.

    Raises
    ------
    MalariaDetectError
        As the methods of :class:`malaria_detect.training.teach.Teacher`.
    """
    if content["task"] == LOOK:
        answer, features = teacher.look(blobs[0])
        return framed(answered(answer), [features.tobytes()])
    parasitized = np.array(content["cells"]["parasitized"], dtype=bool)
    files, groups = (tuple(content["cells"][name]) for name in ("files", "groups"))
    cells = SiteCells(features_of(blobs[0]), parasitized, files, groups)
    if content["task"] == PACK:
        return framed({}, [teacher.pack(cells, _judgement(content["figures"], blobs[1:]))])
    judgement, adapted = teacher.judge(cells)
    return framed({"figures": _figures(judgement)}, [*_blobs(judgement), *adapted_blobs(adapted)])


def _cells(cells: SiteCells) -> dict[str, Any]:
    return {"parasitized": cells.parasitized.tolist(), "files": cells.files, "groups": cells.groups}


def _figures(judgement: Judgement) -> dict[str, Any]:
    figures = {name: getattr(judgement, name) for name in _Figures.__dataclass_fields__}
    plain: dict[str, Any] = json.loads(to_json(_Figures(**figures)))
    return plain


def _blobs(judgement: Judgement) -> list[bytes]:
    change = judgement.change
    return [np.append(change.weights, change.bias).tobytes(), judgement.log_odds.tobytes()]


def _judgement(figures: dict[str, Any], blobs: Sequence[bytes]) -> Judgement:
    change, log_odds = blobs
    return Judgement(
        **vars(from_json(_Figures, figures)), change=change_of(change), log_odds=np.frombuffer(log_odds)
    )
