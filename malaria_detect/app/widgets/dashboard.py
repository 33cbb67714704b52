"""The page: four tabs about one model, or a message if the model cannot be opened."""

import os
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import traitlets

from malaria_detect.app.widgets.about import About
from malaria_detect.app.widgets.base import Part, Text, as_references, script
from malaria_detect.app.widgets.check import CheckCells
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.score_report import ScoreReport
from malaria_detect.app.widgets.slide import Analyser, AnalyseSlide
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.evaluation.cross_validation import EVALUATION
from malaria_detect.evaluation.literature import PUBLISHED
from malaria_detect.fields.analyse import load_analyser
from malaria_detect.inference.detector import Detector, load_detector
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.inference.model_files import default_model

SLIDE_TAB = "Analyse a slide"


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
    open_analyser: Callable[[Path], Analyser] = load_analyser,
) -> Page:
    """The page of a model, for a notebook or for Voila.

    Parameters
    ----------
    model_path : path, optional
        The exported learner, with its metadata in the same folder; default:
        :func:`malaria_detect.inference.model_files.default_model`. Result files in the folder ``reports`` next to it
        are shown as well.
    open_detector : callable
        Opens the model. :func:`malaria_detect.app.server.remote.open_detector` predicts in the worker processes of
        ``malaria-detect serve``.
    open_analyser : callable
        Opens the model for whole fields, in the same way.

    Returns
    -------
    Page
        If the model cannot be opened, the page says why.
    """
    model = default_model() if model_path is None else Path(model_path)
    try:
        detector = open_detector(model)
    except MalariaDetectError as error:
        return Page({"Problem": _problem("The model cannot be opened", error)})
    choice = OperatingPointChoice(detector.metadata)
    cells = CheckCells(detector, choice)
    slide: Part
    try:
        slide = AnalyseSlide(open_analyser(model), detector.metadata)
    except MalariaDetectError as error:
        slide = _problem("Fields cannot be analysed", error)
    reports = model.parent / "reports"
    page = Page(
        {
            "Check cells": cells,
            SLIDE_TAB: slide,
            "How good is it": ScoreReport(detector.metadata, choice, reports / EVALUATION),
            "About": About(detector.metadata, reports / PUBLISHED),
        }
    )
    if isinstance(slide, AnalyseSlide):
        slide_view = slide

        def analyse(file: UploadedFile) -> None:
            slide_view.take(file)
            page.show_tab(SLIDE_TAB)

        cells.cards.take_field = analyse
    return page


def _problem(title: str, error: MalariaDetectError) -> Text:
    text = f"<div class='md-problem' role='alert'><h2>{title}</h2><p>{escape(str(error))}</p></div>"
    return Text(lambda: text, at_once=True)
