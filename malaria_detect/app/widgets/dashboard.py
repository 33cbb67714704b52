"""The page: five tabs about one model, or a message if the model cannot be opened."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import traitlets

from malaria_detect.app.widgets.about import About
from malaria_detect.app.widgets.answers import Answers, problem
from malaria_detect.app.widgets.base import Part, as_references, script
from malaria_detect.app.widgets.score_report import ScoreReport
from malaria_detect.app.widgets.slide import AnalyseSlide
from malaria_detect.app.widgets.teach import TeachLab
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.evaluation.cross_validation import EVALUATION
from malaria_detect.evaluation.laboratories import LABORATORIES
from malaria_detect.evaluation.literature import PUBLISHED
from malaria_detect.fields.analyse import FieldAnalyser, load_analyser
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.inference.model_files import default_model
from malaria_detect.inference.teach import Teacher, load_teacher

SLIDE_TAB, TEACH_TAB = "Analyse a slide", "Teach it your lab"


class Page(Part):
    """The frame of the page: research-use line, title, and tabs.

    Parameters
    ----------
    views : mapping of str to Part
        Content of each tab by its name; a single view has no tab.
    """

    _esm = script("page.js")
    title = traitlets.Unicode("Malaria cell classifier").tag(sync=True)
    subtitle = traitlets.Unicode("Red blood cells in Giemsa-stained thin smears").tag(sync=True)
    research_use = traitlets.Unicode(RESEARCH_USE).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    views = traitlets.List(traitlets.Instance(Part)).tag(sync=True, to_json=as_references)

    def __init__(self, views: Mapping[str, Part], **kwargs: Any) -> None:
        super().__init__(names=list(views), views=list(views.values()), **kwargs)

    def show_tab(self, name: str) -> None:
        """Show another tab."""
        self.send({"type": "show", "tab": self.names.index(name)})


def build_dashboard(
    model_path: str | os.PathLike[str] | None = None,
    open_detector: Callable[[Path], Detector] = load_detector,
    open_analyser: Callable[[Path], FieldAnalyser] = load_analyser,
    open_teacher: Callable[[Path], Teacher] = load_teacher,
) -> Page:
    """The page of a model, for a notebook or for Voila.

    Parameters
    ----------
    model_path : path, optional
        The exported learner, with its metadata in the same folder; default:
        :func:`malaria_detect.inference.model_files.default_model`. Result files in the folder ``reports`` next to it
        are shown as well.
    open_detector : callable
        Opens the model. :func:`malaria_detect.app.workers.remote.open_detector` predicts in the worker processes of
        ``malaria-detect serve``.
    open_analyser, open_teacher : callable
        Open the model for whole fields, and to adapt it, in the same way.

    Returns
    -------
    Page
        If the model cannot be opened, the page says why.
    """
    model = default_model() if model_path is None else Path(model_path)
    try:
        detector = open_detector(model)
    except MalariaDetectError as error:
        return Page({"Problem": problem("The model cannot be opened", error)})
    shipped = Answers(detector, lambda: open_analyser(model), lambda: page.show_tab(SLIDE_TAB))
    answers = [shipped]

    def use(adapted: Detector | None) -> None:
        """Answer with an adapted model, or with the shipped one again; cells are checked again."""
        while len(answers) > 1:
            answers.pop().clear()
        if adapted:
            answers.append(shipped.adapted(adapted))
        page.views = [*answers[-1].views, *page.views[2:]]

    def reviewed() -> Iterable[UploadedFile]:
        return answers[-1].reviewed()

    reports = model.parent / "reports"
    page = Page(
        {
            "Check cells": shipped.cells,
            SLIDE_TAB: shipped.slide,
            TEACH_TAB: _teaching(lambda: TeachLab(open_teacher(model), reviewed, use), shipped),
            "How good is it": ScoreReport(detector.metadata, shipped.cells.choice, reports / EVALUATION),
            "About": About(detector.metadata, reports / PUBLISHED, reports / LABORATORIES),
        }
    )
    return page


def _teaching(open_tab: Callable[[], TeachLab], shipped: Answers) -> Part:
    """The tab in which the model is adapted, or why that is not possible."""
    try:
        return open_tab()
    except MalariaDetectError as error:
        if isinstance(shipped.slide, AnalyseSlide):
            shipped.slide.kept_bytes = 0  # of photographs, as nothing will learn from them
        return problem("This model cannot be taught", error)
