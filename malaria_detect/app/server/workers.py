"""The server's side of the prediction workers: a queue, and a worker for each place at which it is served."""

import asyncio
import itertools
import logging
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import zmq
import zmq.asyncio

from malaria_detect.app.server.errors import Overloaded, WorkerLost
from malaria_detect.app.server.messages import PREDICT, Frames, answer_of, framed, receive, send, unframed
from malaria_detect.app.server.parent import Forked, fork
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.prediction import Prediction, Refusal

WORKER = "malaria_detect.app.server.worker:run_worker"
# Visitors of the page, who each wait for one picture at a time, come before programs that send many.
PAGE, INTERFACE = 0, 1
# Of one frame of a kernel's question: a picture, which may be decoded already.
MAX_MESSAGE_BYTES = 128 * 2**20
# s: no picture takes as long; a worker that does is replaced.
JOB_SECONDS = 60
# s: a worker that ends earlier is not replaced before.
LEAST_SECONDS = 1
# s: what a program is told to wait when the queue is full.
RETRY_SECONDS = 2

_LOG = logging.getLogger("malaria_detect.app.server")
_LOST = "The checking of this picture was broken off: try again, and if that does not help leave it out."


@dataclass(order=True)
class _Job:
    place: int
    number: int
    frames: Frames = field(compare=False)
    answer: "asyncio.Future[Frames]" = field(compare=False)


class Workers:
    """Processes that predict and explain, asked through one queue.

    Parameters
    ----------
    model : Path
        The exported learner.
    sha256 : str
        The SHA-256 that it must have: a worker that finds another one answers nothing.
    size : int
        Processes.
    threads : int
        Threads that each of them uses for the network.
    capacity : int
        Jobs of the HTTP interface that may wait; those of the page are as many as its visitors at the most.

    Attributes
    ----------
    tasks : list of asyncio.Task
        What serves the queue, from :meth:`start` on; none of them ends by itself.
    """

    def __init__(self, model: Path, sha256: str, size: int, threads: int, capacity: int = 32) -> None:
        self.size = size
        self.capacity = capacity
        self._model = model
        self._sha256 = sha256
        self._threads = threads
        self._numbers = itertools.count()
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._queued: dict[int, _Job] = {}
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="worker")
        self._processes: list[Forked | None] = [None] * size
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Jobs of the HTTP interface that somebody waits for and no worker has begun yet."""
        return sum(job.place == INTERFACE and not job.answer.done() for job in self._queued.values())

    @property
    def alive(self) -> int:
        """Workers that run."""
        return sum(process is not None and process.poll() is None for process in self._processes)

    def start(self) -> None:
        """Begin to work, in the event loop that runs."""
        self.tasks = [asyncio.create_task(self._work(place)) for place in range(self.size)]

    async def stop(self) -> None:
        """End all workers; jobs that wait are given up."""
        for task in self.tasks:
            task.cancel()
        for process in self._processes:
            if process is not None:
                process.kill()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._pool.shutdown()

    async def predict(
        self, pictures: Sequence[bytes], operating_point: str | None = None, place: int = INTERFACE
    ) -> list[Prediction | Refusal]:
        """Classify pictures.

        Parameters
        ----------
        pictures : sequence of bytes
            Files, as :func:`malaria_detect.data.images.read_image` takes them.
        operating_point : str, optional
            Without one the metadata's default.
        place : int
            `PAGE` or `INTERFACE`.

        Returns
        -------
        list of Prediction or Refusal
            In the order of the pictures.

        Raises
        ------
        Overloaded
            Where too many jobs wait.
        WorkerLost
            Where the worker died or hung over these pictures.
        MalariaDetectError
            Where the model cannot be opened, or has no such operating point.
        """
        question = {"task": PREDICT, "operating_point": operating_point, "model": self._sha256}
        request = framed(question, pictures)
        content, _ = unframed(await self.ask(request, place))
        if "error" in content:
            raise MalariaDetectError(content["error"])
        return [answer_of(answer) for answer in content["answers"]]

    async def ask(self, frames: Frames, place: int) -> Frames:
        """Have a message answered by a worker.

        Raises
        ------
        Overloaded, WorkerLost
            As for :meth:`predict`.
        """
        if place == INTERFACE and self.waiting >= self.capacity:
            raise Overloaded("The server has too much to do: try again later.", RETRY_SECONDS)
        job = _Job(place, next(self._numbers), frames, asyncio.get_running_loop().create_future())
        self._queued[job.number] = job
        self._jobs.put_nowait(job)
        try:
            return await job.answer
        finally:
            # Whoever asked has the answer or has gone; the job may stand in the queue for a while yet.
            job.frames = []
            self._queued.pop(job.number, None)

    async def _work(self, place: int) -> None:
        """Serve the queue by one worker, and by the next where that is lost."""
        while True:
            began = time.monotonic()
            try:
                connection, process = await asyncio.to_thread(self._begin)
            except (OSError, EOFError) as error:
                _LOG.error("no worker can be started: %s", error)
                await asyncio.sleep(LEAST_SECONDS)
                continue
            self._processes[place] = process
            try:
                while job := await self._next(process):
                    await self._have_answered(connection, process, job)
            except OSError as error:
                _LOG.error("worker %s cannot be watched: %s", process.pid, error)
                process.kill()
            finally:
                connection.close()
            _LOG.warning("worker %s ended with %s; another one is started", process.pid, process.poll())
            # One that ends as soon as it is started would keep the machine busy with that.
            await asyncio.sleep(max(0, LEAST_SECONDS - (time.monotonic() - began)))

    async def _next(self, process: Forked) -> _Job | None:
        """Wait for a job that somebody waits for; None where the worker has ended meanwhile."""
        while True:
            job = asyncio.ensure_future(self._jobs.get())
            end = asyncio.ensure_future(process.ended())
            try:
                await asyncio.wait({job, end}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                end.cancel()
                job.cancel()  # without effect where it is done
            if process.poll() is not None:
                if job.done() and not job.cancelled():
                    self._jobs.put_nowait(job.result())
                return None
            if not job.result().answer.done():
                self._queued.pop(job.result().number, None)
                return job.result()

    async def _have_answered(self, connection: Connection, process: Forked, job: _Job) -> None:
        exchange = asyncio.get_running_loop().run_in_executor(self._pool, _exchange, connection, job.frames)
        done, _ = await asyncio.wait([exchange], timeout=JOB_SECONDS)
        if done and exchange.exception() is None:
            if not job.answer.done():
                job.answer.set_result(exchange.result())
            return
        # What is left in its pipe would be taken for the answer to the next question.
        process.kill()
        await asyncio.wait([exchange])
        await asyncio.to_thread(process.wait)
        _LOG.error("worker %s was lost over a job: %r", process.pid, exchange.exception() or "too slow")
        if not job.answer.done():
            job.answer.set_exception(WorkerLost(_LOST))

    def _begin(self) -> tuple[Connection, Forked]:
        ours, theirs = multiprocessing.Pipe()
        try:
            return ours, fork(WORKER, theirs, str(self._model), self._sha256, self._threads)
        finally:
            theirs.close()


def _exchange(connection: Connection, frames: Frames) -> Frames:
    send(connection, frames)
    return receive(connection)


async def answer_kernels(address: str, workers: Workers) -> None:
    """Hand what kernels ask on to the workers, until cancelled.

    Parameters
    ----------
    address : str
        A zmq address in a folder that nobody else can enter.
    workers : Workers
    """
    # Answers go out as they come, not in the order of the questions.
    pending: dict[bytes, asyncio.Task[None]] = {}

    async def answer(sender: bytes, frames: Frames) -> None:
        try:
            answered = await workers.ask(frames, PAGE)
        except MalariaDetectError as error:
            answered = framed({"error": str(error), "kind": type(error).__name__})
        # A kernel that has gone meanwhile is no longer known, and its answer is dropped.
        await socket.send_multipart([sender, b"", *answered])

    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        # A page sends one picture at a time. For what is bound after it.
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.bind(address)
        while True:
            match await socket.recv_multipart():
                # Each kernel has one question at a time.
                case [sender, b"", *frames] if frames and sender not in pending:
                    pending[sender] = task = asyncio.create_task(answer(sender, frames))
                    task.add_done_callback(lambda _, sender=sender: pending.pop(sender))  # type: ignore[misc]
                case _:
                    _LOG.warning("a kernel asked out of turn")
