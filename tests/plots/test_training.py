"""Figures of how a model was trained: losses, accuracy, learning rate."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from malaria_detect import plots
from malaria_detect.inference.metadata import Epoch
from tests.plots.figures import line, some_history, texts


def test_loss_curves_draw_both_losses_over_bands_of_picture_size() -> None:
    history = some_history()
    figure = plots.loss_curves(history)
    (axes,) = figure.axes
    epochs = [1, 2, 3, 4, 5, 6]
    assert line(axes, "training") == (epochs, [epoch.train_loss for epoch in history])
    assert line(axes, "validation") == (epochs, [epoch.valid_loss for epoch in history])
    bands = [(patch.get_x(), patch.get_width()) for patch in axes.patches if isinstance(patch, Rectangle)]
    assert bands == [(0.5, 3.0), (3.5, 2.0), (5.5, 1.0)]
    lines = texts(figure)
    for text in ("96 px", "160 px", "224", "training 0.183", "validation 0.067"):
        assert text in lines


def test_accuracy_curves_draw_accuracy_and_area() -> None:
    history = some_history()
    (axes,) = plots.accuracy_curves(history).axes
    assert line(axes, "accuracy")[1] == [epoch.accuracy for epoch in history]
    assert line(axes, "ROC AUC")[1] == [epoch.roc_auc for epoch in history]


@pytest.mark.parametrize("draw", [plots.loss_curves, plots.accuracy_curves])
@pytest.mark.parametrize("sizes", [(96,), (64,) * 30, (96, 160, 224)])
def test_curves_number_whole_epochs_however_many(
    draw: Callable[[Sequence[Epoch]], Figure], sizes: tuple[int, ...]
) -> None:
    (axes,) = draw(some_history(sizes)).axes
    ticks = axes.get_xticks()
    assert 1 <= len(ticks) <= 10
    assert (ticks == ticks.astype(int)).all()


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    (last,) = some_history([96])
    figure = plots.loss_curves([last, replace(last, epoch=2, train_loss=0.1, valid_loss=0.1001)])
    figure.draw_without_rendering()
    ends = [text for text in figure.axes[0].texts if text.get_text().startswith(("training", "validation"))]
    one, other = (text.get_window_extent() for text in ends)
    assert not one.overlaps(other)


def test_curves_of_no_epoch_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        plots.loss_curves([])


def test_lr_curve_marks_the_suggestion_and_cuts_off_the_explosion() -> None:
    rates, losses = [1e-6, 1e-4, 1e-2, 1.0], [0.9, 0.7, 0.5, 40.0]
    figure = plots.lr_curve(rates, losses, 1.4e-3)
    (axes,) = figure.axes
    curve, suggestion = axes.lines
    assert np.asarray(curve.get_xdata()).tolist() == rates
    assert np.asarray(curve.get_ydata()).tolist() == losses
    assert np.asarray(suggestion.get_xdata()).tolist() == [1.4e-3, 1.4e-3]
    assert axes.get_xscale() == "log"
    assert 0.9 < axes.get_ylim()[1] < 2
    assert "suggested 1.4e-03" in texts(figure)
