"""The tab "Analyse a slide": photographs of fields in, cells to review and a parasitemia out."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from malaria_detect.app.slide_wording import POINT_OF_SLIDES
from malaria_detect.app.widgets.base import Column
from malaria_detect.app.widgets.field_review import FieldReview, ShownField, shown_picture
from malaria_detect.app.widgets.field_upload import MAX_FIELDS, FieldUpload
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.upload import UploadedFile, renamed
from malaria_detect.app.widgets.work_queue import WorkQueue
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.images import MAX_SIDE, as_png, read_field
from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.result import FieldResult
from malaria_detect.fields.review import Review
from malaria_detect.inference.metadata import ModelMetadata, field_point
from malaria_detect.inference.prediction import Refusal

# Photographs that are kept so that the model can learn from their cells: ten of a phone.
MAX_KEPT_BYTES = 40 * 2**20
# Files in the kernel that wait for their turn: the next one arrives while one is analysed.
MAX_WAITING = 2


class Analyser(Protocol):
    """Something that analyses fields, such as :class:`malaria_detect.fields.analyse.FieldAnalyser`."""

    def analyse_field(self, image: bytes, name: str | None = None) -> FieldResult:
        """Cells of a field, or why it cannot be used."""


class AnalyseSlide(Column):
    """Upload the photographs of a slide, review their cells, and read its parasitemia.

    Parameters
    ----------
    analyser : Analyser
        Called in a thread, for one field at a time.
    metadata : ModelMetadata
        Of the model that classifies the cells.

    Examples
    --------
    >>> from malaria_detect import load_analyser
    >>> analyser = load_analyser()  # doctest: +SKIP
    >>> view = AnalyseSlide(analyser, analyser.detector.metadata)  # doctest: +SKIP
    >>> view.take(UploadedFile("field.jpg", Path("field.jpg").read_bytes()))  # doctest: +SKIP
    >>> view.review.results[0].parasitized  # doctest: +SKIP
    4
    """

    def __init__(self, analyser: Analyser, metadata: ModelMetadata, **kwargs: Any) -> None:
        self._analyser, self.kept_bytes = analyser, MAX_KEPT_BYTES
        self.queue = WorkQueue[UploadedFile](self._analyse, self._tell, self.log)
        self.upload = FieldUpload(
            self.take, self._room, lambda: len(self.queue.waiting) < MAX_WAITING, self._report
        )
        self.choice = OperatingPointChoice(metadata, chosen=field_point(metadata), about=POINT_OF_SLIDES)
        self.review = FieldReview(metadata, self.choice.point, self._stop)
        super().__init__([self.upload, self.choice, self.review], **kwargs)
        self.choice.observe(lambda _: self.review.decide(self.choice.point), "chosen")

    def take(self, file: UploadedFile) -> None:
        """Analyse one more photograph, if the slide has room for it."""
        if self._room() <= self.upload.offered:
            self._report(
                f"A slide can have at most {MAX_FIELDS} fields. Press “Clear all” to start another slide."
            )
            return
        taken = {result.name for result in self.review.results} | {one.name for one in self.queue.waiting}
        # Tables and exports tell fields apart by their names.
        self.queue.add([renamed(file, taken)])

    def reviewed(self) -> Iterator[UploadedFile]:
        """Cut-outs of the red cells with a verdict, which is their label; parasitized cells come first."""
        for label in CLASSES:
            for field in self.review.fields:
                cells = [cell for cell in field.review.result.cells if cell.verified == label]
                if not (cells and field.original):
                    continue
                pixels, name = np.asarray(read_field(field.original)), field.review.result.name
                for cell in cells:
                    content = as_png(cut_cell(pixels, cell.found), MAX_SIDE)
                    yield UploadedFile(f"{name}__{cell.number}.png", content, label)

    def _room(self) -> int:
        return MAX_FIELDS - len(self.review.fields) - len(self.queue.waiting)

    async def _analyse(self, file: UploadedFile) -> None:
        field = await asyncio.to_thread(partial(_analysed, self._analyser, file))
        kept = sum(len(one.original) for one in self.review.fields)
        if kept + len(field.original) > self.kept_bytes:
            field = replace(field, original=b"")
        self.review.add(field)

    def _stop(self) -> None:
        self.queue.stop()
        self.upload.stop()

    def _tell(self, _done: int, _total: int, problem: str) -> None:
        self._report(problem)
        self.upload.go_on()

    def _report(self, problem: str = "") -> None:
        """Progress of the slide, not of an upload: the queue may run empty while files are still on their way."""
        done = len(self.review.fields)
        self.review.progress(done, done + len(self.queue.waiting) + self.upload.offered, problem)


def _analysed(analyser: Analyser, file: UploadedFile) -> ShownField:
    """A field with its picture; a problem with one field is its refusal, so that the others are analysed."""
    content = bytes(file.content)
    try:
        result = analyser.analyse_field(content, name=file.name)
        picture = b"" if result.refusal else shown_picture(read_field(content), result.cell_diameter)
    except MalariaDetectError as error:
        return ShownField(Review(FieldResult(file.name, (0, 0), refusal=Refusal(str(error), error.reason))))
    return ShownField(Review(result), picture, content if picture else b"")
