"""The two tabs with answers of a model: the page's own, or one that was adapted on the page."""

from collections.abc import Callable, Iterable
from html import escape

from malaria_detect.app.teach_wording import ANSWERS_OF_ADAPTED
from malaria_detect.app.widgets.base import Column, Part, Text
from malaria_detect.app.widgets.check import CheckCells
from malaria_detect.app.widgets.slide import AnalyseSlide
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.fields.analyse import FieldAnalyser
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import field_point


class Answers:
    """The tabs "Check cells" and "Analyse a slide".

    Parameters
    ----------
    detector : Detector
    open_analyser : callable
        Opens the same model for whole fields; if it cannot be opened, the second tab says why.
    show_slide : callable
        Shows the second tab.
    notice : str
        Shown above both tabs.

    Attributes
    ----------
    views : list of Part
        Both tabs.
    """

    def __init__(
        self,
        detector: Detector,
        open_analyser: Callable[[], FieldAnalyser],
        show_slide: Callable[[], None],
        notice: str = "",
    ) -> None:
        self._open_analyser, self._show_slide = open_analyser, show_slide
        self.cells = CheckCells(detector)
        self.slide: Part
        try:
            self.slide = AnalyseSlide(open_analyser(), detector.metadata)
            self.cells.cards.take_field = self._analyse
        except MalariaDetectError as error:
            self.slide = problem("Fields cannot be analysed", error)
        self.views: list[Part] = [self.cells, self.slide]
        if notice:
            html = f"<p class='md-notice' role='status'>{escape(notice)}</p>"
            self.views = [Column([Text(lambda: html, at_once=True), view]) for view in self.views]

    def reviewed(self) -> Iterable[UploadedFile]:
        """Cut-outs of the cells of the slide with a person's verdict."""
        return self.slide.reviewed() if isinstance(self.slide, AnalyseSlide) else ()

    def adapted(self, detector: Detector) -> "Answers":
        """The tabs of an adapted model, where the cells checked here are checked, too."""
        point = field_point(detector.metadata)
        other = Answers(
            detector,
            lambda: self._open_analyser().with_detector(detector.at(point)),
            self._show_slide,
            ANSWERS_OF_ADAPTED,
        )
        results = self.cells.cards.results
        other.cells.queue.add(
            [UploadedFile(one.name, one.original, one.label) for one in results if one.original]
        )
        return other

    def clear(self) -> None:
        """Forget all cells and fields."""
        self.cells.cards.clear()
        if isinstance(self.slide, AnalyseSlide):
            self.slide.review.clear()

    def _analyse(self, file: UploadedFile) -> None:
        assert isinstance(self.slide, AnalyseSlide)
        self.slide.take(file)
        self._show_slide()


def problem(title: str, error: MalariaDetectError) -> Text:
    """What is shown instead of a tab that cannot work."""
    text = f"<div class='md-problem' role='alert'><h2>{title}</h2><p>{escape(str(error))}</p></div>"
    return Text(lambda: text, at_once=True)
