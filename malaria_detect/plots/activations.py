"""Channels of a network's layer for one cell, side by side."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from malaria_detect.plots.style import TEXT, default_style, new_figure

_COLUMNS = 8


@default_style
def activation_grid(maps: NDArray[np.floating], shown: int = 32) -> Figure:
    """Figure of the channels that vary most over the cell, each from black (lowest) to white (highest).

    Parameters
    ----------
    maps : numpy.ndarray
        float, (channels, height, width), see :attr:`malaria_detect.explain.Activation.maps`.
    shown : int
        Largest number of channels.

    Raises
    ------
    ValueError
        If there is no channel, or none is to be shown.
    """
    if maps.ndim != 3 or not maps.size or shown < 1:
        raise ValueError(
            f"Expected maps (channels, height, width) and shown >= 1; got {maps.shape} and {shown}."
        )
    chosen = np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:shown]
    rows = -(-len(chosen) // _COLUMNS)
    figure = new_figure(0.45 + rows * 5.4 / _COLUMNS)
    told = f"{len(chosen):,} of {len(maps):,} channels, {maps.shape[1]} × {maps.shape[2]}"
    figure.suptitle(told, fontsize=TEXT, x=0.01, ha="left")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, channel in zip(panels, chosen, strict=False):
        panel.imshow(maps[channel], cmap="gray", interpolation="nearest")
    return figure
