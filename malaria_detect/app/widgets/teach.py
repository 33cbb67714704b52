"""The tab "Teach it your lab": labelled cells in, an estimate of what they teach and an adapted model out."""

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from malaria_detect.app.teach_wording import (
    ADAPTED,
    CUTTING,
    ESTIMATING,
    NO_REVIEW,
    PACKING,
    SHIPPED,
    verdict,
)
from malaria_detect.app.widgets.base import Column, Text, render
from malaria_detect.app.widgets.lab_cells import LabCell, LabCells, Lesson
from malaria_detect.app.widgets.upload import CellUpload, UploadedFile, renamed
from malaria_detect.app.widgets.work_queue import WorkQueue
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.cell_names import group_in_name
from malaria_detect.data.images import ImageRefused, as_png, read_image
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.teach import Teacher

MAX_CELLS = 300
MAX_AT_ONCE = 100
SHOWN_SIDE = 240  # px; a cell is shown at about half of it
ARCHIVE = "mylab.zip"

_Job = Callable[[], Awaitable[None]]


class TeachLab(Column):
    """Upload cells, label them, and get a model that has learnt from them.

    Parameters
    ----------
    teacher : Teacher
        Called in a thread, for one thing at a time.
    reviewed : callable
        Cut-outs of the cells of the current slide that have a person's verdict, with that as their label; called in a
        thread.
    use : callable
        Gets the detector whose answers the page shall show; None for the page's own.
    """

    def __init__(
        self,
        teacher: Teacher,
        reviewed: Callable[[], Iterable[UploadedFile]],
        use: Callable[[Detector | None], None],
        **kwargs: Any,
    ) -> None:
        self._teacher, self._reviewed, self._use = teacher, reviewed, use
        self._known: set[bytes] = set()
        self._doing = self._problem = ""
        self.queue = WorkQueue[_Job](lambda job: job(), self._tell, self.log)
        self.upload = CellUpload(self._receive, MAX_AT_ONCE)
        self.lab = LabCells(self._asked)
        super().__init__([Text(lambda: render("teach.html"), at_once=True), self.upload, self.lab], **kwargs)

    def _receive(self, files: Sequence[UploadedFile]) -> str | None:
        room = MAX_CELLS - len(self.lab.cells) - len(self.queue.waiting)
        if len(files) > room:
            return (
                f"The page takes at most {MAX_CELLS} cells, and there is room for {room} more. Choose fewer."
            )
        self.queue.add([partial(self._look, file) for file in files])
        return None

    async def _look(self, file: UploadedFile) -> None:
        """Show one more cell, unless it cannot be used or is there already."""
        content = bytes(file.content)
        digest = hashlib.sha256(content).digest()
        if digest in self._known:
            self.lab.refused.append(f"{file.name}: this image is there already.")
            return
        try:
            seen = await asyncio.to_thread(self._teacher.features_of, content)
        except ImageRefused as refused:
            self.lab.refused.append(f"{file.name}: {refused}")
            return
        self._known.add(digest)
        name = renamed(file, {cell.name for cell in self.lab.cells}).name
        picture = as_png(read_image(content), SHOWN_SIDE)
        self.lab.add(LabCell(name, group_in_name(file.name) or name, picture, seen, file.label))

    async def _cut(self) -> None:
        room = MAX_CELLS - len(self.lab.cells)
        # One more than there is room for, to know whether there are more.
        cells = await asyncio.to_thread(lambda: list(itertools.islice(self._reviewed(), room + 1)))
        self.queue.waiting.extend(partial(self._look, file) for file in cells[:room])
        self._doing = ""
        if not cells:
            raise MalariaDetectError(NO_REVIEW, "no_review")
        if len(cells) > room:
            self.lab.refused.append(f"Further cells of the slide: the page takes at most {MAX_CELLS}.")

    async def _estimate(self) -> None:
        cells = self.lab.labelled
        if cells is not None:
            judgement, adapted = await asyncio.to_thread(self._teacher.judge, cells)
            self.lab.estimate = Lesson(cells, judgement, adapted)
            # Of another model than the one that is in use.
            self._answer_with(SHIPPED)

    async def _pack(self) -> None:
        estimate = self.lab.estimate
        if estimate is not None and verdict(estimate.judgement)[0]:
            content = await asyncio.to_thread(self._teacher.pack, estimate.cells, estimate.judgement)
            self.lab.send({"type": "file", "name": ARCHIVE, "media": "application/zip"}, buffers=[content])

    def _asked(self, request: str) -> None:
        if request == "clear":
            self.queue.stop()
            self._doing = ""
            self._known.clear()
            self.lab.clear()
        elif request == "shipped":
            self._answer_with(SHIPPED)
        elif request == "adapted":
            if self.lab.estimate is not None and verdict(self.lab.estimate.judgement)[0]:
                self._answer_with(ADAPTED)
        elif not self._doing:  # once is enough, however often it is pressed
            job, self._doing = {
                "slide": (self._cut, CUTTING),
                "estimate": (self._estimate, ESTIMATING),
                "download": (self._pack, PACKING),
            }[request]
            self.queue.add([partial(self._alone, job)])

    async def _alone(self, job: _Job) -> None:
        """Do a job that a person has asked for; a problem that they can solve does not stop the others."""
        try:
            await job()
        except MalariaDetectError as error:
            self._problem = str(error)
        finally:
            self._doing = ""

    def _answer_with(self, model: str) -> None:
        if model != self.lab.in_use:
            self.lab.in_use = model
            estimate = self.lab.estimate if model == ADAPTED else None
            self._use(self._teacher.detector(estimate.adapted) if estimate else None)
        self.lab.show()

    def _tell(self, done: int, total: int, problem: str) -> None:
        if problem:
            self._doing = ""
        problem, self._problem = problem or self._problem, ""
        self.lab.progress(done, total, problem, self._doing)
