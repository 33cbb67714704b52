"""Figures: arrays and small dataclasses in, a matplotlib ``Figure`` out; no models, no files and no pyplot.

All figures share one style: the colour-blind safe palette of Okabe and Ito [1]_ (parasitized vermillion, uninfected
blue), and type that can be read on a screen 360 px wide. A notebook shows a figure after ``%matplotlib inline``; a page
uses :func:`as_img`.

References
----------
.. [1] M. Okabe and K. Ito, Color Universal Design, 2002/2008, https://jfly.uni-koeln.de/color/
"""

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
