"""Where a network looked.

A heat map can always be drawn, whether or not the network used what it marks. Every explanation here is therefore
checked on the cell itself, see :class:`malaria_detect.explain.Explainer`.
"""

from malaria_detect.explain.explainer import Explainer, Explanation, explain
from malaria_detect.explain.overlay import heat_layer, overlay

__all__ = ["Explainer", "Explanation", "explain", "heat_layer", "overlay"]
