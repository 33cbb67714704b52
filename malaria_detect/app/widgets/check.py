"""The tab "Check cells": upload, a sample to try, the operating point, and a card for each image."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from malaria_detect.app.widgets.base import Column, Part
from malaria_detect.app.widgets.cards import CellCards
from malaria_detect.app.widgets.explanation import ResultExplainer, explainer_of
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.results import check
from malaria_detect.app.widgets.samples import CellSamples, has_cells
from malaria_detect.app.widgets.upload import MAX_IMAGES, CellUpload, UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import MAX_BYTES
from malaria_detect.inference.detector import Detector

# Per visitor: a card's picture takes up to half a megabyte, and files are kept to be explained.
MAX_KEPT = 300
MAX_KEPT_BYTES = MAX_IMAGES * MAX_BYTES


class CheckCells(Column):
    """Upload images of cells and see what the model says about them.

    Parameters
    ----------
    detector : Detector
        Also explains, if it has a method ``explain``.
    choice : OperatingPointChoice, optional
        Shared with other widgets; by default the view has its own.

    Examples
    --------
    >>> from malaria_detect import load_detector
    >>> view = CheckCells(load_detector())  # doctest: +SKIP
    >>> view.upload.take([UploadedFile("cell.png", Path("cell.png").read_bytes())])  # doctest: +SKIP
    >>> view.cards.results[0].answer.probability_parasitized  # doctest: +SKIP
    0.03
    """

    def __init__(self, detector: Detector, choice: OperatingPointChoice | None = None, **kwargs: Any) -> None:
        self._detector = detector
        # A remote detector waits for a server, which must not block the kernel's event loop.
        self._in_threads = getattr(detector, "is_remote", False)
        self._waiting: deque[UploadedFile] = deque()
        self._done = 0
        self._task: asyncio.Task[None] | None = None
        self.upload = CellUpload(self._receive)
        self.choice = choice or OperatingPointChoice(detector.metadata)
        self.cards = CellCards(
            detector.metadata,
            self.choice.point,
            clear=self._stop,
            explain=ResultExplainer(explainer_of(detector)),
            in_threads=self._in_threads,
        )
        self.samples: CellSamples | None = None
        parts: list[Part] = [self.upload, self.choice, self.cards]
        if has_cells():
            self.samples = CellSamples(self._receive, detector.metadata.test.groups)
            parts.insert(1, self.samples)
        super().__init__(parts, **kwargs)
        self.choice.observe(lambda _: self.cards.decide(self.choice.point), "chosen")

    def _receive(self, files: Sequence[UploadedFile]) -> str | None:
        if len(self._waiting) + len(files) > MAX_IMAGES:
            return "The images before these are still being checked. Wait until they are done, then upload again."
        new = [*self._waiting, *files]
        kept = self.cards.results
        size = sum(len(one.original) for one in kept) + sum(len(file.content) for file in new)
        if len(kept) + len(new) > MAX_KEPT or size > MAX_KEPT_BYTES:
            return (
                f"The page keeps at most {MAX_KEPT} images and {MAX_KEPT_BYTES >> 20} MB. Download your results, press "
                "“Clear all”, and upload again."
            )
        busy = bool(self._waiting)
        if not busy:
            self._done = 0
        self._waiting.extend(files)
        self._tell()
        if busy:
            return None
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # In plain Python, outside a kernel.
            try:
                asyncio.run(self._work())
            finally:
                # After an error the other files are not checked; the next upload is.
                self._waiting.clear()
        else:
            self._task = loop.create_task(self._work())
            self._task.add_done_callback(self._ended)
        return None

    async def _work(self) -> None:
        while self._waiting:
            # Lets the kernel send the cards so far and handle messages that arrived meanwhile.
            await asyncio.sleep(0)
            work = partial(check, self._detector, self._waiting[0], self.cards.point)
            self.cards.add(await asyncio.to_thread(work) if self._in_threads else work())
            self._waiting.popleft()
            self._done += 1
            self._tell()

    def _stop(self) -> None:
        self._waiting.clear()
        self._done = 0
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        self.log.error("Checking images failed", exc_info=error)
        self._waiting.clear()
        why = str(error) if isinstance(error, MalariaDetectError) else "The cause is in the server's log."
        self.cards.progress(0, 0, f"Not all images could be checked. {why}")

    def _tell(self) -> None:
        self.cards.progress(self._done, self._done + len(self._waiting))
