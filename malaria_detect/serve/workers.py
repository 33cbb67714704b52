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

from malaria_detect.errors import MalariaDetectError
from malaria_detect.prediction import Prediction, Refusal
from malaria_detect.serve.errors import Overloaded, WorkerLost
from malaria_detect.serve.messages import PREDICT, Frames, answer_of, framed, receive, send, unframed
from malaria_detect.serve.parent import Forked, fork

WORKER = "malaria_detect.serve.worker:run_worker"
# Visitors of the page, who each wait for one picture at a time, come before programs that send many.
PAGE, INTERFACE = 0, 1
# s: no picture takes as long; a worker that does is replaced.
JOB_SECONDS = 60
# s: a worker that ends earlier is not replaced before.
LEAST_SECONDS = 1
# s: what a program is told to wait when the queue is full.
RETRY_SECONDS = 2

_LOG = logging.getLogger("malaria_detect.serve")
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
    size : int
        Processes.
    threads : int
        Threads that each of them uses for the network.
    capacity : int
        Jobs of the HTTP interface that may wait; those of the page are as many as its visitors at the most.
    """

    def __init__(self, model: Path, size: int, threads: int, capacity: int = 32) -> None:
        self.size = size
        self.capacity = capacity
        self._model = model
        self._threads = threads
        self._numbers = itertools.count()
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="worker")
        self._processes: list[Forked | None] = [None] * size
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Jobs that no worker has begun yet."""
        return self._jobs.qsize()

    @property
    def alive(self) -> int:
        """Workers that run."""
        return sum(process is not None and process.poll() is None for process in self._processes)

    def start(self) -> None:
        """Begin to work, in the event loop that runs."""
        self._tasks = [asyncio.create_task(self._work(place)) for place in range(self.size)]

    async def stop(self) -> None:
        """End all workers; jobs that wait are given up."""
        for task in self._tasks:
            task.cancel()
        for process in self._processes:
            if process is not None:
                process.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown()

    async def predict(
        self, pictures: Sequence[bytes], operating_point: str | None = None, place: int = INTERFACE
    ) -> list[Prediction | Refusal]:
        """Classify pictures.

        Parameters
        ----------
        pictures : sequence of bytes
            Files, as :func:`malaria_detect.images.read_image` takes them.
        operating_point : str, optional
            Without one the passport's default.
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
        request = framed({"task": PREDICT, "operating_point": operating_point}, pictures)
        content, _ = unframed(await self.ask(request, place))
        if "error" in content:
            raise MalariaDetectError(content["error"])
        return [answer_of(answer) for answer in content["answers"]]

    async def ask(self, frames: Frames, place: int) -> Frames:
        """Have a message answered by a worker; errors are those of :meth:`predict`."""
        if place == INTERFACE and self.waiting >= self.capacity:
            raise Overloaded("The server has too much to do: try again later.", RETRY_SECONDS)
        job = _Job(place, next(self._numbers), frames, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.answer

    async def _work(self, place: int) -> None:
        """Serve the queue by one worker, and by the next where that is lost."""
        while True:
            connection, process = await asyncio.to_thread(self._begin)
            self._processes[place] = process
            began = time.monotonic()
            try:
                while job := await self._next(process):
                    await self._have_answered(connection, process, job)
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
                return job.result()

    async def _have_answered(self, connection: Connection, process: Forked, job: _Job) -> None:
        exchange = asyncio.get_running_loop().run_in_executor(self._pool, _exchange, connection, job.frames)
        done, _ = await asyncio.wait([exchange], timeout=JOB_SECONDS)
        if not done:
            process.kill()
            await asyncio.wait([exchange])
        error = exchange.exception()
        if isinstance(error, EOFError | OSError):
            await asyncio.to_thread(process.wait)
        if job.answer.done():
            return
        if error is None:
            job.answer.set_result(exchange.result())
        else:
            job.answer.set_exception(WorkerLost(_LOST))

    def _begin(self) -> tuple[Connection, Forked]:
        ours, theirs = multiprocessing.Pipe()
        try:
            return ours, fork(WORKER, theirs, str(self._model), self._threads)
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
    pending: set[asyncio.Task[None]] = set()

    async def answer(sender: bytes, frames: Frames) -> None:
        try:
            answered = await workers.ask(frames, PAGE)
        except MalariaDetectError as error:
            answered = framed({"error": str(error), "kind": type(error).__name__})
        # A kernel that has gone meanwhile is no longer known, and its answer is dropped.
        await socket.send_multipart([sender, b"", *answered])

    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(address)
        while True:
            sender, _, *frames = await socket.recv_multipart()
            task = asyncio.create_task(answer(sender, frames))
            pending.add(task)
            task.add_done_callback(pending.discard)
