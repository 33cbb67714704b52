"""Prediction workers in a thread, asked by tests that are not asynchronous."""

import asyncio
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from malaria_detect.app.workers.kernel_questions import KernelQuestions
from malaria_detect.app.workers.pool import Workers
from malaria_detect.inference.model_files import read_metadata
from malaria_detect.inference.prediction import Prediction, Refusal
from tests.waiting import SECONDS

Answers = list[Prediction | Refusal]


class Crew:
    """Workers in a thread with an event loop, as in a server; kernels ask them at the address."""

    def __init__(self, model: Path, folder: str, size: int = 1, sha256: str | None = None) -> None:
        self.workers = Workers(model, sha256 or read_metadata(model).sha256, size, threads=1)
        self.workers.job_seconds = SECONDS
        self.questions = KernelQuestions(folder)
        self.address = self.questions.address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.door = self.begin(self.questions.answer(self.workers))

    def begin(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.begin(work).result(SECONDS)

    async def start(self) -> None:
        self.workers.start()

    def predict(self, pictures: list[bytes], *more: Any, **options: Any) -> Answers:
        answers: Answers = self.run(self.workers.predict(pictures, *more, **options))
        return answers

    def stop(self) -> None:
        self.door.cancel()
        self.run(self.workers.stop())
        self.questions.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)


@contextmanager
def working(model: Path, size: int = 1, sha256: str | None = None, started: bool = True) -> Iterator[Crew]:
    # A socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory() as folder:
        crew = Crew(model, folder, size, sha256)
        try:
            if started:
                crew.run(crew.start())
            yield crew
        finally:
            crew.stop()
