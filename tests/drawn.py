"""Drawn red blood cells in NLM's folder layout, for tests without real cells, the README's picture and the tutorials.

A drawn cell resembles a real one as far as the code is concerned: a stained disc in the patient's colour, cropped
tightly on black, with a purple ring and a dot if it is parasitized, and a file name with slide and patient.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from malaria_detect.data.nlm_cells import CLASSES

INFECTED_PATIENTS = 10
HEALTHY_PATIENTS = 5
CELLS_PER_PATIENT = 4  # of an infected patient: 3 parasitized, 1 uninfected

# Of a laboratory with names of its own.
PATIENTS = tuple(f"P{number}" for number in range(12))
SUFFIXES = ("jpg", "tif", "bmp", "png")

STAINS = ((209, 152, 146), (181, 124, 152), (168, 158, 181), (203, 139, 140), (176, 152, 172))
RING = (112, 52, 150)
DOT = (128, 22, 112)


def draw_cell(
    rng: np.random.Generator, parasitized: bool, stain: tuple[int, int, int] = STAINS[0]
) -> Image.Image:
    """Draw one cell: RGB, sides of about 90 to 190 px, black around it."""
    radius = rng.uniform(48, 84)
    stretch = rng.uniform(0.88, 1.0)
    half = int(radius * 1.15)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    angle = np.arctan2(y, x)
    outline = radius * (
        1
        + 0.03 * np.sin(2 * angle + rng.uniform(0, 2 * np.pi))
        + 0.02 * np.sin(3 * angle + rng.uniform(0, 2 * np.pi))
    )
    depth = np.hypot(x, y / stretch) / outline  # 0 in the middle, 1 on the rim

    pallor = 10 * np.exp(-((depth / 0.45) ** 2)) - 14 * np.clip(depth - 0.6, 0, None)
    grain = rng.normal(0, 1.5, (*depth.shape, 1))
    # Without its soft part, the model refuses some of these cells as foreign: their surface is too smooth.
    grain = grain + 9.4 * ndimage.gaussian_filter(grain, (2, 2, 0))
    colour = np.asarray(stain, float) + pallor[..., None] + grain
    # The stain is uneven: one colour throughout would be a tinted grey picture.
    colour = colour + 4 * (x / radius)[..., None] * (0, -1, 1)
    if parasitized:
        for _ in range(rng.integers(1, 3)):
            colour = _with_parasite(rng, colour, x, y, radius * stretch)
    inside = depth < 1
    pixels = np.where(inside[..., None], colour, 0).clip(0, 255).astype(np.uint8)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return Image.fromarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _with_parasite(
    rng: np.random.Generator, colour: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float
) -> np.ndarray:
    """Draw a ring form: a thin purple ring with one dark dot of chromatin."""
    where, turn = rng.uniform(0, 2 * np.pi, 2)
    centre = rng.uniform(0.1, 0.6) * radius
    across = rng.uniform(0.11, 0.16) * radius
    from_centre = np.hypot(x - centre * np.cos(where), y - centre * np.sin(where))
    ring = np.exp(-(((from_centre - across) / (0.035 * radius)) ** 2))
    dot_x = centre * np.cos(where) + across * np.cos(turn)
    dot_y = centre * np.sin(where) + across * np.sin(turn)
    dot = np.exp(-((np.hypot(x - dot_x, y - dot_y) / (0.075 * radius)) ** 4))
    for tint, strength in ((RING, 0.6 * ring), (DOT, 0.95 * dot)):
        colour = colour + strength[..., None] * (np.asarray(tint, float) - colour)
    return colour


def draw_cells(root: Path, seed: int = 0) -> Path:
    """Write 60 drawn cells of 15 patients to ``root`` in NLM's layout; the same seed gives the same files.

    Returns
    -------
    Path
        ``root``, which now contains ``cell_images/Parasitized`` and ``cell_images/Uninfected`` with 30 PNG each.
    """
    rng = np.random.default_rng(seed)
    for label in CLASSES:
        (root / "cell_images" / label).mkdir(parents=True)
    for patient in range(INFECTED_PATIENTS + HEALTHY_PATIENTS):
        infected = patient < INFECTED_PATIENTS
        stain = STAINS[patient % len(STAINS)]
        for cell in range(CELLS_PER_PATIENT):
            parasitized = infected and cell > 0
            label = CLASSES[0] if parasitized else CLASSES[1]
            name = f"C{100 + patient}P{61 + patient}ThinF_IMG_20150918_14{10 + patient}04_cell_{cell}.png"
            draw_cell(rng, parasitized, stain).save(root / "cell_images" / label / name)
    return root


def draw_laboratory(root: Path) -> Path:
    """Write two cells of each class of each of twelve patients, in a folder per patient, with the same file names."""
    rng = np.random.default_rng(0)
    for label in CLASSES:
        for number, patient in enumerate(PATIENTS):
            (root / label / patient).mkdir(parents=True)
            for cell in range(2):
                name = f"cell {cell}.{SUFFIXES[(number + cell) % len(SUFFIXES)]}"
                draw_cell(rng, label == CLASSES[0]).save(root / label / patient / name)
    return root
