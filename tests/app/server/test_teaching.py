"""A kernel teaches the model through a worker in a thread: what comes back is what it would find itself."""

import asyncio
import io
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shutil import copy

import numpy as np
import pytest

from malaria_detect.app.workers.messages import JUDGE, PACK, PREDICT, WORKERS_VARIABLE, Frames, framed
from malaria_detect.app.workers.pool import ADAPTATION, PAGE
from malaria_detect.app.workers.remote import RemoteDetector, RemoteTeacher, open_teacher
from malaria_detect.app.workers.worker import Worker
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.json_io import to_json
from malaria_detect.data.nlm_cells import CLASSES, find_cells
from malaria_detect.inference.adapt import AdaptError, SiteCells
from malaria_detect.inference.detector import load_detector
from malaria_detect.inference.model_files import metadata_path, read_metadata
from malaria_detect.inference.references import read_references
from malaria_detect.inference.teach import Teacher, load_teacher
from tests.app.server.crew import working
from tests.parents import write_parent
from tests.refused import refused
from tests.waiting import SECONDS


@pytest.fixture(scope="module")
def parent(shipped_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parent") / "export.pkl"
    write_parent(shipped_model, path)
    return path


@pytest.fixture
def teacher(parent: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Teacher]:
    """A kernel's teacher."""
    monkeypatch.setattr("malaria_detect.inference.judge._REPEATS", 1)  # for the time that it takes
    worker = Worker(parent, read_metadata(parent).sha256)

    async def ask(frames: Frames, _: int) -> Frames:
        return await asyncio.to_thread(worker.answer, frames)

    with working(parent, started=False) as crew:
        monkeypatch.setattr(crew.workers, "ask", ask)
        monkeypatch.setenv(WORKERS_VARIABLE, crew.address)
        yield open_teacher(parent)


def site(teacher: Teacher, laboratory: Path) -> tuple[SiteCells, list[bytes]]:
    cells = find_cells(laboratory).cells[::2]
    pictures = [cell.path.read_bytes() for cell in cells]
    parasitized = np.array([cell.label == CLASSES[0] for cell in cells])
    features = np.concatenate([teacher.features_of(one).features for one in pictures])
    return SiteCells(
        features, parasitized, tuple(c.name for c in cells), tuple(c.group for c in cells)
    ), pictures


def test_a_kernel_gets_what_it_would_find_itself_and_an_archive_that_answers_the_same(
    teacher: Teacher, parent: Path, laboratory: Path, tmp_path: Path
) -> None:
    assert isinstance(teacher, RemoteTeacher)
    local = load_teacher(parent)
    cells, pictures = site(teacher, laboratory)
    seen, expected_seen = teacher.features_of(pictures[0]), local.features_of(pictures[0])
    assert np.array_equal(seen.features, expected_seen.features)
    assert seen.probability_parasitized == expected_seen.probability_parasitized
    judgement, adapted = teacher.judge(cells)
    expected, same = local.judge(cells)
    assert to_json(judgement.parent) == to_json(expected.parent)
    assert to_json(judgement.gain) == to_json(expected.gain)
    assert np.array_equal(judgement.log_odds, expected.log_odds)
    assert np.array_equal(adapted.change.weights, same.change.weights)
    assert to_json(adapted.metadata) == to_json(same.metadata)

    files = zipfile.ZipFile(io.BytesIO(teacher.pack(cells, judgement)))
    assert sorted(files.namelist()) == ["README.txt", "mylab.graph", "mylab.json", "mylab.npz", "mylab.pkl"]
    assert not list(Path(tempfile.gettempdir()).glob("malaria-detect-work-*"))
    files.extractall(tmp_path)
    model = tmp_path / "mylab.pkl"
    references = read_references(model)
    assert references is not None
    written, here, remote = load_detector(model), same.detector(local.parent), teacher.detector(adapted)
    assert isinstance(remote, RemoteDetector)
    assert written.known is not None
    assert here.known is not None
    assert (
        len(here.known.taught)
        == len(written.known.taught)
        == references.part.count("taught")
        == len(pictures)
    )
    for picture in pictures[::8]:
        answers = [detector.predict(picture) for detector in (written, here, remote)]
        assert answers[1] == answers[2]
        assert answers[0].probability_parasitized == pytest.approx(
            answers[1].probability_parasitized, abs=0.02
        )
    assert remote.at("screening").predict(pictures[0]).operating_point == "screening"
    assert remote.explain(pictures[0], answers[2]).decision in CLASSES


def test_one_model_is_adapted_at_a_time_and_images_need_not_wait(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, done = threading.Event(), threading.Event()

    async def ask(_: Frames, place: int) -> Frames:
        if place == ADAPTATION:
            begun.set()
            await asyncio.to_thread(done.wait, SECONDS)
        return framed({"place": place})

    with working(parent, started=False) as crew, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(crew.workers, "ask", ask)
        one, other = (RemoteDetector(read_metadata(parent), None, crew.address) for _ in range(2))
        first = pool.submit(one.ask, {"task": JUDGE})
        assert begun.wait(SECONDS)
        with refused(MalariaDetectError, "busy"):
            other.ask({"task": PACK})
        assert other.ask({"task": PREDICT})[0] == {"place": PAGE}
        done.set()
        assert first.result(SECONDS)[0] == {"place": ADAPTATION}
        assert other.ask({"task": PACK})[0] == {"place": ADAPTATION}


def test_too_few_cells_are_refused_by_the_worker(teacher: Teacher, laboratory: Path) -> None:
    cells, _ = site(teacher, laboratory)
    with refused(MalariaDetectError, "too_few"):
        teacher.judge(cells[np.arange(15)])


def test_a_model_without_references_is_refused_before_anything_is_asked(
    tmp_path: Path, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(copy(parent, tmp_path / "export.pkl"))
    metadata = replace(read_metadata(parent), references_sha256=None)
    metadata_path(model).write_text(to_json(metadata), encoding="utf-8")
    monkeypatch.setenv(WORKERS_VARIABLE, "ipc://nowhere")
    with refused(AdaptError, "no_references"):
        open_teacher(model)
    monkeypatch.setenv("MALARIA_DETECT_TEACHING", "0")
    with refused(AdaptError, "off"):
        open_teacher(parent)
