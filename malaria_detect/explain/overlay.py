"""An explanation over the picture of its cell."""

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from malaria_detect.explain.explainer import Explanation

# Stands out from every Giemsa stain, and from white and black.
_HEAT = (0, 229, 160)
_EDGE = (0, 60, 42)
# Of the longer side: the edge of the marked part.
_EDGE_WIDTH = 1 / 110


def heat_layer(explanation: Explanation) -> Image.Image:
    """What lies over the picture at full strength: green where it is hot, with a line around the marked part.

    Returns
    -------
    PIL.Image.Image
        RGBA, of the picture's size; wholly transparent where nothing was found.
    """
    marked = explanation.marked
    pixels = np.zeros((*marked.shape, 4), dtype=np.uint8)
    pixels[..., :3] = _HEAT
    # The parasite must still be seen under it.
    pixels[..., 3] = np.round(150 * explanation.heat)
    steps = max(1, round(_EDGE_WIDTH * max(marked.shape)))
    bright = binary_dilation(marked, iterations=steps) & ~marked
    dark = binary_dilation(marked, iterations=2 * steps) & ~marked & ~bright
    for line, colour in ((bright, _HEAT), (dark, _EDGE)):
        pixels[line] = (*colour, 255)
    return Image.fromarray(pixels)


def overlay(image: Image.Image, explanation: Explanation, strength: float = 0.7) -> Image.Image:
    """Lay an explanation over its picture.

    Parameters
    ----------
    image : PIL.Image.Image
        The picture that was explained.
    explanation : Explanation
        Reliable or not: who shows it must have looked.
    strength : float
        0 (the picture alone) to 1.

    Returns
    -------
    PIL.Image.Image
        RGB, of the picture's size.

    Raises
    ------
    ValueError
        Where the strength is out of its range or the picture is of another size.

    Examples
    --------
    >>> marked = np.zeros((20, 30), dtype=bool)
    >>> nothing = Explanation("Uninfected", marked.astype(np.float32), marked, 0.0, 0.0, (), False, "")
    >>> overlay(Image.new("RGB", (30, 20), "red"), nothing).getpixel((3, 3))
    (255, 0, 0)
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must lie between 0 and 1, got {strength}.")
    layer = heat_layer(explanation)
    if layer.size != image.size:
        raise ValueError(f"The explanation is of a picture of {layer.size} px, this one has {image.size}.")
    layer.putalpha(layer.getchannel("A").point(lambda alpha: round(strength * alpha)))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")
