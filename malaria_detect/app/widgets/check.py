"""The view "Check cells": upload, a handful to try, and a card for each picture."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from malaria_detect.app.widgets.base import Column, Part
from malaria_detect.app.widgets.cards import CellCards
from malaria_detect.app.widgets.explanation import Explains, ResultExplainer, explains_itself
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.results import check
from malaria_detect.app.widgets.samples import CellSamples, cells_at_hand
from malaria_detect.app.widgets.upload import MAX_PICTURES, CellUpload, Upload
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.detector import Detector

# A card's picture takes up to half a megabyte.
MAX_KEPT = 300


class CheckCells(Column):
    """Upload pictures of cells and read what the model makes of them.

    Parameters
    ----------
    detector : Detector
    choice : OperatingPointChoice, optional
        The page's; alone in a notebook the view has one of its own.
    explains : callable, optional
        Explains a picture, given as a file, and what was predicted of it; without one it is done here.
    in_threads : bool
        Whether pictures are checked and explained in threads, so that a detector that waits for a server does not
        block the kernel's event loop.

    Examples
    --------
    >>> from malaria_detect import load_detector
    >>> view = CheckCells(load_detector())  # doctest: +SKIP
    >>> view.upload.take([Upload("cell.png", Path("cell.png").read_bytes())])  # doctest: +SKIP
    >>> view.cards.results[0].answer.probability_parasitized  # doctest: +SKIP
    0.03
    """

    def __init__(
        self,
        detector: Detector,
        choice: OperatingPointChoice | None = None,
        explains: Explains | None = None,
        in_threads: bool = False,
        **kwargs: Any,
    ) -> None:
        self._detector = detector
        self._in_threads = in_threads
        self._waiting: deque[Upload] = deque()
        self._done = 0
        self._task: asyncio.Task[None] | None = None
        self.upload = CellUpload(self._receive)
        self.choice = choice or OperatingPointChoice(detector.metadata)
        self.cards = CellCards(
            detector.metadata,
            self.choice.point,
            clear=self._stop,
            explain=ResultExplainer(explains or explains_itself(detector)),
            in_threads=in_threads,
        )
        self.samples: CellSamples | None = None
        parts: list[Part] = [self.upload, self.choice, self.cards]
        if cells_at_hand():
            self.samples = CellSamples(self._receive, detector.metadata.test.groups)
            parts.insert(1, self.samples)
        super().__init__(parts, **kwargs)
        self.choice.observe(lambda _: self.cards.decide(self.choice.point), "chosen")

    def _receive(self, uploads: Sequence[Upload]) -> str | None:
        if len(self.cards.results) + len(self._waiting) + len(uploads) > MAX_KEPT:
            return (
                f"The page keeps at most {MAX_KEPT} pictures, because they stand in the server's memory: "
                "download the results, clear the page, and upload again."
            )
        if len(self._waiting) + len(uploads) > MAX_PICTURES:
            return "The pictures before these are still being checked: wait until they are done, and upload again."
        busy = bool(self._waiting)
        if not busy:
            self._done = 0
        self._waiting.extend(uploads)
        self._tell()
        if busy:
            return None
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Outside a kernel, in plain Python, nobody else wants to be served.
            try:
                asyncio.run(self._work())
            finally:
                # After an error the rest is not checked, and the next upload is.
                self._waiting.clear()
        else:
            self._task = loop.create_task(self._work())
            self._task.add_done_callback(self._ended)
        return None

    async def _work(self) -> None:
        while self._waiting:
            # So that the messages that came meanwhile are heard, and the cards so far are sent.
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
        self.log.error("Checking pictures failed", exc_info=task.exception())
        self._waiting.clear()
        error = task.exception()
        why = str(error) if isinstance(error, MalariaDetectError) else "The server's log tells why."
        self.cards.progress(0, 0, f"The pictures could not all be checked. {why}")

    def _tell(self) -> None:
        self.cards.progress(self._done, self._done + len(self._waiting))
