"""The tab "Check cells": upload, a sample to try, the operating point, and a card for each image."""

import asyncio
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
from malaria_detect.app.widgets.work_queue import WorkQueue
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
        self.queue = WorkQueue[UploadedFile](self._check, self._tell, self.log)
        self.upload = CellUpload(self._receive)
        self.choice = choice or OperatingPointChoice(detector.metadata)
        self.cards = CellCards(
            detector.metadata,
            self.choice.point,
            clear=self.queue.stop,
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
        waiting = self.queue.waiting
        if len(waiting) + len(files) > MAX_IMAGES:
            return "The images before these are still being checked. Wait until they are done, then upload again."
        new = [*waiting, *files]
        kept = self.cards.results
        size = sum(len(one.original) for one in kept) + sum(len(file.content) for file in new)
        if len(kept) + len(new) > MAX_KEPT or size > MAX_KEPT_BYTES:
            return (
                f"The page keeps at most {MAX_KEPT} images and {MAX_KEPT_BYTES >> 20} MB. Download your results, press "
                "“Clear all”, and upload again."
            )
        self.queue.add(files)
        return None

    async def _check(self, file: UploadedFile) -> None:
        work = partial(check, self._detector, file, self.cards.point)
        self.cards.add(await asyncio.to_thread(work) if self._in_threads else work())

    def _tell(self, done: int, total: int, problem: str) -> None:
        self.cards.progress(done, total, problem)
