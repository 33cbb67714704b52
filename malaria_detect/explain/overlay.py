"""Images of explanations."""

import numpy as np
import scipy
from PIL import Image

from malaria_detect.explain.explainer import Explanation

# Differs from every Giemsa stain, and from white and black.
_HEAT = (0, 229, 160)
_EDGE = (0, 60, 42)
# Width of the line around the marked part, relative to the longer side.
_EDGE_WIDTH = 1 / 110


def heat_layer(explanation: Explanation) -> Image.Image:
    """Layer to draw over the image: green where the heat is high, with a line around the marked part.

    It is RGBA, of the image's size; transparent if nothing was marked.
    """
    marked = explanation.marked
    pixels = np.zeros((*marked.shape, 4), dtype=np.uint8)
    pixels[..., :3] = _HEAT
    # Transparent enough to see the parasite.
    pixels[..., 3] = np.round(150 * explanation.heat)
    steps = max(1, round(_EDGE_WIDTH * max(marked.shape)))
    bright = scipy.ndimage.binary_dilation(marked, iterations=steps) & ~marked
    dark = scipy.ndimage.binary_dilation(marked, iterations=2 * steps) & ~marked & ~bright
    for line, colour in ((bright, _HEAT), (dark, _EDGE)):
        pixels[line] = (*colour, 255)
    return Image.fromarray(pixels)


def overlay(image: Image.Image, explanation: Explanation, strength: float = 0.7) -> Image.Image:
    """Image, RGB, with its explanation drawn over it.

    Parameters
    ----------
    image : PIL.Image.Image
        The image that was explained.
    explanation : Explanation
        Check ``reliable`` before showing it.
    strength : float
        0 (the image alone) to 1.

    Raises
    ------
    ValueError
        If the strength is out of range or the image has another size.

    Examples
    --------
    >>> marked = np.zeros((20, 30), dtype=bool)
    >>> nothing = Explanation("Uninfected", "not_parasitized", marked.astype(np.float32), marked)
    >>> overlay(Image.new("RGB", (30, 20), "red"), nothing).getpixel((3, 3))
    (255, 0, 0)
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1, got {strength}.")
    layer = heat_layer(explanation)
    if layer.size != image.size:
        raise ValueError(f"The explanation is for an image of {layer.size} px, got {image.size} px.")
    layer.putalpha(layer.getchannel("A").point(lambda alpha: round(strength * alpha)))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
