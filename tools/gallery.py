"""Write docs/laboratories.svg: drawn cells in the colours of each laboratory, and what the shipped model says of them.

Run it after a new model: ``python -m tools.gallery``. No photograph is shown: every cell is drawn from the colours that
were measured in a laboratory's fields (blank smear, and absorbance of a red cell).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from malaria_detect import load_detector
from malaria_detect.core.atomic import write_text
from malaria_detect.inference.prediction import Prediction, Refusal
from malaria_detect.metrics.formatting import format_probability
from malaria_detect.plots.cells import cell_grid
from malaria_detect.plots.svg import to_svg_bytes
from tools.model_card.results import GALLERY

OUTPUT = Path(GALLERY)
_SIDE = 120
_PURPLE = np.array([0.9, 1.3, 0.35])  # absorbance of parasites in red, green and blue

# Colour of blank smear, 0 to 1, and absorbance of an evenly stained red cell.
LABORATORIES = {
    "NLM": ((0.93, 0.73, 0.72), (0.11, 0.40, 0.10)),
    "IML": ((0.78, 0.82, 0.76), (0.25, 0.55, 0.30)),
    "BCCD": ((0.79, 0.80, 0.80), (0.10, 0.23, 0.19)),
    "Chula": ((0.54, 0.58, 0.57), (0.20, 0.46, 0.27)),
}

_Y, _X = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
_Drawing = Callable[[np.random.Generator], np.ndarray]


def _spot(x: float, y: float, radius: float) -> np.ndarray:
    return np.exp(-((np.hypot(_X - x, _Y - y) / radius) ** 4))


def _ring(random: np.random.Generator) -> np.ndarray:
    """Added absorbance of a ring with a dot of chromatin, (side, side, 3)."""
    x, y = random.uniform(-0.3, 0.3, 2)
    ring = np.exp(-(((np.hypot(_X - x, _Y - y) - 0.16) / 0.045) ** 2))
    return (0.45 * ring + 0.9 * _spot(x + 0.16, y, 0.085))[..., None] * _PURPLE


def _late_stage(random: np.random.Generator) -> np.ndarray:
    """Added absorbance of a large stippled parasite with brown pigment."""
    x, y = random.uniform(-0.15, 0.15, 2)
    body = _spot(x, y, 0.6)
    grains = ndimage.gaussian_filter(random.standard_normal((_SIDE, _SIDE)), 2.5) * 8
    pigment = ndimage.gaussian_filter(random.standard_normal((_SIDE, _SIDE)), 1.5) * 5 > 1.6
    absorbance = (body * np.clip(0.3 + 0.25 * grains, 0, 1))[..., None] * _PURPLE
    return absorbance + (body * pigment * 0.5)[..., None]


def _drying_artefact(random: np.random.Generator) -> np.ndarray:
    """Absorbance of a refractile spot: bright, with a dark rim, without colour."""
    x, y = random.uniform(-0.25, 0.25, 2)
    away = np.hypot(_X - x, _Y - y)
    rim = np.exp(-(((away - 0.13) / 0.04) ** 2))
    return (0.35 * rim - 0.3 * _spot(x, y, 0.09))[..., None] * np.ones(3)


def _platelet(random: np.random.Generator) -> np.ndarray:
    """Absorbance of a platelet on the cell: a small granular disc without a ring."""
    x, y = random.uniform(-0.3, 0.3, 2)
    grain = 1 + 0.4 * ndimage.gaussian_filter(random.standard_normal((_SIDE, _SIDE)), 2) * 5
    return (0.3 * _spot(x, y, 0.22) * np.clip(grain, 0, 2))[..., None] * _PURPLE


DRAWN: dict[str, _Drawing] = {
    "uninfected": lambda _: np.zeros((_SIDE, _SIDE, 3)),
    "uninfected, drying artefact": _drying_artefact,
    "uninfected, platelet on it": _platelet,
    "ring": _ring,
    "late stage": _late_stage,
}


def drawn(background: tuple[float, ...], stain: tuple[float, ...], added: _Drawing, seed: int) -> Image.Image:
    """A drawn cell on black: RGB, 120 x 120 px.

    Examples
    --------
    >>> drawn(*LABORATORIES["NLM"], DRAWN["ring"], seed=0).size
    (120, 120)
    """
    random = np.random.default_rng(seed)
    depth = np.hypot(_X, _Y / random.uniform(0.9, 1.0)) / 0.95
    pallor = 1 - random.uniform(0.1, 0.5) * np.exp(-((depth / 0.4) ** 2))
    absorbance = pallor[..., None] * stain + added(random)
    absorbance += 0.02 * ndimage.gaussian_filter(random.standard_normal(absorbance.shape), (1, 1, 0))
    picture = np.array(background) * np.exp(-absorbance) * (depth < 1)[..., None]
    return Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))


def main() -> None:
    """Classify the drawn cells and write the figure."""
    cells = [
        (drawn(*colours, added, seed), f"{laboratory}\n{kind}")
        for seed, (laboratory, colours) in enumerate(LABORATORIES.items())
        for kind, added in DRAWN.items()
    ]
    detector = load_detector()
    answers = detector.predict_many([image for image, _ in cells])
    titles = [f"{title}\n{_words(answer)}" for (_, title), answer in zip(cells, answers, strict=True)]
    figure = cell_grid([image for image, _ in cells], titles, columns=len(DRAWN))
    # The page shows the figure only as long as it is of the model that it describes.
    write_text(OUTPUT, f"{to_svg_bytes(figure).decode()}<!-- model {detector.metadata.sha256} -->\n")
    print(f"{OUTPUT} written.")


def _words(answer: Prediction | Refusal) -> str:
    if isinstance(answer, Refusal):
        return "refused"
    return f"{answer.decision} (p {format_probability(answer.probability_parasitized)})"


if __name__ == "__main__":
    main()
