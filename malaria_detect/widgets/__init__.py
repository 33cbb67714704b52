"""The page's parts, each of them usable in any notebook: ``build_dashboard()`` puts them together."""

from malaria_detect.widgets.about import About
from malaria_detect.widgets.cards import CellCards
from malaria_detect.widgets.check import CheckCells
from malaria_detect.widgets.dashboard import Page, build_dashboard
from malaria_detect.widgets.points import OperatingPointChoice
from malaria_detect.widgets.samples import CellSamples
from malaria_detect.widgets.score_report import ScoreReport
from malaria_detect.widgets.upload import CellUpload, Upload

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
