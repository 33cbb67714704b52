"""Prediction workers: real processes, asked directly and as kernels ask them."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from malaria_detect.detector import Detector
from malaria_detect.errors import MalariaDetectError
from malaria_detect.explain import Explainer
from malaria_detect.images import ImageRefused
from malaria_detect.prediction import Prediction, Refusal
from malaria_detect.serve import workers as module
from malaria_detect.serve.errors import Overloaded, WorkerLost
from malaria_detect.serve.messages import WORKERS_VARIABLE
from malaria_detect.serve.parent import start_parent
from malaria_detect.serve.remote import RemoteDetector
from malaria_detect.serve.workers import PAGE, Workers, answer_kernels


@pytest.fixture(scope="module", autouse=True)
def parent(shipped_model: Path) -> None:
    """The fork parent of this process, with the shipped model."""
    start_parent(shipped_model)


@pytest.fixture(scope="module")
def pictures(sample_cells: Path) -> list[bytes]:
    return [
        path.read_bytes()
        for label in ("Parasitized", "Uninfected")
        for path in sorted(sample_cells.rglob(f"{label}/*.png"))[:3]
    ]


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the server listens for kernels, which are started in its folder."""
    monkeypatch.chdir(tmp_path)
    return "ipc://workers"


def working(
    model: Path, work: Callable[[Workers], Awaitable[None]], *, size: int = 1, capacity: int = 32
) -> None:
    async def run() -> None:
        workers = Workers(model, size, threads=1, capacity=capacity)
        workers.start()
        try:
            await work(workers)
        finally:
            await workers.stop()

    asyncio.run(run())


def same(one: Prediction | Refusal, other: Prediction) -> bool:
    """Whether two predictions say the same; sums of floats may differ in the last digits."""
    if isinstance(one, Refusal):
        return False
    numbers = [asdict(answer).pop("raw_probability_parasitized") for answer in (one, other)]
    return one.decision == other.decision and numbers == pytest.approx(numbers[::-1], abs=1e-3)


def test_workers_say_what_the_detector_says_in_the_order_asked(
    shipped_model: Path, detector: Detector, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        asked = [*pictures[:2], b"no picture", *pictures[2:]]
        answers = await workers.predict(asked)
        assert isinstance(answers.pop(2), Refusal)
        assert all(map(same, answers, map(detector.predict, pictures)))
        screening = await workers.predict(pictures[:1], "screening")
        assert isinstance(screening[0], Prediction)
        assert screening[0].operating_point == "screening"

    working(shipped_model, work)


def test_many_who_ask_at_once_get_their_own_answers(
    shipped_model: Path, detector: Detector, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        answers = await asyncio.gather(*(workers.predict([picture]) for picture in 4 * pictures))
        assert all(map(same, [answer for (answer,) in answers], map(detector.predict, 4 * pictures)))
        assert workers.alive == 2
        assert workers.waiting == 0

    working(shipped_model, work, size=2)


def test_an_operating_point_that_the_model_has_not_is_told(
    shipped_model: Path, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        with pytest.raises(MalariaDetectError, match="has no operating point 'guessing'"):
            await workers.predict(pictures[:1], "guessing")

    working(shipped_model, work)


def test_a_model_that_cannot_be_opened_is_told_and_the_worker_lives(
    tmp_path: Path, pictures: list[bytes]
) -> None:
    async def work(workers: Workers) -> None:
        for _ in range(2):
            with pytest.raises(MalariaDetectError, match="is missing"):
                await workers.predict(pictures[:1])
        assert workers.alive == 1

    working(tmp_path / "export.pkl", work)


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
    number: signal.Signals, shipped_model: Path, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(workers: Workers) -> None:
        await workers.predict(pictures)
        (process,) = workers._processes
        assert process is not None
        monkeypatch.setattr(module, "JOB_SECONDS", 1)
        lost = asyncio.create_task(workers.predict(50 * pictures))
        await asyncio.sleep(0)
        while workers.waiting:
            await asyncio.sleep(0)
        process.send_signal(number)
        with pytest.raises(WorkerLost, match="broken off"):
            await lost
        monkeypatch.undo()
        assert len(await workers.predict(pictures)) == len(pictures)
        assert process.poll() is not None

    working(shipped_model, work)


def test_who_left_is_not_worked_for(shipped_model: Path, pictures: list[bytes]) -> None:
    async def work(workers: Workers) -> None:
        jobs = [asyncio.create_task(workers.predict(100 * pictures)) for _ in range(20)]
        await asyncio.sleep(0)
        for job in jobs:
            job.cancel()
        # Behind 12,000 pictures this would take minutes.
        async with asyncio.timeout(100):
            await workers.predict(pictures)

    working(shipped_model, work)


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
            assert same(remote.predict(picture), detector.predict(picture))
        array = np.full((60, 50, 3), 128, dtype=np.uint8)
        assert same(remote.predict(array), detector.predict(array))
        assert remote.at("screening").predict(pictures[0]).operating_point == "screening"
        assert [type(answer) for answer in remote.predict_many([b"", pictures[0]])] == [Refusal, Prediction]
        called = next(picture for picture in pictures if remote.predict(picture).decision == "Parasitized")
        prediction = detector.predict(called)
        here, there = Explainer(detector).explain(called, prediction), remote.explain(called, prediction)
        assert here.sentence == there.sentence
        assert here.reliable == there.reliable
        np.testing.assert_allclose(here.heat, there.heat, atol=1e-2)
        assert here.marked.shape == there.marked.shape

    async def work(workers: Workers) -> None:
        door = asyncio.create_task(answer_kernels(address, workers))
        await asyncio.to_thread(ask)
        door.cancel()

    working(shipped_model, work)


def test_outside_a_server_a_notebook_predicts_itself(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WORKERS_VARIABLE, raising=False)
    assert RemoteDetector.of_server(detector) is None
