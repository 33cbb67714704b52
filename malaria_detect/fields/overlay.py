"""A field with the outlines of its cells drawn in, coloured by decision."""

from PIL import Image, ImageDraw, ImageFont

from malaria_detect.data.nlm_cells import CLASSES
from malaria_detect.fields.result import AnalysedCell, FieldResult
from malaria_detect.inference.metadata import RESEARCH_USE

_COLOURS = {CLASSES[0]: (214, 28, 36), CLASSES[1]: (18, 92, 190)}
_UNCERTAIN, _NOT_COUNTED = (235, 146, 0), (120, 120, 120)


def annotated(picture: Image.Image, result: FieldResult) -> Image.Image:
    """A copy of a field with outlines: parasitized red, uninfected blue, uncertain orange, not counted grey.

    Parameters
    ----------
    picture : PIL.Image.Image
        RGB, from :func:`malaria_detect.data.images.read_field`.
    result : FieldResult
        Of this picture.
    """
    drawn = picture.copy()
    draw = ImageDraw.Draw(drawn)
    width = max(1, round(max(result.cell_diameter, 20) / 30))
    for cell in result.cells:
        corners = [(float(x), float(y)) for x, y in cell.found.outline]
        draw.line([*corners, corners[0]], _colour(cell), width)
    font = ImageFont.load_default(max(10, picture.width // 80))
    left, top, right, bottom = draw.textbbox((0, 0), RESEARCH_USE, font)
    y = picture.height - (bottom - top) - 8
    draw.rectangle((0, y, right - left + 8, picture.height), (0, 0, 0))
    draw.text((4 - left, y + 4 - top), RESEARCH_USE, (255, 255, 255), font)
    return drawn


def _colour(cell: AnalysedCell) -> tuple[int, int, int]:
    if not cell.counted or cell.decision is None:
        return _NOT_COUNTED
    return _UNCERTAIN if cell.uncertain else _COLOURS[cell.decision]
