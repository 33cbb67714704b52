"""The page's parts, each of them usable in any notebook: ``build_dashboard()`` puts them together."""

from malaria_detect.app.widgets.about import About
from malaria_detect.app.widgets.cards import CellCards
from malaria_detect.app.widgets.check import CheckCells
from malaria_detect.app.widgets.dashboard import Page, build_dashboard
from malaria_detect.app.widgets.operating_point import OperatingPointChoice
from malaria_detect.app.widgets.samples import CellSamples
from malaria_detect.app.widgets.score_report import ScoreReport
from malaria_detect.app.widgets.upload import CellUpload, Upload

__all__ = [
    "About",
    "CellCards",
    "CellSamples",
    "CellUpload",
    "CheckCells",
    "OperatingPointChoice",
    "Page",
    "ScoreReport",
    "Upload",
    "build_dashboard",
]
