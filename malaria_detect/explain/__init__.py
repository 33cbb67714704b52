"""Look inside a network: what its layers make of a cell, and where it looked, shown only when that holds up.

A heat map can always be drawn; whether the network used what is marked is another matter. Every explanation here is
therefore checked on the cell itself before it counts as reliable, see :class:`malaria_detect.explain.Explainer`.
"""

from malaria_detect.explain.attribution import Activation, activations
from malaria_detect.explain.explainer import Explainer, Explanation, explain
from malaria_detect.explain.overlay import heat_layer, overlay

__all__ = ["Activation", "Explainer", "Explanation", "activations", "explain", "heat_layer", "overlay"]
