"""The look of a synthetic field: smear, stain, light, microscope and camera, drawn at random."""

import io
from dataclasses import dataclass

import numpy as np
import scipy
from PIL import Image


@dataclass(frozen=True, eq=False)
class Look:
    """What all cells of a field have in common.

    Attributes
    ----------
    background : numpy.ndarray, float, shape (3,)
        Colour of blank smear, 0 to 1.
    stain : numpy.ndarray, float, shape (3,)
        Absorbance of a red cell in each channel.
    nucleus : numpy.ndarray, float, shape (3,)
        Absorbance of nuclei, platelets and parasites.
    mixing : numpy.ndarray, float, shape (3, 3)
        Applied to the absorbance of the cut-outs.
    texture : float
        Strength of what distinguishes a cut-out from an evenly stained cell.
    pallor, pallor_width : float
        How much thinner a cell is in its middle, and the share of its radius that this concerns.
    rim : float
        How much thicker it is at its rim.
    overlap : float, in [0, 1]
        How translucent cells are: 1 if overlapping cells darken each other fully.
    """

    background: np.ndarray
    stain: np.ndarray
    nucleus: np.ndarray
    mixing: np.ndarray
    texture: float
    pallor: float
    pallor_width: float
    rim: float
    overlap: float


def drawn_look(random: np.random.Generator) -> Look:
    """A look at random, from pale grey to deeply stained."""
    brightness = random.uniform(0.5, 1.0)
    tint = random.uniform(0.8, 1.0, 3)
    hue = np.array([random.uniform(0.2, 1.0), random.uniform(0.6, 1.4), random.uniform(0.3, 1.2)])
    purple = np.array([random.uniform(0.6, 1.2), random.uniform(0.9, 1.5), random.uniform(0.15, 0.7)])
    pale = random.random() < 0.45
    return Look(
        background=brightness * tint / tint.max(),
        stain=hue / hue.mean() * np.exp(random.uniform(np.log(0.1), np.log(0.8))),
        nucleus=purple * random.uniform(0.5, 1.3),
        mixing=np.eye(3) + random.normal(0, 0.12, (3, 3)),
        texture=random.uniform(0.2, 1.5),
        pallor=random.uniform(0.3, 0.95) if pale else random.uniform(0, 0.35),
        pallor_width=random.uniform(0.25, 0.65),
        rim=random.uniform(-0.1, 0.6),
        overlap=random.uniform(0.15, 1.0),
    )


def smooth_noise(random: np.random.Generator, shape: tuple[int, ...], grain: float) -> np.ndarray:
    """Noise that varies over about `grain` px, float32, shape (height, width), about -1 to 1."""
    height, width = shape
    rows, columns = (max(2, round(side / grain) + 2) for side in shape)
    coarse = Image.fromarray(random.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def light(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Relative brightness of blank smear, float32, shape (height, width, 1): uneven light, vignetting and dirt."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope = random.normal(0, 0.06, 2)
    fall = random.uniform(0, 0.25) if random.random() < 0.5 else 0.0
    shade = 1 + slope[0] * x + slope[1] * y - fall * (x**2 + y**2) / 2
    if random.random() < 0.5:
        shade += random.uniform(0.01, 0.06) * smooth_noise(random, (height, width), random.uniform(8, 120))
    return np.clip(shade, 0.3, 1.3)[..., None]


def photographed(
    random: np.random.Generator, picture: np.ndarray, rim: tuple[float, float, float] | None, sharp: float
) -> np.ndarray:
    """The picture that a camera takes of a field.

    Parameters
    ----------
    random : numpy.random.Generator
    picture : numpy.ndarray, float, shape (height, width, 3)
        Light that reaches the camera, 0 to 1.
    rim : tuple of float or None
        Centre (x, y) and radius of the round view of the eyepiece in px; it is black outside.
    sharp : float
        Standard deviation in px of a blur that is just visible.

    Returns
    -------
    numpy.ndarray, uint8, shape (height, width, 3)
    """
    blur = sharp * random.uniform(0.2, 1.0) if random.random() < 0.75 else sharp * random.uniform(1, 1.9)
    picture = scipy.ndimage.gaussian_filter(picture, (blur, blur, 0))
    if random.random() < 0.45:
        # Refraction at the edge of a cell, and the camera's sharpening, both draw a halo.
        wide = sharp * random.uniform(1.5, 3.5)
        soft = scipy.ndimage.gaussian_filter(picture, (wide, wide, 0))
        picture = picture + random.uniform(0.2, 1.2) * (picture - soft)
    if rim is not None:
        y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
        inside = np.clip((rim[2] - np.hypot(x - rim[0], y - rim[1])) / random.uniform(1, 4) + 0.5, 0, 1)
        picture = picture * inside[..., None]
    if random.random() < 0.25:
        _mark(random, picture)
    picture = np.clip(picture, 0, 1) ** random.uniform(0.65, 1.5)
    picture = picture @ (np.eye(3) + random.normal(0, 0.05, (3, 3))).astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + random.uniform(0.1, 1.4) * (picture - grey)
    noise = random.uniform(0, 0.03)
    picture = picture + noise * random.standard_normal(picture.shape, dtype=np.float32)
    pixels = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if random.random() < 0.5:
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=int(random.integers(35, 95)))
        pixels = np.asarray(Image.open(data))
    return pixels


def _mark(random: np.random.Generator, picture: np.ndarray) -> None:
    """Draw a scale bar, the pointer of an eyepiece or a dust grain into the picture."""
    height, width = picture.shape[:2]
    x, y = random.uniform(0, width), random.uniform(0, height)
    angle = random.choice([0.0, random.uniform(0, np.pi)])
    length = random.uniform(0.1, 0.6) * width
    thick = random.uniform(0.6, 4)
    rows, columns = np.ogrid[:height, :width]
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = np.abs(-(columns - x) * np.sin(angle) + (rows - y) * np.cos(angle))
    line = np.clip(thick + 0.5 - across, 0, 1) * ((along > 0) & (along < length))
    picture *= 1 - random.uniform(0.6, 1) * line[..., None]
