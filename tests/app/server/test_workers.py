"""Prediction workers: real processes, asked directly and as kernels ask them."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import zmq
import zmq.asyncio

from malaria_detect.app.server import workers as module
from malaria_detect.app.server.errors import Overloaded, WorkerLost
from malaria_detect.app.server.messages import WORKERS_VARIABLE, Frames, framed
from malaria_detect.app.server.parent import fork, start_parent
from malaria_detect.app.server.remote import RemoteDetector
from malaria_detect.app.server.workers import PAGE, Workers, _exchange, answer_kernels
from malaria_detect.app.widgets import CheckCells, UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import ImageRefused, read_image
from malaria_detect.explain import Explainer
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.inference.prediction import Prediction, Refusal
from tests.waiting import SECONDS


@pytest.fixture(scope="module", autouse=True)
def parent(shipped_model: Path) -> None:
    """The fork parent of this process, with the shipped model."""
    start_parent(shipped_model)


@pytest.fixture(scope="module")
def pictures(sample_cells: Path) -> list[bytes]:
    """Three of each class, each of another size, so that no answer can be taken for another's."""
    found: dict[tuple[int, int], bytes] = {}
    for label in ("Parasitized", "Uninfected"):
        several = {
            read_image(path).size: path.read_bytes() for path in sorted(sample_cells.rglob(f"{label}/*.png"))
        }
        found |= dict([item for item in several.items() if item[0] not in found][:3])
    return list(found.values())


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the server listens for kernels, which are started in its folder."""
    monkeypatch.chdir(tmp_path)
    return "ipc://workers"


def working(
    model: Path,
    work: Callable[[Workers], Awaitable[None]],
    *,
    size: int = 1,
    capacity: int = 32,
    sha256: str | None = None,
) -> None:
    async def run() -> None:
        sha = sha256 or read_metadata(model).sha256
        workers = Workers(model, sha, size, threads=1, capacity=capacity)
        workers.job_seconds = SECONDS
        workers.start()
        try:
            await work(workers)
        finally:
            await workers.stop()

    asyncio.run(run())


async def begun(workers: Workers) -> None:
    """Wait until a worker has begun each job."""
    async with asyncio.timeout(SECONDS):
        while workers.waiting:
            await asyncio.sleep(0)


def says(answers: list[Prediction | Refusal], wanted: list[Prediction]) -> bool:
    """Whether these are those predictions, in their order; floats may differ by what a batch rounds."""
    for answer, prediction in zip(answers, wanted, strict=True):
        assert isinstance(answer, Prediction)
        found, told = asdict(answer), asdict(prediction)
        assert found.pop("probabilities") == pytest.approx(told.pop("probabilities"), abs=1e-3)
        raw = "raw_probability_parasitized"
        assert found.pop(raw) == pytest.approx(told.pop(raw), abs=1e-3)
        assert found == told
    return True


def test_workers_say_what_the_detector_says_in_the_order_asked(
    shipped_model: Path, detector: Detector, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        asked = [*pictures[:2], b"no picture", *pictures[2:]]
        answers = await workers.predict(asked)
        assert isinstance(answers.pop(2), Refusal)
        assert says(answers, [detector.predict(picture) for picture in pictures])
        screening = await workers.predict(pictures[:1], "screening")
        assert isinstance(screening[0], Prediction)
        assert screening[0].operating_point == "screening"

    working(shipped_model, work)


def test_many_who_ask_at_once_get_their_own_answers(
    shipped_model: Path, detector: Detector, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        answers = await asyncio.gather(*(workers.predict([picture]) for picture in 4 * pictures))
        assert says(
            [answer for (answer,) in answers], 4 * [detector.predict(picture) for picture in pictures]
        )
        assert workers.alive == 2
        assert workers.waiting == 0

    working(shipped_model, work, size=2)


def test_an_operating_point_that_the_model_has_not_is_told(
    shipped_model: Path, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        with pytest.raises(MalariaDetectError, match="guessing"):
            await workers.predict(pictures[:1], "guessing")

    working(shipped_model, work)


def test_a_model_that_cannot_be_opened_is_told_and_the_worker_lives(
    tmp_path: Path, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        for _ in range(2):
            with pytest.raises(MalariaDetectError, match=r"export\.pkl"):
                await workers.predict(pictures[:1])
        assert workers.alive == 1

    working(tmp_path / "export.pkl", work, sha256="0" * 64)


def test_a_model_that_was_changed_meanwhile_answers_nothing(
    shipped_model: Path,
    detector: Detector,
    pictures: list[bytes],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, address)
    newer = Detector(detector.network, replace(detector.metadata, sha256="1" * 64))
    remote = RemoteDetector.of_server(newer)
    assert remote is not None

    async def changed_for_the_worker(workers: Workers) -> None:
        with pytest.raises(MalariaDetectError, match="Restart the server"):
            await workers.predict(pictures[:1])

    async def changed_for_the_page(workers: Workers) -> None:
        door = asyncio.create_task(answer_kernels(address, workers))
        with pytest.raises(MalariaDetectError, match="Restart the server"):
            await asyncio.to_thread(remote.predict, pictures[0])
        door.cancel()

    working(shipped_model, changed_for_the_worker, sha256="1" * 64)
    working(shipped_model, changed_for_the_page)


def test_a_full_queue_turns_programs_away_and_not_the_page(
    shipped_model: Path, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        with pytest.raises(Overloaded) as refused:
            await workers.predict(pictures[:1])
        assert refused.value.retry_after > 0
        assert len(await workers.predict(pictures[:1], place=PAGE)) == 1

    working(shipped_model, work, capacity=0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_over_a_picture_is_replaced(
    number: signal.Signals, shipped_model: Path, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        await workers.predict(pictures)
        (process,) = workers._processes
        assert process is not None
        # It stops before it gets the job, so that it cannot be done with it.
        process.send_signal(signal.SIGSTOP)
        patience = workers.job_seconds
        if number == signal.SIGSTOP:
            workers.job_seconds = 0.1
        lost = asyncio.create_task(workers.predict(pictures))
        await begun(workers)
        process.send_signal(number)
        with pytest.raises(WorkerLost):
            await lost
        workers.job_seconds = patience
        assert len(await workers.predict(pictures)) == len(pictures)
        assert process.poll() is not None

    working(shipped_model, work)


def test_who_left_is_not_worked_for(
    shipped_model: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def exchange(connection: Connection, frames: Frames) -> Frames:
        asked.append(len(frames) - 1)
        return _exchange(connection, frames)

    monkeypatch.setattr(module, "_exchange", exchange)

    async def work(workers: Workers) -> None:
        jobs = [asyncio.create_task(workers.predict(pictures[:2])) for _ in range(20)]
        await asyncio.sleep(0)
        for job in jobs:
            job.cancel()
        await workers.predict(pictures[:1])

    working(shipped_model, work)
    assert asked == [1]


def test_a_kernel_asks_the_servers_workers_and_gets_what_it_would_find_itself(
    shipped_model: Path,
    detector: Detector,
    pictures: list[bytes],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(WORKERS_VARIABLE, address)
    remote = RemoteDetector.of_server(detector)
    assert remote is not None

    def ask() -> None:
        with pytest.raises(ImageRefused, match="a text"):
            remote.predict(b"no picture")
        for picture in pictures:
            assert says([remote.predict(picture)], [detector.predict(picture)])
        array = np.full((60, 50, 3), 128, dtype=np.uint8)
        assert says([remote.predict(array)], [detector.predict(array)])
        assert remote.at("screening").predict(pictures[0]).operating_point == "screening"
        assert [type(answer) for answer in remote.predict_many([b"", pictures[0]])] == [Refusal, Prediction]
        called = next(picture for picture in pictures if remote.predict(picture).decision == "Parasitized")
        prediction = detector.predict(called)
        here, there = Explainer(detector).explain(called, prediction), remote.explain(called, prediction)
        assert here.finding == there.finding
        assert here.reliable == there.reliable
        np.testing.assert_allclose(here.heat, there.heat, atol=1e-2)
        assert here.marked.shape == there.marked.shape

    async def work(workers: Workers) -> None:
        door = asyncio.create_task(answer_kernels(address, workers))
        await asyncio.to_thread(ask)
        door.cancel()

    working(shipped_model, work)


def test_two_kernels_that_ask_at_once_get_their_own_answers(
    shipped_model: Path, detector: Detector, pictures: list[bytes], address: str
) -> None:
    def ask(own: list[bytes]) -> bool:
        remote = RemoteDetector(detector, address)
        return says(
            [remote.predict(picture) for picture in 3 * own], 3 * [detector.predict(one) for one in own]
        )

    async def work(workers: Workers) -> None:
        door = asyncio.create_task(answer_kernels(address, workers))
        halves = (pictures[:3], pictures[3:])
        assert await asyncio.gather(*(asyncio.to_thread(ask, half) for half in halves)) == [True, True]
        door.cancel()

    working(shipped_model, work, size=2)


def test_what_is_no_question_is_not_answered_and_the_others_are(
    shipped_model: Path, detector: Detector, pictures: list[bytes], address: str
) -> None:
    def disturb() -> None:
        socket: zmq.Socket[bytes]
        with zmq.Context.instance().socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 1000)
            socket.connect(address)
            socket.send_multipart([b"x"])
        assert RemoteDetector(detector, address).predict(pictures[0])

    async def work(workers: Workers) -> None:
        door = asyncio.create_task(answer_kernels(address, workers))
        await asyncio.to_thread(disturb)
        assert not door.done()
        door.cancel()

    working(shipped_model, work)


def test_a_question_over_the_limit_is_not_taken(
    shipped_model: Path,
    detector: Detector,
    pictures: list[bytes],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGE_BYTES", 2**20)
    asked: list[int] = []

    async def note(frames: list[bytes], place: int) -> list[bytes]:
        asked.append(sum(map(len, frames)))
        return frames

    def ask() -> None:
        large: zmq.Socket[bytes]
        small: zmq.Socket[bytes]
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        with context.socket(zmq.DEALER) as large, context.socket(zmq.REQ) as small:
            for socket in (large, small):
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.RCVTIMEO, 1000 * SECONDS)
                socket.connect(address)
            large.send_multipart([b"", b"{}", bytes(2**20 + 1)])
            small.send_multipart([b"{}", b"x"])
            assert small.recv_multipart() == [b"{}", b"x"]

    async def work(workers: Workers) -> None:
        monkeypatch.setattr(workers, "ask", note)
        door = asyncio.create_task(answer_kernels(address, workers))
        await asyncio.to_thread(ask)
        assert asked == [3]
        door.cancel()

    working(shipped_model, work)


def test_what_nobody_waits_for_is_neither_kept_nor_counted(
    shipped_model: Path, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        jobs = [asyncio.create_task(workers.predict(pictures)) for _ in range(8)]
        await asyncio.sleep(0)
        assert workers.waiting == 8
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        assert workers.waiting == 0

    working(shipped_model, work)


def test_a_worker_that_cannot_be_started_is_tried_again(
    shipped_model: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fork_later(*arguments: object) -> object:
        tries.append(arguments)
        if len(tries) < 3:
            raise BlockingIOError("no more processes")
        return fork(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "fork", fork_later)
    monkeypatch.setattr(module, "LEAST_SECONDS", 0)

    async def work(workers: Workers) -> None:
        assert len(await workers.predict(pictures)) == len(pictures)

    working(shipped_model, work)
    assert len(tries) == 3


def test_the_page_can_be_used_while_the_server_is_working(
    detector: Detector, pictures: list[bytes], address: str
) -> None:
    screening = detector.metadata.point("screening")

    async def visit() -> None:
        view = CheckCells(RemoteDetector(detector, address))
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


def test_outside_a_server_a_notebook_predicts_itself(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WORKERS_VARIABLE, raising=False)
    assert RemoteDetector.of_server(detector) is None
