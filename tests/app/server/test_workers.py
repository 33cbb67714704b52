"""Prediction workers: real processes, asked directly and as kernels ask them."""

import asyncio
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import zmq
import zmq.asyncio

from malaria_detect.app.widgets import CheckCells, UploadedFile
from malaria_detect.app.workers import pool as module
from malaria_detect.app.workers.messages import WORKERS_VARIABLE, Frames, framed, unframed
from malaria_detect.app.workers.pool import (
    PAGE,
    Overloaded,
    Process,
    WorkerLost,
    Workers,
    _exchange,
    _started,
)
from malaria_detect.app.workers.remote import RemoteDetector
from malaria_detect.app.workers.worker import Worker
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import ImageRefused, ImageSource, read_image
from malaria_detect.explain import Explainer
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.prediction import Prediction, Refusal
from tests.app.server.crew import Answers, Crew, working
from tests.refused import refused
from tests.waiting import SECONDS


@pytest.fixture(scope="module")
def crew(shipped_model: Path) -> Iterator[Crew]:
    """Two workers with the shipped model."""
    with working(shipped_model, size=2) as running:
        yield running


def says(answers: Answers, expected: list[Prediction]) -> bool:
    """Whether these are those predictions, in their order; floats may differ by what a batch rounds."""
    for answer, prediction in zip(answers, expected, strict=True):
        assert isinstance(answer, Prediction)
        one, other = asdict(answer), asdict(prediction)
        for name in ("probabilities", "raw_probability_parasitized"):
            assert one.pop(name) == pytest.approx(other.pop(name), abs=1e-3)
        assert one == other
    return True


def test_workers_say_what_the_detector_says_in_the_order_asked(
    crew: Crew, detector: Detector, pictures: list[bytes]
) -> None:
    answers = crew.predict([*pictures[:2], b"no picture", *pictures[2:]])
    assert isinstance(answers.pop(2), Refusal)
    assert says(answers, [detector.predict(picture) for picture in pictures])
    (screening,) = crew.predict(pictures[:1], "screening")
    assert isinstance(screening, Prediction)
    assert screening.operating_point == "screening"
    with refused(MalariaDetectError, "unknown_operating_point"):
        crew.predict(pictures[:1], "guessing")


def test_many_who_ask_at_once_get_their_own_answers(
    crew: Crew, detector: Detector, pictures: list[bytes]
) -> None:
    jobs = [crew.begin(crew.workers.predict([picture])) for picture in 4 * pictures]
    answers = [answer for job in jobs for answer in job.result(SECONDS)]
    assert says(answers, 4 * [detector.predict(picture) for picture in pictures])
    assert (crew.workers.alive, crew.workers.waiting) == (2, 0)


@pytest.mark.parametrize("question", [b"{", b"[]", b"[" * 100_000])
def test_a_question_that_is_no_json_object_is_answered_and_the_worker_lives(
    shipped_model: Path, question: bytes
) -> None:
    content, _ = unframed(Worker(shipped_model, "").answer([question]))
    assert content["reason"] == "invalid"


@pytest.mark.parametrize(("model", "reason"), [("nowhere.pkl", "missing"), ("export.pkl", "replaced")])
def test_a_model_that_is_missing_or_changed_is_told_and_the_worker_lives(
    model: str, reason: str, shipped_model: Path, pictures: list[bytes]
) -> None:
    with working(shipped_model.with_name(model), sha256="1" * 64) as crew:
        for _ in range(2):
            with refused(MalariaDetectError, reason):
                crew.predict(pictures[:1])
        assert crew.workers.alive == 1


def test_a_page_that_has_another_model_is_told(crew: Crew, detector: Detector, pictures: list[bytes]) -> None:
    newer = replace(detector.metadata, sha256="1" * 64)
    with refused(MalariaDetectError, "replaced"):
        RemoteDetector(newer, None, crew.address).predict(pictures[0])


def test_a_full_queue_turns_programs_away_and_not_the_page(
    crew: Crew, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew.workers, "capacity", 0)
    with pytest.raises(Overloaded) as refused:
        crew.predict(pictures[:1])
    assert refused.value.retry_after > 0
    assert len(crew.predict(pictures[:1], place=PAGE)) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_over_a_picture_is_replaced(
    number: signal.Signals, shipped_model: Path, pictures: list[bytes]
) -> None:
    async def lose(workers: Workers) -> None:
        (process,) = workers.processes
        assert process is not None
        left = Path(mkdtemp(prefix=f"malaria-detect-work-{process.pid}-"))
        # It stops before it gets the job, so that it cannot be done with it.
        process.send_signal(signal.SIGSTOP)
        patience = workers.job_seconds
        if number == signal.SIGSTOP:
            workers.job_seconds = 0.1
        lost = asyncio.create_task(workers.predict(pictures))
        async with asyncio.timeout(SECONDS):
            await asyncio.sleep(0)
            while workers.waiting:
                await asyncio.sleep(0)
        process.send_signal(number)
        with pytest.raises(WorkerLost):
            await lost
        workers.job_seconds = patience
        assert len(await workers.predict(pictures)) == len(pictures)
        assert process.poll() is not None
        assert not left.exists()

    with working(shipped_model) as crew:
        crew.predict(pictures)
        crew.run(lose(crew.workers))


def test_who_left_is_neither_counted_nor_worked_for(
    shipped_model: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def exchange(process: Process, frames: Frames) -> Frames:
        asked.append(len(frames) - 1)
        return _exchange(process, frames)

    monkeypatch.setattr(module, "_exchange", exchange)

    async def leave(workers: Workers) -> None:
        workers.start()
        jobs = [asyncio.create_task(workers.predict(pictures[:2])) for _ in range(20)]
        await asyncio.sleep(0)
        assert workers.waiting == 20
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        assert workers.waiting == 0
        await workers.predict(pictures[:1])

    with working(shipped_model, started=False) as crew:
        crew.run(leave(crew.workers))
    assert asked == [1]


def test_a_worker_that_cannot_be_started_is_tried_again(
    shipped_model: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def start_later(environment: Mapping[str, str], *arguments: object) -> Process:
        tries.append(arguments)
        if len(tries) < 3:
            raise BlockingIOError("no more processes")
        return _started(environment, *arguments)

    monkeypatch.setattr(module, "_started", start_later)
    monkeypatch.setattr(module, "LEAST_SECONDS", 0)
    with working(shipped_model) as crew:
        assert len(crew.predict(pictures)) == len(pictures)
    assert len(tries) == 3


def test_a_kernel_asks_the_servers_workers_and_gets_what_it_would_find_itself(
    crew: Crew,
    shipped_model: Path,
    detector: Detector,
    pictures: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(WORKERS_VARIABLE, raising=False)
    assert RemoteDetector.of_server(shipped_model) is None
    monkeypatch.setenv(WORKERS_VARIABLE, crew.address)
    remote = RemoteDetector.of_server(shipped_model)
    assert remote is not None
    with pytest.raises(ImageRefused):
        remote.predict(b"no picture")
    sources: list[ImageSource] = [*pictures, np.asarray(read_image(pictures[0]))]
    assert says([remote.predict(one) for one in sources], [detector.predict(one) for one in sources])
    assert remote.at("screening").predict(pictures[0]).operating_point == "screening"
    assert [type(answer) for answer in remote.predict_many([b"", pictures[0]])] == [Refusal, Prediction]
    called = next(picture for picture in pictures if remote.predict(picture).decision == "Parasitized")
    prediction = detector.predict(called)
    here, there = Explainer(detector).explain(called, prediction), remote.explain(called, prediction)
    assert (here.finding, here.reliable) == (there.finding, there.reliable)
    np.testing.assert_allclose(here.heat, there.heat, atol=1e-2)
    assert here.marked.shape == there.marked.shape
    with refused(ImageRefused, "empty"):
        remote.explain(b"", prediction)


def test_two_kernels_that_ask_at_once_get_their_own_answers(
    crew: Crew, detector: Detector, pictures: list[bytes]
) -> None:
    def ask(own: list[bytes]) -> bool:
        remote = RemoteDetector(detector.metadata, None, crew.address)
        return says(
            [remote.predict(picture) for picture in 3 * own], 3 * [detector.predict(one) for one in own]
        )

    with ThreadPoolExecutor(2) as kernels:
        assert all(kernels.map(ask, (pictures[:3], pictures[3:])))


def test_the_page_can_be_used_while_the_server_is_working(
    detector: Detector, pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket has at most 107 characters
    address = "ipc://workers"
    screening = detector.metadata.point("screening")

    async def visit() -> None:
        view = CheckCells(RemoteDetector(detector.metadata, None, address))
        async with asyncio.timeout(SECONDS):
            with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as server:
                server.bind(address)
                view.upload.take([UploadedFile("one.png", pictures[0])])
                sender, *_ = await server.recv_multipart()
                # The server has the question. Until it answers, the event loop runs, and so does all of this.
                view.choice.chosen = "screening"
                assert view.cards.point == screening
                view.cards.clear()
                view.upload.take([UploadedFile("two.png", pictures[1])])
                answer = framed({"answers": [{"prediction": asdict(detector.predict(pictures[1]))}]})
                await server.send_multipart([sender, b"", *answer])
                sender, *_ = await server.recv_multipart()
                await server.send_multipart([sender, b"", *answer])
                while not view.cards.results:
                    await asyncio.sleep(0)
        (result,) = view.cards.results
        assert result.name == "two.png"
        assert isinstance(result.answer, Prediction)
        assert result.answer.operating_point == "screening"

    asyncio.run(visit())
