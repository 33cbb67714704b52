"""Figures: numbers in, a matplotlib Figure out; no models, no files, no pyplot and no global settings.

One style everywhere: the colour-blind-safe palette of Okabe and Ito [1]_ (parasitized vermillion, uninfected blue),
labels beside what they name instead of legends, and type that can still be read when a figure is 360 px wide. What a
figure is called stands where it is shown: above it in the notebook or on the page.
A notebook shows a figure after ``%matplotlib inline``; a page takes :func:`to_svg`.

References
----------
.. [1] M. Okabe and K. Ito, Color Universal Design, 2002/2008, https://jfly.uni-koeln.de/color/
"""

from malaria_detect.plots.cells import (
    cell_grid,
    class_counts,
    mean_images,
    patient_counts,
    size_histogram,
    top_losses,
)
from malaria_detect.plots.scores import accuracy_curves, confusion_matrix, loss_curves, lr_curve, roc_curve
from malaria_detect.plots.style import CLASS_COLORS
from malaria_detect.plots.svg import to_svg

__all__ = [
    "CLASS_COLORS",
    "accuracy_curves",
    "cell_grid",
    "class_counts",
    "confusion_matrix",
    "loss_curves",
    "lr_curve",
    "mean_images",
    "patient_counts",
    "roc_curve",
    "size_histogram",
    "to_svg",
    "top_losses",
]
