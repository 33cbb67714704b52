"""Whole fields over HTTP and from a kernel: the server's own workers, in a thread, with a finder of drawn fields."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import numpy as np
import pytest
import requests
from PIL import Image

from malaria_detect.app.server.openapi import Interface, document
from malaria_detect.app.server.reception import Limits
from malaria_detect.app.workers.messages import WORKERS_VARIABLE, Frames
from malaria_detect.app.workers.pool import Workers
from malaria_detect.app.workers.remote import RemoteAnalyser, open_analyser
from malaria_detect.app.workers.worker import Worker
from malaria_detect.core.json_io import to_plain
from malaria_detect.data.image_checks import FIELD
from malaria_detect.fields.analyse import FieldAnalyser
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.app.server.crew import working
from tests.app.server.interface import problem, serving
from tests.app.server.test_openapi import held_against
from tests.drawn_fields import drawn_field
from tests.known_finder import FEW, KnownFinder
from tests.waiting import SECONDS


class InThread(Workers):
    """Workers that answer in a thread of this process."""

    def __init__(self, detector: Detector, model: Path) -> None:
        super().__init__(model, detector.metadata.sha256, size=1, threads=1)
        self.detector = detector
        self._worker = Worker(model, detector.metadata.sha256)

    async def ask(self, frames: Frames, place: int) -> Frames:
        """The answer of a worker."""
        return await asyncio.to_thread(self._worker.answer, frames)


@pytest.fixture
def workers(detector: Detector, shipped_model: Path, monkeypatch: pytest.MonkeyPatch) -> InThread:
    monkeypatch.setattr("malaria_detect.app.workers.worker.load_finder", lambda: KnownFinder.of(0, 1))
    return InThread(detector, shipped_model)


def photograph(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(drawn_field(seed, FEW)[0]).save(file, "PNG")
    return file.getvalue()


def post(address: str, pictures: Sequence[bytes], query: str = "") -> requests.Response:
    files = [("pictures", (f"field {number}.png", one)) for number, one in enumerate(pictures)]
    return requests.post(f"{address}api/field{query}", files=files, timeout=SECONDS)


def test_the_photographs_of_a_request_are_one_slide(workers: InThread, detector: Detector) -> None:
    pictures = [photograph(0), b"no picture", photograph(1)]
    with serving(workers) as running:  # type: ignore[arg-type]
        answer = post(running.address, pictures)
        described = running.get("api/openapi.json").json()
        assert "malaria_detect_pictures_total 3.0" in running.get("metrics").text
    content = answer.json()
    assert answer.status_code == 200, content
    held_against("FieldAnswer", described, content)
    slide = content["slide"]
    assert (slide["fields"], slide["refused"], slide["cells"]) == (3, 1, 2 * FEW.cells)
    assert (slide["parasitized"], slide["verified"]) == (2 * FEW.parasitized, 0)
    assert [(field["image"], bool(field["refusal"])) for field in content["fields"]] == [
        ("field 0.png", False),
        ("field 1.png", True),
        ("field 2.png", False),
    ]
    assert content["operating_point"] == "counting"
    assert content["research_use"] == RESEARCH_USE
    assert content["model"]["sha256"] == detector.metadata.sha256
    expected = [outline for seed in (0, 1) for outline in drawn_field(seed, FEW)[1]]
    outlines = [cell["outline"] for cell in content["cells"]]
    assert len(outlines) == 2 * (FEW.cells + FEW.on_edge)
    assert np.allclose(outlines[0], expected[0], atol=0.006)
    with pytest.raises(jsonschema_rs.ValidationError):
        held_against("FieldAnswer", described, content | {"cells": [{"image": "a"}]})


def test_another_operating_point_is_chosen_in_the_query(workers: InThread) -> None:
    with serving(workers) as running:  # type: ignore[arg-type]
        content = post(running.address, [photograph(0)], "?operating_point=screening").json()
        problem(post(running.address, [photograph(0)], "?operating_point=best"), 400)
    assert content["operating_point"] == "screening"


def test_fields_have_larger_limits_of_their_own(workers: InThread, detector: Detector) -> None:
    limits = replace(Limits(), max_pictures=1, max_body_bytes=1000)
    operation = document(Interface("/", detector.metadata, limits, with_token=False))["paths"]["/api/field"][
        "post"
    ]
    (form,) = operation["requestBody"]["content"].values()
    most = form["schema"]["properties"]["pictures"]["maxItems"]
    assert most == limits.for_fields.max_pictures == 40
    assert limits.for_fields.max_body_bytes >= FIELD.max_bytes
    assert operation["parameters"][0]["schema"]["default"] == "counting"
    with serving(workers, limits) as running:  # type: ignore[arg-type]
        problem(post(running.address, [b"x"] * (most + 1)), 422)
        assert post(running.address, [b"x" * 2000]).json()["slide"]["refused"] == 1


def test_a_kernel_gets_what_it_would_find_itself(
    workers: InThread, detector: Detector, shipped_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photograph(0)
    expected = FieldAnalyser(detector.at("counting"), KnownFinder.of(0)).analyse_field(picture)
    with working(shipped_model, started=False) as crew:
        monkeypatch.setattr(crew.workers, "ask", workers.ask)
        monkeypatch.setenv(WORKERS_VARIABLE, crew.address)
        analyser = open_analyser(shipped_model)
        assert isinstance(analyser, RemoteAnalyser)
        found = analyser.analyse_field(picture)
        array = analyser.analyse_field(drawn_field(0, FEW)[0])
        refused = analyser.analyse_field(Path("missing.png"))
        slide = analyser.at("screening").analyse_slide([picture])
    for one in (found, array):
        assert to_plain(replace(one, seconds=0.0)) == to_plain(replace(expected, seconds=0.0))
    assert refused.refusal is not None
    assert refused.refusal.reason == "no_file"
    assert (slide.point.name, slide.cells) == ("screening", FEW.cells)
