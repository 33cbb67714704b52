"""Pictures that the software makes itself: red cells of any stain, and what is not a single red cell, near and far.

There are few photographs that may be shipped, so most far pictures are made of noise and of overlapping shapes, whose
statistics are those of natural images ("dead leaves" [1]_). Some get the colours of a stain, or are cut out on black as
cells are, so that neither tells a cell. White cells are not drawn: a screen that was fitted to drawn ones refused red
cells with large parasites, too.

References
----------
.. [1] Baradad et al. 2021, Learning to see by looking at noise, arXiv 2106.05963.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_sample_image

from malaria_detect.data.images import MIN_SIDE
from malaria_detect.fields.cell import PLATELET, RED_CELL, FoundCell
from malaria_detect.fields.crops import cut_cell
from malaria_detect.fields.cut_outs import CutOut
from malaria_detect.fields.synthetic import FieldSettings, synthetic_field
from malaria_detect.fields.synthetic_look import Look, drawn_look, light, photographed, smooth_noise
from malaria_detect.fields.synthetic_parts import Canvas, red_cell, small_thing, white_cell

_Random = np.random.Generator
_CutOuts = Sequence[CutOut]
# In the wheels of scikit-image and scikit-learn, so that none is downloaded.
_NAMES = ["astronaut", "brick", "camera", "chelsea", "coins", "grass", "hubble_deep_field", "moon", "rocket"]
_PHOTOGRAPHS: list[Callable[[], np.ndarray]] = [
    skimage.data.immunohistochemistry,
    *(getattr(skimage.data, name) for name in _NAMES),
]
_OTHER_PHOTOGRAPHS: list[Callable[[], np.ndarray]] = [
    skimage.data.coffee,
    skimage.data.retina,
    *(partial(load_sample_image, name) for name in ("china.jpg", "flower.jpg")),
]
_LETTERS = list("abcdefghijklmnopqrstuvwxyz   0123456789")


def made_picture(kind: str, random: _Random, cut_outs: _CutOuts) -> Image.Image:
    """A picture of one kind; RGB, up to 500 px a side.

    Parameters
    ----------
    kind : str
        ``red cell``, or one of :data:`NEAR`, :data:`FAR` and :data:`UNSEEN`, to which nothing is fitted.
    random : numpy.random.Generator
    cut_outs : sequence of CutOut
        Red cells to take shapes and parasites from.

    Examples
    --------
    >>> made_picture("gradient", np.random.default_rng(0), []).mode
    'RGB'
    """
    if kind in _ON_SMEARS:
        return _ON_SMEARS[kind](random, cut_outs)
    return (FAR | UNSEEN)[kind](random)


def _single(kind: str, random: _Random, cut_outs: _CutOuts) -> Image.Image:
    """One thing of a smear, cut out on black or with what surrounds it, in a look of its own."""
    diameter = float(np.exp(random.uniform(np.log(30), np.log(140))))
    side, look = int(3.5 * diameter), drawn_look(random)
    canvas, middle = Canvas(side, side), side / 2
    for _ in range(random.integers(6)):
        angle, away = random.uniform(0, 2 * np.pi), diameter * random.uniform(1.0, 1.5)
        neighbour = middle + away * np.cos(angle), middle + away * np.sin(angle), diameter
        red_cell(random, canvas, look, cut_outs, neighbour)
    place = middle, middle, diameter
    if kind == RED_CELL:
        part = red_cell(random, canvas, look, cut_outs, place)
    else:
        part = small_thing(random, canvas, look, place)
    pixels = _photograph_of(random, canvas, look, diameter / 40)
    cell = FoundCell(np.clip(part.corners, 0, side).astype(np.float32), 1.0, kind, on_edge=False)
    left, top, width, height = cell.box
    if random.random() < 0.6 and min(width, height) >= MIN_SIDE:
        return cut_cell(pixels, cell)
    # Around a platelet lies smear of the size of a red cell, so that its picture is not too small.
    margin = random.uniform(0.1, 0.5) * diameter if kind == PLATELET else random.uniform(0, 0.3) * width
    right, bottom = min(side, round(left + width + margin)), min(side, round(top + height + margin))
    box = max(0, round(left - margin)), max(0, round(top - margin)), right, bottom
    return Image.fromarray(pixels).crop(box)


def _photograph_of(random: _Random, canvas: Canvas, look: Look, sharp: float) -> np.ndarray:
    height, width = canvas.absorbance.shape[:2]
    picture = (look.background * light(random, height, width)).astype(np.float32)
    return photographed(random, picture * np.exp(-canvas.absorbance), None, max(0.35, sharp))


def _smear(random: _Random, cut_outs: _CutOuts) -> Image.Image:
    """Smear without cells, perhaps with a platelet."""
    side, look = int(random.integers(60, 400)), drawn_look(random)
    canvas = Canvas(side, side)
    if random.random() < 0.4:
        small_thing(random, canvas, look, (*random.uniform(0, side, 2), side / 4))
    return Image.fromarray(_photograph_of(random, canvas, look, side / 150))


def _thick_film(random: _Random, cut_outs: _CutOuts) -> Image.Image:
    """Stained haemoglobin without cells, with nuclei and dots all over."""
    side, look = int(random.integers(60, 400)), drawn_look(random)
    canvas, diameter = Canvas(side, side), side * random.uniform(0.04, 0.15)
    grain = np.clip(0.5 + smooth_noise(random, (side, side), random.uniform(3, 40)), 0, None)
    canvas.absorbance += (grain * random.uniform(0, 1))[..., None] * look.stain
    for _ in range(int(random.integers(10, 120))):
        x, y = random.uniform(0, side, 2)
        draw = white_cell if random.random() < 0.2 else small_thing
        draw(random, canvas, look, (x, y, diameter))
    return Image.fromarray(_photograph_of(random, canvas, look, side / 150))


def _field(random: _Random, cut_outs: _CutOuts) -> Image.Image:
    width, height = random.integers(200, 400, 2).tolist()
    settings = FieldSettings(width, height, coverage=random.uniform(0.2, 0.9))
    return Image.fromarray(synthetic_field(cut_outs, int(random.integers(2**31)), settings).pixels)


def _noise(random: _Random) -> Image.Image:
    side = int(random.integers(40, 300))
    if random.random() < 0.2:
        return Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
    grain = float(np.exp(random.uniform(0, np.log(side))))
    roughness = random.uniform(0, 0.8)
    channels = np.stack(
        [
            sum(roughness**n * smooth_noise(random, (side, side), max(1, grain / 2**n)) for n in range(4))
            for _ in range(3)
        ],
        axis=-1,
    )
    if random.random() < 0.3:
        channels[:] = channels[..., :1]
    values = channels * random.uniform(0.1, 0.8, 3) + random.uniform(0.2, 0.8, 3)
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def _gradient(random: _Random) -> Image.Image:
    side = int(random.integers(40, 300))
    ramp = Image.linear_gradient("L") if random.random() < 0.5 else Image.radial_gradient("L")
    turned = ramp.rotate(float(random.uniform(0, 360))).crop((64, 64, 192, 192)).resize((side, side))
    start, end = random.uniform(0, 255, (2, 3))
    return Image.fromarray((start + np.asarray(turned)[..., None] / 255 * (end - start)).astype(np.uint8))


def _text(random: _Random) -> Image.Image:
    shades = np.stack([random.integers(180, 256, 3), random.integers(0, 120, 3)])
    paper, ink = shades[:: 1 if random.random() < 0.7 else -1].tolist()
    image = Image.new("RGB", tuple(random.integers(60, 390, 2).tolist()), tuple(paper))
    draw, size = ImageDraw.Draw(image), float(random.uniform(8, 50))
    for line in range(int(image.height / size / 1.2) + 1):
        place = random.uniform(-5, 20), 1.2 * size * line
        draw.text(place, "".join(random.choice(_LETTERS, 80)), tuple(ink), font_size=size)
    return image


def _drawing(random: _Random) -> Image.Image:
    side = int(random.integers(60, 300))
    image = Image.new("RGB", (side, side), tuple(random.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(2, 12))):
        colour = tuple(random.integers(0, 256, 3).tolist())
        (x0, x1), (y0, y1) = np.sort(random.uniform(-0.2 * side, 1.2 * side, (2, 2)))
        shapes = [
            partial(draw.rectangle, (x0, y0, x1, y1), colour),
            partial(draw.ellipse, (x0, y0, x1, y1), colour),
            partial(draw.line, (x0, y0, x1, y1), colour, int(random.integers(1, 12))),
            partial(draw.polygon, random.uniform(0, side, 8).tolist(), colour),
        ]
        shapes[random.integers(len(shapes))]()
    return image


def _leaves(random: _Random) -> Image.Image:
    """Shapes of all sizes that overlap, with textures of their own."""
    side = int(random.integers(60, 200))
    image, *textures = (_noise(random).resize((side, side)) for _ in range(6))
    for _ in range(int(random.integers(5, 60))):
        size = 2 + side * random.random() ** 3 / 2
        corners = random.uniform(0, side, 2) + size * random.normal(0, 1, (4, 2))
        mask = Image.new("L", image.size)
        draw = ImageDraw.Draw(mask)
        if random.random() < 0.5:
            draw.ellipse([*corners.min(axis=0), *corners.max(axis=0)], 255)
        else:
            draw.polygon(corners.ravel().tolist(), 255)
        image.paste(textures[random.integers(5)], mask=mask)
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))


def _photograph(photographs: Sequence[Callable[[], np.ndarray]], random: _Random) -> Image.Image:
    """A piece of a photograph, or the whole."""
    image = Image.fromarray(photographs[int(random.integers(len(photographs)))]()).convert("RGB")
    width, height = (int(length * np.exp(random.uniform(np.log(0.2), 0))) for length in image.size)
    left, top = (int(random.integers(room + 1)) for room in (image.width - width, image.height - height))
    image = image.crop((left, top, left + width, top + height))
    image.thumbnail((390, 390))
    # Other colours, because few photographs have few.
    return Image.fromarray(np.asarray(image)[..., random.permutation(3)])


def _pattern(random: _Random) -> Image.Image:
    """Stripes, rings or squares of two colours."""
    side = int(random.integers(60, 300))
    x, y = np.mgrid[:side, :side] / side - 0.5
    wave = [x, np.hypot(x, y), x + 0.1 * np.sin(9 * y), np.sin(12 * x) * np.sin(12 * y)][random.integers(4)]
    share = (1 + np.sin(2 * np.pi * random.uniform(2, 20) * wave))[..., None] / 2
    start, end = random.uniform(0, 255, (2, 3))
    return Image.fromarray((start + share * (end - start)).astype(np.uint8))


def _disguised(make: Callable[[_Random], Image.Image], random: _Random) -> Image.Image:
    """A picture, perhaps in the colours of a stain, or cut out as a cell is."""
    picture = make(random)
    if random.random() < 0.4:
        look, shade = drawn_look(random), 1 - np.asarray(picture.convert("L"))[..., None] / 255
        absorbance = random.uniform(1, 3) * shade * look.stain
        absorbance += random.uniform(0, 1) * shade**2 * look.nucleus
        picture = Image.fromarray((255 * look.background * np.exp(-absorbance)).astype(np.uint8))
    if random.random() < 0.3:
        mask = Image.new("L", picture.size)
        ImageDraw.Draw(mask).ellipse((0, 0, *picture.size), 255)
        picture = Image.composite(picture, Image.new("RGB", picture.size), mask)
    return picture


NEAR: dict[str, Callable[[_Random, _CutOuts], Image.Image]] = {
    PLATELET: partial(_single, PLATELET),
    "empty smear": _smear,
    "thick film": _thick_film,
    "whole field": _field,
}
_DISGUISED: dict[str, Callable[[_Random], Image.Image]] = {
    "noise": _noise,
    "text": _text,
    "drawing": _drawing,
    "leaves": _leaves,
    "photograph": partial(_photograph, _PHOTOGRAPHS),
}
FAR: dict[str, Callable[[_Random], Image.Image]] = {
    "gradient": _gradient,
    **{kind: partial(_disguised, make) for kind, make in _DISGUISED.items()},
}
UNSEEN: dict[str, Callable[[_Random], Image.Image]] = {
    "pattern": _pattern,
    "other photograph": partial(_photograph, _OTHER_PHOTOGRAPHS),
}
_ON_SMEARS = NEAR | {RED_CELL: partial(_single, RED_CELL)}
