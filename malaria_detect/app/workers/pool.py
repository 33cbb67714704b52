"""A pool of prediction workers: a queue of jobs, and processes that work on them.

Not those of ``concurrent.futures`` or pebble, which answer with pickles; see
:mod:`malaria_detect.app.workers.messages`.
"""

import asyncio
import itertools
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from malaria_detect.app.workers.messages import (
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
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.swept import sweep
from malaria_detect.inference.engine import MAPPED_VARIABLE, THREADS_VARIABLE
from malaria_detect.inference.prediction import Prediction, Refusal

RETRY_SECONDS = 2
# Visitors of the page, who wait for one image at a time, come before programs that send many, and these before the
# adaptation of a model.
PAGE, INTERFACE, ADAPTATION = 0, 1, 2
# s: a worker that needs longer for a job is replaced. A large field can take a minute on a slow, busy machine.
JOB_SECONDS = 180.0
# s: least time between two starts of a worker, so that one that ends at once does not keep the machine busy.
LEAST_SECONDS = 1

_LOG = logging.getLogger("malaria_detect.app.server")
_LOST = "This image could not be processed. Try again without it."


class Overloaded(MalariaDetectError):  # noqa: N818 - names the server's state
    """The queue of the prediction workers is full; a client may try again after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, reason="overloaded")
        self.retry_after = retry_after


class WorkerLost(MalariaDetectError):  # noqa: N818 - names what happened
    """A worker died or hung while it processed this job; the server replaces the worker (``worker_lost``)."""


Process = subprocess.Popen[bytes]


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
    size, threads : int
        Number of processes, and of threads that each uses for the network.
    capacity : int
        Jobs of the HTTP API that may wait. The page has at most one waiting job per visitor.
    """

    def __init__(self, model: Path, sha256: str, size: int, threads: int, capacity: int = 32) -> None:
        self.size = size
        self.capacity = capacity
        self.job_seconds = JOB_SECONDS
        self._sha256 = sha256
        self._arguments = model, sha256
        # glibc would keep the large buffers that were used to compile the network.
        self._environment = os.environ | {
            THREADS_VARIABLE: str(threads),
            "MALLOC_MMAP_THRESHOLD_": str(2**20),
            MAPPED_VARIABLE: "1",
        }
        self._numbers = itertools.count()
        self._jobs: asyncio.PriorityQueue[_Job] = asyncio.PriorityQueue()
        self._queued: dict[int, _Job] = {}
        # One thread waits for each process's end, and one for its answer.
        self._threads = ThreadPoolExecutor(2 * size, thread_name_prefix="worker")
        self.processes: list[Process | None] = [None] * size
        # They serve the queue until cancelled.
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Number of jobs of the HTTP API that a client waits for and no worker has begun."""
        return sum(job.place == INTERFACE and not job.answer.done() for job in self._queued.values())

    @property
    def alive(self) -> int:
        """Number of running workers."""
        return sum(process is not None and process.poll() is None for process in self.processes)

    def start(self) -> None:
        """Start the workers in the running event loop."""
        self.tasks = [asyncio.create_task(self._work(place)) for place in range(self.size)]

    async def stop(self) -> None:
        """End all workers and drop waiting jobs."""
        for task in self.tasks:
            task.cancel()
        for process in filter(None, self.processes):
            process.kill()
            await asyncio.to_thread(process.wait)
            sweep(process.pid)
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._threads.shutdown()

    async def predict(
        self, pictures: Sequence[bytes], operating_point: str | None = None, place: int = INTERFACE
    ) -> list[Prediction | Refusal]:
        """Classify image files, at the default operating point or another one; the answers are in their order.

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
        """Analyse the fields of one slide, given as names and files, one job each; errors as for :meth:`predict`.

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
        """Serve the queue with one process, and with another one whenever that ends."""
        while True:
            began = time.monotonic()
            try:
                process = await asyncio.to_thread(_started, self._environment, *self._arguments)
            except OSError as error:
                _LOG.error("Cannot start a worker: %s", error)
                await asyncio.sleep(LEAST_SECONDS)
                continue
            self.processes[place] = process
            ended = self._in_thread(process.wait)
            while job := await self._next(ended):
                await self._have_answered(process, ended, job)
            sweep(process.pid)
            _LOG.warning("Worker %s ended with status %s; starting another one.", process.pid, ended.result())
            await asyncio.sleep(max(0, LEAST_SECONDS - (time.monotonic() - began)))

    async def _next(self, ended: "asyncio.Future[Any]") -> _Job | None:
        """Wait for a job whose client still waits; None if the process has ended meanwhile."""
        while True:
            turn = asyncio.ensure_future(self._jobs.get())
            try:
                await asyncio.wait({turn, ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                turn.cancel()  # has no effect if it is done
            job = turn.result() if turn.done() else None
            if ended.done():
                if job:
                    self._jobs.put_nowait(job)
                return None
            if job and not job.answer.done():
                self._queued.pop(job.number, None)
                return job

    async def _have_answered(self, process: Process, ended: "asyncio.Future[Any]", job: _Job) -> None:
        exchange = self._in_thread(_exchange, process, job.frames)
        done, _ = await asyncio.wait([exchange], timeout=self.job_seconds)
        if done and exchange.exception() is None:
            if not job.answer.done():
                job.answer.set_result(exchange.result())
            return
        # An answer that is still in the pipe would be taken as the answer to the next job.
        process.kill()
        await asyncio.wait([exchange, ended])
        _LOG.error("Worker %s failed on a job: %r", process.pid, exchange.exception() or "too slow")
        if not job.answer.done():
            job.answer.set_exception(WorkerLost(_LOST, reason="worker_lost"))

    def _in_thread(self, work: Any, *arguments: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _exchange(process: Process, frames: Frames) -> Frames:
    assert process.stdin
    assert process.stdout
    send(process.stdin, frames)
    return receive(process.stdout)


def _started(environment: Mapping[str, str], *arguments: object) -> Process:
    """A new process that works; it ends when its standard input is closed, that is with the server."""
    # -P: no module of the current folder, which may be anybody's, is imported.
    command = [sys.executable, "-P", "-m", "malaria_detect.app.workers.worker", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
