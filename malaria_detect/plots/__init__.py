"""Figures: arrays and small dataclasses in, a matplotlib ``Figure`` out; no models, no files and no pyplot.

All figures share one style: the colour-blind safe palette of Okabe and Ito [1]_ (parasitized vermillion, uninfected
blue), and type that can be read on a screen 360 px wide. A notebook shows a figure after ``%matplotlib inline``; a page
uses :func:`as_img`. Modules are imported when one of their names is first used, so that a page without figures does not
load matplotlib.

References
----------
.. [1] M. Okabe and K. Ito, Color Universal Design, 2002/2008, https://jfly.uni-koeln.de/color/
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malaria_detect.plots.activations import activation_grid
    from malaria_detect.plots.agreement import bland_altman, detection_by_parasitemia, parasitemia_agreement
    from malaria_detect.plots.calibration import reliability_diagram
    from malaria_detect.plots.cell_statistics import (
        class_counts,
        colour_histograms,
        patient_colours,
        patient_counts,
        size_histogram,
    )
    from malaria_detect.plots.cells import cell_grid, class_images, mean_images, top_losses
    from malaria_detect.plots.confusion_roc import confusion_matrix, roc_curve
    from malaria_detect.plots.designs import design_comparison
    from malaria_detect.plots.leakage import ComparedScore, patient_leakage, score_comparison
    from malaria_detect.plots.parasitemia import detection_limits, parasitemia_curves
    from malaria_detect.plots.patients import patient_dots
    from malaria_detect.plots.style import CLASS_COLORS
    from malaria_detect.plots.svg import as_img, to_svg_bytes
    from malaria_detect.plots.training import accuracy_curves, loss_curves, lr_curve

__all__ = [
    "CLASS_COLORS",
    "ComparedScore",
    "accuracy_curves",
    "activation_grid",
    "as_img",
    "bland_altman",
    "cell_grid",
    "class_counts",
    "class_images",
    "colour_histograms",
    "confusion_matrix",
    "design_comparison",
    "detection_by_parasitemia",
    "detection_limits",
    "loss_curves",
    "lr_curve",
    "mean_images",
    "parasitemia_agreement",
    "parasitemia_curves",
    "patient_colours",
    "patient_counts",
    "patient_dots",
    "patient_leakage",
    "reliability_diagram",
    "roc_curve",
    "score_comparison",
    "size_histogram",
    "to_svg_bytes",
    "top_losses",
]

_MODULE_OF = {
    "CLASS_COLORS": "style",
    "ComparedScore": "leakage",
    "accuracy_curves": "training",
    "activation_grid": "activations",
    "as_img": "svg",
    "bland_altman": "agreement",
    "cell_grid": "cells",
    "class_counts": "cell_statistics",
    "class_images": "cells",
    "colour_histograms": "cell_statistics",
    "confusion_matrix": "confusion_roc",
    "design_comparison": "designs",
    "detection_by_parasitemia": "agreement",
    "detection_limits": "parasitemia",
    "loss_curves": "training",
    "lr_curve": "training",
    "mean_images": "cells",
    "parasitemia_agreement": "agreement",
    "parasitemia_curves": "parasitemia",
    "patient_colours": "cell_statistics",
    "patient_counts": "cell_statistics",
    "patient_dots": "patients",
    "patient_leakage": "leakage",
    "reliability_diagram": "calibration",
    "roc_curve": "confusion_roc",
    "score_comparison": "leakage",
    "size_histogram": "cell_statistics",
    "to_svg_bytes": "svg",
    "top_losses": "cells",
}


def __getattr__(name: str) -> Any:
    """Import an exported name's module at its first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
