"""What a network's layer makes of a cell: its channels side by side."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from malaria_detect.metrics.formatting import format_count
from malaria_detect.plots.style import INK, TEXT, drawn, new_figure

COLUMNS = 8


@drawn
def activation_grid(maps: NDArray[np.floating], shown: int = 32) -> Figure:
    """Draw the channels of one layer that vary most over the cell, each from black (its least) to white (its most).

    Parameters
    ----------
    maps : numpy.ndarray
        float, (channels, height, width), see :attr:`malaria_detect.explain.Activation.maps`.
    shown : int
        Channels at the most; the figure says how many of how many it shows.

    Raises
    ------
    ValueError
        When there is no channel, or none is to be shown.
    """
    if maps.ndim != 3 or not maps.size or shown < 1:
        raise ValueError(
            f"Wanted are maps (channels, height, width), got {maps.shape}, of which {shown} to show."
        )
    spread = maps.std(axis=(1, 2))
    chosen = np.argsort(-spread, kind="stable")[:shown]
    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(0.45 + rows * 5.4 / COLUMNS)
    told = f"{format_count(len(chosen))} of {format_count(len(maps))} channels, {maps.shape[1]} × {maps.shape[2]}"
    figure.suptitle(told, fontsize=TEXT, color=INK, x=0.01, ha="left")
    # Always eight places, so that a channel is drawn alike whatever the layer has.
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, channel in zip(panels, chosen, strict=False):
        panel.imshow(maps[channel], cmap="gray", interpolation="nearest")
        panel.set_gid(f"channel-{channel}")
    return figure
