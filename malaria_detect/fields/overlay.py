"""A field with the outlines of its cells drawn in, coloured by decision."""

from PIL import Image, ImageDraw, ImageFont

from malaria_detect.fields.classes import COLOURS, class_of
from malaria_detect.fields.result import FieldResult
from malaria_detect.inference.metadata import RESEARCH_USE


def annotated(picture: Image.Image, result: FieldResult) -> Image.Image:
    """A copy of a field with outlines in the colours of :mod:`malaria_detect.fields.classes`; uncertain ones are thick.

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
        draw.line([*corners, corners[0]], COLOURS[class_of(cell)], 3 * width if cell.uncertain else width)
    font = ImageFont.load_default(max(10, picture.width // 80))
    left, top, right, bottom = draw.textbbox((0, 0), RESEARCH_USE, font)
    y = picture.height - (bottom - top) - 8
    draw.rectangle((0, y, right - left + 8, picture.height), (0, 0, 0))
    draw.text((4 - left, y + 4 - top), RESEARCH_USE, (255, 255, 255), font)
    return drawn
