"""The server's side of the prediction workers: a queue of jobs, and processes that work on them."""

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
from typing import Any

from malaria_detect.app.server.errors import Overloaded, WorkerLost
from malaria_detect.app.server.messages import (
    FIELD,
    PREDICT,
    SLIDE,
    Frames,
    answer_of,
    framed,
    receive,
    send,
    unframed,
)
from malaria_detect.app.server.parent import Forked, fork
from malaria_detect.app.server.reception import RETRY_SECONDS
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.swept import sweep
from malaria_detect.inference.prediction import Prediction, Refusal

WORKER = "malaria_detect.app.server.worker:run_worker"
# Visitors of the page, who wait for one image at a time, come before programs that send many, and these before the
# adaptation of a model.
PAGE, INTERFACE, ADAPTATION = 0, 1, 2
# s: a worker that needs longer for a job is replaced. A large field can take a minute on a slow, busy machine.
JOB_SECONDS = 180.0
# s: least time between two starts of a worker.
LEAST_SECONDS = 1

_LOG = logging.getLogger("malaria_detect.app.server")
_LOST = "This image could not be processed. Try again without it."


@dataclass(order=True)
class _Job:
    place: int
    number: int
    frames: Frames = field(compare=False)
    answer: "asyncio.Future[Frames]" = field(compare=False)


class Workers:
    """Processes that classify and explain images, with one queue of jobs.

    Parameters
    ----------
    model : Path
        Exported learner.
    sha256 : str
        Required SHA-256 of the learner; a worker that finds another one answers with an error.
    size : int
        Number of processes.
    threads : int
        Threads that each process uses for the network.
    capacity : int
        Jobs of the HTTP API that may wait. The page has at most one waiting job per visitor.

    Attributes
    ----------
    tasks : list of asyncio.Task
        Serve the queue after :meth:`start`; they run until cancelled.
    job_seconds : float
        A worker that needs longer for a job is replaced.
    """

    def __init__(self, model: Path, sha256: str, size: int, threads: int, capacity: int = 32) -> None:
        self.size = size
        self.capacity = capacity
        self.job_seconds = JOB_SECONDS
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
        """Number of jobs of the HTTP API that a client waits for and no worker has begun."""
        return sum(job.place == INTERFACE and not job.answer.done() for job in self._queued.values())

    @property
    def alive(self) -> int:
        """Number of running workers."""
        return sum(process is not None and process.poll() is None for process in self._processes)

    def start(self) -> None:
        """Start the workers in the running event loop."""
        self.tasks = [asyncio.create_task(self._work(place)) for place in range(self.size)]

    async def stop(self) -> None:
        """End all workers and drop waiting jobs."""
        for task in self.tasks:
            task.cancel()
        for process in self._processes:
            if process is not None:
                process.kill()
                await asyncio.to_thread(process.wait)
                sweep(process.pid)
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._pool.shutdown()

    async def predict(
        self, pictures: Sequence[bytes], operating_point: str | None = None, place: int = INTERFACE
    ) -> list[Prediction | Refusal]:
        """Classify images.

        Parameters
        ----------
        pictures : sequence of bytes
            Files, as accepted by :func:`malaria_detect.data.images.read_image`.
        operating_point : str, optional
            By default that of the metadata.
        place : int
            Place in the queue: `PAGE` or `INTERFACE`.

        Returns
        -------
        list of Prediction or Refusal
            In the order of the images.

        Raises
        ------
        Overloaded
            If too many jobs wait.
        WorkerLost
            If the worker died or hung while it processed these images.
        MalariaDetectError
            If the model cannot be opened, or has no such operating point.
        """
        question = {"task": PREDICT, "operating_point": operating_point}
        content = await self._asked(question, pictures, place)
        return [answer_of(answer) for answer in content["answers"]]

    async def analyse(self, fields: Sequence[tuple[str, bytes]], operating_point: str) -> dict[str, Any]:
        """Analyse the fields of one slide, one job each; errors as for :meth:`predict`.

        Parameters
        ----------
        fields : sequence of (str, bytes)
            Names, and files as accepted by :func:`malaria_detect.data.images.read_field`.
        operating_point : str

        Returns
        -------
        dict
            ``slide``, ``fields`` and ``cells``: the records of :mod:`malaria_detect.fields.records` as objects.
        """
        shared = {"operating_point": operating_point, "cell_diameter": None}
        found = [
            (await self._asked({"task": FIELD, "name": name, **shared}, [picture], INTERFACE))["field"]
            for name, picture in fields
        ]
        return await self._asked({"task": SLIDE, "fields": found, **shared}, [], INTERFACE)

    async def _asked(self, question: dict[str, Any], pictures: Sequence[bytes], place: int) -> dict[str, Any]:
        request = framed(question | {"model": self._sha256}, pictures)
        content, _ = unframed(await self.ask(request, place))
        if "error" in content:
            raise MalariaDetectError(content["error"], content["reason"])
        return content

    async def ask(self, frames: Frames, place: int) -> Frames:
        """Send a message to a worker and return its answer; raises Overloaded and WorkerLost as :meth:`predict`."""
        if place == INTERFACE and self.waiting >= self.capacity:
            raise Overloaded("The server is overloaded. Try again later.", RETRY_SECONDS)
        job = _Job(place, next(self._numbers), frames, asyncio.get_running_loop().create_future())
        self._queued[job.number] = job
        self._jobs.put_nowait(job)
        try:
            return await job.answer
        finally:
            # The client has its answer or has left, but the job may stay in the queue for a while.
            job.frames = []
            self._queued.pop(job.number, None)

    async def _work(self, place: int) -> None:
        """Serve the queue with one worker, and with another one whenever that ends."""
        while True:
            began = time.monotonic()
            try:
                connection, process = await asyncio.to_thread(self._begin)
            except (OSError, EOFError) as error:
                _LOG.error("Cannot start a worker: %s", error)
                await asyncio.sleep(LEAST_SECONDS)
                continue
            self._processes[place] = process
            try:
                while job := await self._next(process):
                    await self._have_answered(connection, process, job)
            except OSError as error:
                _LOG.error("Cannot watch worker %s: %s", process.pid, error)
                process.kill()
            finally:
                connection.close()
            sweep(process.pid)
            _LOG.warning("Worker %s ended with status %s; starting another one.", process.pid, process.poll())
            # A worker that ends immediately must not keep the machine busy with starting it.
            await asyncio.sleep(max(0, LEAST_SECONDS - (time.monotonic() - began)))

    async def _next(self, process: Forked) -> _Job | None:
        """Wait for a job whose client still waits; None if the worker has ended meanwhile."""
        while True:
            job = asyncio.ensure_future(self._jobs.get())
            end = asyncio.ensure_future(process.ended())
            try:
                await asyncio.wait({job, end}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                end.cancel()
                job.cancel()  # has no effect if it is done
            if process.poll() is not None:
                if job.done() and not job.cancelled():
                    self._jobs.put_nowait(job.result())
                return None
            if not job.result().answer.done():
                self._queued.pop(job.result().number, None)
                return job.result()

    async def _have_answered(self, connection: Connection, process: Forked, job: _Job) -> None:
        exchange = asyncio.get_running_loop().run_in_executor(self._pool, _exchange, connection, job.frames)
        done, _ = await asyncio.wait([exchange], timeout=self.job_seconds)
        if done and exchange.exception() is None:
            if not job.answer.done():
                job.answer.set_result(exchange.result())
            return
        # An answer that is still in the pipe would be taken as the answer to the next job.
        process.kill()
        await asyncio.wait([exchange])
        await asyncio.to_thread(process.wait)
        _LOG.error("Worker %s failed on a job: %r", process.pid, exchange.exception() or "too slow")
        if not job.answer.done():
            job.answer.set_exception(WorkerLost(_LOST, reason="worker_lost"))

    def _begin(self) -> tuple[Connection, Forked]:
        ours, theirs = multiprocessing.Pipe()
        try:
            return ours, fork(WORKER, theirs, str(self._model), self._sha256, self._threads)
        finally:
            theirs.close()


def _exchange(connection: Connection, frames: Frames) -> Frames:
    send(connection, frames)
    return receive(connection)
