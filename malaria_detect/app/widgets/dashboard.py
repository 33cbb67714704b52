"""The page: three views of one model, or a sentence where the model cannot be opened."""

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import traitlets

from malaria_detect.app.remote import RemoteDetector
from malaria_detect.app.widgets.about import About
from malaria_detect.app.widgets.base import Part, Text, as_references, script
from malaria_detect.app.widgets.check import CheckCells
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.score_report import ScoreReport
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.inference.detector import load_detector
from malaria_detect.inference.metadata import RESEARCH_USE
from tools.model_card.results import EVALUATION, PUBLISHED


class Page(Part):
    """The frame: research-use line, title, and one view a tab.

    Parameters
    ----------
    views : mapping of str to Part
        From the tab's name to what it shows; with a single view there are no tabs.
    """

    _esm = script("page.js")
    title = traitlets.Unicode("Malaria cell classifier").tag(sync=True)
    subtitle = traitlets.Unicode("Single red blood cells from Giemsa-stained thin smears").tag(sync=True)
    research_use = traitlets.Unicode(RESEARCH_USE).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    views = traitlets.List(traitlets.Instance(Part)).tag(sync=True, to_json=as_references)

    def __init__(self, views: Mapping[str, Part], **kwargs: Any) -> None:
        super().__init__(names=list(views), views=list(views.values()), **kwargs)


def build_dashboard(model_path: str | os.PathLike[str] = "export.pkl") -> Page:
    """Build the page for a model; show it in a notebook, or serve the notebook with Voila.

    Parameters
    ----------
    model_path : path
        The exported learner, with its metadata beside it, and what the page quotes in ``reports`` where
        there is such a folder: its cross-validation and what others published. A kernel of
        ``malaria-detect serve`` has the server's workers predict and explain.

    Returns
    -------
    Page
        A model that cannot be opened gives a page that says why.
    """
    try:
        detector = load_detector(model_path)
    except MalariaDetectError as error:
        problem = f"<h2>The model cannot be opened</h2><p>{escape(str(error))}</p>"
        return Page({"Problem": Text(lambda: f"<div class='md-problem' role='alert'>{problem}</div>")})
    remote = RemoteDetector.of_server(detector)
    choice = OperatingPointChoice(detector.metadata)
    reports = Path(model_path).parent / "reports"
    return Page(
        {
            "Check cells": CheckCells(
                remote or detector,
                choice,
                remote.explain if remote else None,
                in_threads=remote is not None,
            ),
            "How good is it": ScoreReport(detector.metadata, choice, reports / EVALUATION),
            "About": About(detector.metadata, reports / PUBLISHED),
        }
    )
