"""Widgets of the page. Each can be used alone in a notebook; ``build_dashboard()`` combines them."""

from malaria_detect.app.widgets.about import About
from malaria_detect.app.widgets.cards import CellCards
from malaria_detect.app.widgets.check import CheckCells
from malaria_detect.app.widgets.dashboard import Page, build_dashboard
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.samples import CellSamples
from malaria_detect.app.widgets.score_report import ScoreReport
from malaria_detect.app.widgets.upload import CellUpload, UploadedFile

__all__ = [
    "About",
    "CellCards",
    "CellSamples",
    "CellUpload",
    "CheckCells",
    "OperatingPointChoice",
    "Page",
    "ScoreReport",
    "UploadedFile",
    "build_dashboard",
]
